"""A real Keystone on SQLite, served by one process on a loopback port, with the users that a test wants.

It runs in a virtualenv of its own, ``.venv-keystone`` (``tools/make-keystone``), so that its dependencies are not ours.
"""
from __future__ import annotations

import grp
import json
import os
import pathlib
import pwd
import subprocess
import urllib.request
from typing import Any

from tests.support.processes.servers import ServerMissing, free_port, wait_until

PASSWORD = "only-for-tests"
_PYTHON = pathlib.Path(__file__).parents[3] / ".venv-keystone" / "bin" / "python"
#: Runs the commands of keystone-manage, each in a fork, and serves: one process, since importing takes it seconds.
_MAKE_AND_SERVE = """
import json, os, socketserver, sys
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from keystone.cmd.manage import main
from keystone.server.wsgi import initialize_public_application
class Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
port, commands = int(sys.argv[1]), json.loads(sys.argv[2])
for words in commands:
    child = os.fork()
    if child == 0:
        sys.argv[1:] = words
        sys.exit(main())
    if os.waitpid(child, 0)[1] != 0:
        sys.exit(f"keystone-manage {words} failed")
del sys.argv[1:]
make_server("127.0.0.1", port, initialize_public_application(), Server).serve_forever()
"""


class Keystone:
    """Made, bootstrapped and started; ``stop`` ends it."""

    def __init__(self, folder: pathlib.Path) -> None:
        if not (_PYTHON.parents[1] / "installed.txt").exists():
            raise ServerMissing("no Keystone in .venv-keystone: run tools/make-keystone")
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}/v3"
        for name in ("keys", "credentials"):
            (folder / name).mkdir(mode=0o700)
        self.config = folder / "keystone.conf"
        self.config.write_text(
            f"[DEFAULT]\nlog_file = {folder}/keystone.log\n[database]\nconnection = sqlite:///{folder}/keystone.sqlite\n"
            f"[fernet_tokens]\nkey_repository = {folder}/keys\n[fernet_receipts]\nkey_repository = {folder}/keys\n"
            f"[credential]\nkey_repository = {folder}/credentials\n"
            "[identity]\npassword_hash_rounds = 4\n")
        commands = [
            ["db_sync"],
            ["fernet_setup", "--keystone-user", pwd.getpwuid(os.getuid()).pw_name,
             "--keystone-group", grp.getgrgid(os.getgid()).gr_name],
            ["bootstrap", "--bootstrap-password", PASSWORD, "--bootstrap-public-url", self.url,
             "--bootstrap-internal-url", self.url, "--bootstrap-admin-url", self.url,
             "--bootstrap-region-id", "RegionOne"],
        ]
        argv = [["--config-file", str(self.config), *words] for words in commands]
        self._log = folder / "serve.log"
        self._process = subprocess.Popen(
            [str(_PYTHON), "-W", "ignore", "-c", _MAKE_AND_SERVE, str(self.port), json.dumps(argv)],
            stdout=subprocess.DEVNULL, stderr=self._log.open("wb"), env=self._environment(), cwd=folder)
        wait_until(lambda: self._answers() or self._process.poll() is not None, bound=120, what="Keystone")
        assert self._process.poll() is None, self._log.read_text()[-2000:]
        self._admin = self.token("admin", {"project": {"name": "admin", "domain": {"id": "default"}}})

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def token(self, user: str, scope: dict[str, Any]) -> str:
        """A token of ``user``; scope: as the Identity API has it."""
        identity = {"methods": ["password"], "password": {"user": {
            "name": user, "domain": {"id": "default"}, "password": PASSWORD}}}
        headers, _ = self._call("POST", "/auth/tokens", {"auth": {"identity": identity, "scope": scope}})
        return headers["X-Subject-Token"]

    def project(self, name: str) -> str:
        """A new project's id."""
        return self._call("POST", "/projects", {"project": {"name": name}})[1]["project"]["id"]

    def user(self, name: str, role: str, target: str) -> None:
        """A new user with one role on ``target``: ``projects/<id>`` or ``system``."""
        made = self._call("POST", "/users", {"user": {"name": name, "password": PASSWORD}})[1]["user"]["id"]
        [found] = self._call("GET", f"/roles?name={role}")[1]["roles"]
        self._call("PUT", f"/{target}/users/{made}/roles/{found['id']}")

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def _call(self, method: str, path: str, body: Any = None) -> tuple[Any, Any]:
        headers = {"Content-Type": "application/json"}
        if hasattr(self, "_admin"):
            headers["X-Auth-Token"] = self._admin
        request = urllib.request.Request(self.url + path, method=method, headers=headers,
                                         data=None if body is None else json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
            return answer.headers, json.loads(text) if text else None

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "OS_KEYSTONE_CONFIG_FILES": str(self.config), "OS_KEYSTONE_CONFIG_DIR": str(self.folder)}

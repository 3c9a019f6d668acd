"""Real RabbitMQ, etcd, PostgreSQL and MariaDB for tests: private, on free loopback ports, in temporary folders.

Each class starts one server as a child in a process group of its own, waits until it answers, and stops only
what it started.  ``kill`` is SIGKILL and keeps the data; ``start`` after it is what a restart looks like.  A
server that is not installed raises :class:`ServerMissing` with the command that installs it: in CI that is a
failure, never a skip.
"""
from __future__ import annotations

import contextlib
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence

from tests.support.processes.ports import free_port

#: Seconds that a server has to answer after its start: RabbitMQ needs about 5 on an idle machine.
START_BOUND = 90.0
STOP_BOUND = 30.0


class ServerMissing(RuntimeError):
    """A server's program is not on this machine."""


class ServerEnded(BaseException):
    """A server ended while it was waited for; not an Exception, which wait_until would take as "not yet"."""


def wait_until(condition: Callable[[], object], *, bound: float, what: str, interval: float = 0.05):
    """Call ``condition`` until it answers something true, and return that; AssertionError after ``bound`` seconds.

    ``what`` names the condition in the error.  An exception of the condition counts as not yet, and is shown
    when the bound is over.
    """
    deadline = time.monotonic() + bound
    last: object = None
    while True:
        try:
            last = condition()
            if last:
                return last
        except Exception as error:  # whatever the condition raises means: not yet
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {bound} s: {what} (last: {last!r})")
        time.sleep(interval)


def find_program(name: str, *folders: str) -> str:
    """The program's path, looked for in ``folders`` (globs) first; ServerMissing when there is none."""
    for pattern in folders:
        for found in sorted(pathlib.Path("/").glob(pattern.lstrip("/") + "/" + name), reverse=True):
            return str(found)
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if path is None:
        raise ServerMissing(f"expected the program {name}, found none: run tools/install-servers")
    return path


def can_connect(port: int) -> bool:
    with contextlib.closing(socket.socket()) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def descendants(pid: int) -> set[int]:
    """The processes below ``pid``, from /proc."""
    children: dict[int, list[int]] = {}
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(parent, []).append(int(path.parent.name))
    found: set[int] = set()
    pending = [pid]
    while pending:
        for child in children.get(pending.pop(), ()):
            found.add(child)
            pending.append(child)
    return found


def run_as(user: str, argv: Sequence[str]) -> list[str]:
    """``argv`` as ``user`` when we are root and the user exists, else as ourselves."""
    if os.geteuid() == 0:
        with contextlib.suppress(KeyError):
            pwd.getpwnam(user)
            return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *argv]
    return list(argv)


def own(folder: pathlib.Path, user: str) -> None:
    if os.geteuid() == 0:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(user)
            os.chown(folder, entry.pw_uid, entry.pw_gid)


class Server:
    """One server process; subclasses say how it is prepared, started and known to be up."""

    user = ""

    def __init__(self, port: int | None = None) -> None:
        # Not below pytest's own temporary folder: that is made private again by each session that starts, and a
        # server under a user of its own must pass through it.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"obsvc-{type(self).__name__.lower()}-"))
        self.folder.chmod(0o755)
        own(self.folder, self.user)
        self.port = port or free_port()
        self.log = self.folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._prepared = False

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, *_: object) -> None:
        """End it at once and remove its data."""
        self.discard()
        shutil.rmtree(self.folder, ignore_errors=True)

    # what a subclass says
    def prepare(self) -> None:
        """Once, before the first start."""

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        return {}

    def answers(self) -> bool:
        return can_connect(self.port)

    # what a test calls
    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Of the process that was started: the leader of the server's session."""
        assert self._process is not None, "not started"
        return self._process.pid

    def start(self) -> Server:
        """Start and wait until it answers."""
        if not self._prepared:
            self.prepare()
            self._prepared = True
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                run_as(self.user, self.command()) if self.user else self.command(),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, **self.environment()}, cwd=self.folder,
            )
        wait_until(self._up, bound=START_BOUND, what=f"{type(self).__name__} on port {self.port}, log {self.log}")
        return self

    def _up(self) -> bool:
        assert self._process is not None
        code = self._process.poll()
        if code is not None:
            raise ServerEnded(f"ended with {code}: {self.log.read_text(errors='replace')[-2000:]}")
        return self.answers()

    def send_signal(self, number: int) -> None:
        """Send a signal to the whole process group (SIGSTOP, SIGCONT …)."""
        if self.running:
            assert self._process is not None
            os.killpg(self._process.pid, number)

    def stop(self) -> None:
        """End it gracefully, by force after STOP_BOUND seconds."""
        self._end(self.stop_signal)

    stop_signal = signal.SIGTERM

    def discard(self) -> None:
        """End it without saving anything."""
        self._end(self.discard_signal)

    discard_signal = signal.SIGKILL

    def kill(self) -> None:
        """SIGKILL: what a crash or a lost host looks like; the data stays."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        self.stop()
        self.start()

    def _end(self, number: int) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        whole = {process.pid} | descendants(process.pid)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            process.wait(STOP_BOUND)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(STOP_BOUND)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what the leader left behind in its group
        # Some servers' children have groups of their own (PostgreSQL's); they end soon after their parent, and a
        # new start must not meet them.
        wait_until(lambda: not any(pathlib.Path(f"/proc/{pid}").exists() for pid in whole), bound=STOP_BOUND,
                   what=f"every process of {type(self).__name__} ended")


class Etcd(Server):
    def command(self) -> list[str]:
        peer = free_port()
        return [
            find_program("etcd"), "--name", "test", "--data-dir", str(self.folder / "data"),
            "--listen-client-urls", f"http://127.0.0.1:{self.port}",
            "--advertise-client-urls", f"http://127.0.0.1:{self.port}",
            "--listen-peer-urls", f"http://127.0.0.1:{peer}",
            "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
            "--initial-cluster", f"test=http://127.0.0.1:{peer}", "--force-new-cluster",
        ]

    def answers(self) -> bool:
        import urllib.request

        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=2) as reply:
            return b"true" in reply.read()

    @property
    def tooz_url(self) -> str:
        return f"etcd3+http://127.0.0.1:{self.port}"


class RabbitMQ(Server):
    """RabbitMQ with an epmd of its own, so that no daemon is left behind."""

    user = "rabbitmq"

    def __init__(self, port: int | None = None) -> None:
        super().__init__(port)
        self._dist_port = free_port()
        self._epmd_port = free_port()
        self._epmd: subprocess.Popen[bytes] | None = None
        self.extra_config: list[str] = []

    @property
    def node(self) -> str:
        return f"obsvc{self.port}@localhost"

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def environment(self) -> Mapping[str, str]:
        folder = self.folder
        return {
            "HOME": str(folder), "ERL_EPMD_PORT": str(self._epmd_port), "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self.node, "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1", "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_HOME_DIR": str(folder), "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"), "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"), "RABBITMQ_CONF_ENV_FILE": str(folder / "env.conf"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none",
            "LANG": "C.UTF-8",
        }

    def prepare(self) -> None:
        for name in ("mnesia", "log"):
            (self.folder / name).mkdir(exist_ok=True)
            own(self.folder / name, self.user)
        lines = [
            f"listeners.tcp.1 = 127.0.0.1:{self.port}",
            "vm_memory_high_watermark.relative = 0.6", "disk_free_limit.absolute = 50MB", *self.extra_config,
        ]
        (self.folder / "rabbitmq.conf").write_text("\n".join(lines) + "\n")
        (self.folder / "enabled_plugins").write_text("[].\n")
        (self.folder / "env.conf").write_text("")

    def command(self) -> list[str]:
        return [find_program("rabbitmq-server", "/usr/lib/rabbitmq/bin")]

    def start(self) -> Server:
        if self._epmd is None or self._epmd.poll() is not None:
            self._epmd = subprocess.Popen(
                [find_program("epmd"), "-port", str(self._epmd_port), "-address", "127.0.0.1"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            )
            wait_until(lambda: can_connect(self._epmd_port), bound=20, what="epmd")
        return super().start()

    def answers(self) -> bool:
        """A whole AMQP handshake: the port opens before the broker takes connections."""
        from kombu import Connection

        with Connection(self.url, connect_timeout=2) as connection:
            connection.connect()
        return True

    def ctl(self, *words: str) -> str:
        """Run rabbitmqctl and return what it printed."""
        argv = [find_program("rabbitmqctl", "/usr/lib/rabbitmq/bin"), "-q", "-n", self.node, *words]
        done = subprocess.run(
            run_as(self.user, argv), env={**os.environ, **self.environment()}, cwd=self.folder,
            capture_output=True, text=True, timeout=60, check=True,
        )
        return done.stdout

    def create_vhost(self, name: str) -> str:
        """Make an empty virtual host, so that tests that share the broker do not meet; returns its URL.

        By a call into the node, which takes 20 ms: each command of rabbitmqctl starts an Erlang of its own, which takes
        a second of CPU."""
        call = shutil.which("erl_call")
        if call is None:
            self.ctl("add_vhost", name)
            self.ctl("set_permissions", "-p", name, "guest", ".*", ".*", ".*")
        else:
            done = subprocess.run(
                [call, "-n", self.node, "-c", (self.folder / ".erlang.cookie").read_text(), "-e"],
                input=_MAKE_VHOST.format(name=name), env={**os.environ, **self.environment()}, capture_output=True,
                text=True, timeout=60, check=True,
            )
            assert done.stdout == "{ok, ok}", done.stdout
        return f"amqp://guest:guest@127.0.0.1:{self.port}/{name}"

    def stop(self) -> None:
        super().stop()
        self._stop_epmd()

    def discard(self) -> None:
        super().discard()
        self._stop_epmd()

    def _stop_epmd(self) -> None:
        epmd, self._epmd = self._epmd, None
        if epmd is not None:
            epmd.kill()
            epmd.wait(STOP_BOUND)


#: Erlang for what ``add_vhost`` and ``set_permissions`` of rabbitmqctl do.
_MAKE_VHOST = """\
ok = rabbit_vhost:add(<<"{name}">>, <<"tests">>),
rabbit_auth_backend_internal:set_permissions(<<"guest">>, <<"{name}">>, <<".*">>, <<".*">>, <<".*">>, <<"tests">>).
"""


class PostgreSQL(Server):
    user = "postgres"
    discard_signal = signal.SIGQUIT  # "immediate": it gives its shared memory back, which it can't after SIGKILL
    stop_signal = signal.SIGINT  # "fast": ends sessions, leaves a clean data folder

    def prepare(self) -> None:
        argv = [
            find_program("initdb", "/usr/lib/postgresql/*/bin"), "-D", str(self.folder / "data"), "-U", "obsvc",
            "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync",
        ]
        subprocess.run(run_as(self.user, argv), check=True, capture_output=True, timeout=120, cwd=self.folder)

    def command(self) -> list[str]:
        return [
            find_program("postgres", "/usr/lib/postgresql/*/bin"), "-D", str(self.folder / "data"),
            "-p", str(self.port), "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self.folder}",
            "-c", "fsync=off", "-c", "max_connections=200", "-c", "deadlock_timeout=200ms",
        ]

    def answers(self) -> bool:
        import psycopg

        with psycopg.connect(self._dsn("postgres"), connect_timeout=2) as connection:
            connection.execute("select 1")
        return True

    def _dsn(self, database: str) -> str:
        return f"host=127.0.0.1 port={self.port} user=obsvc dbname={database}"

    def create_database(self, name: str) -> str:
        """Make an empty database and return its SQLAlchemy URL."""
        import psycopg

        with psycopg.connect(self._dsn("postgres"), autocommit=True) as connection:
            connection.execute(f'create database "{name}"')
        return f"postgresql+psycopg://obsvc@127.0.0.1:{self.port}/{name}"


class MariaDB(Server):
    user = "mysql"
    #: What is written survives a kill of the process, not one of the host: a schema takes a fourth of the time so.
    _OPTIONS = ("--debug-no-sync", "--innodb-log-file-size=16M")

    def prepare(self) -> None:
        argv = [
            find_program("mariadb-install-db"), "--no-defaults", f"--datadir={self.folder / 'data'}",
            "--auth-root-authentication-method=normal", "--skip-test-db", *self._OPTIONS,
        ]
        subprocess.run(run_as(self.user, argv), check=True, capture_output=True, timeout=120, cwd=self.folder)

    def command(self) -> list[str]:
        return [
            find_program("mariadbd"), "--no-defaults", f"--datadir={self.folder / 'data'}", f"--port={self.port}",
            "--bind-address=127.0.0.1", f"--socket={self.folder / 'sock'}", f"--pid-file={self.folder / 'pid'}",
            "--innodb-flush-log-at-trx-commit=2", "--skip-log-bin", "--character-set-server=utf8mb4", *self._OPTIONS,
        ]

    def _connect(self):
        import pymysql

        return pymysql.connect(host="127.0.0.1", port=self.port, user="root", connect_timeout=2, autocommit=True)

    def answers(self) -> bool:
        self._connect().close()
        return True

    def create_database(self, name: str) -> str:
        """Make an empty database and return its SQLAlchemy URL."""
        with contextlib.closing(self._connect()) as connection, connection.cursor() as cursor:
            cursor.execute(f"create database `{name}` character set utf8mb4")
        return f"mysql+pymysql://root@127.0.0.1:{self.port}/{name}"

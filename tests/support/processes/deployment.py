"""A whole deployment of obsvc as separate operating-system processes, for end-to-end tests.

``Deployment`` writes the configuration files, starts and stops the processes, and reads what they say over the
same interfaces that an operator has: the command ``obsvc``, HTTP, and the simulated cloud's counters.
"""
from __future__ import annotations

import contextlib
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence

from obsvc.cmd import demo_summary, settings_file
from obsvc.engine.upgrade import upgrade
from obsvc.model import partition_of_id
from tests.support.processes.servers import free_port, wait_until

#: Seconds for a process to serve: imports on a busy machine take a few.
UP_BOUND = 60.0

PASSWORD = "secret"


def http_json(url: str, *, method: str = "GET", body: object = None, timeout: float = 30.0):
    """The JSON answer of one request; urllib's HTTPError for a status of 400 and more, its text with the answer's."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            text = answer.read()
    except urllib.error.HTTPError as error:
        said = error.read()
        raise urllib.error.HTTPError(
            url, error.code, f"{error.reason}: {said[:500].decode(errors='replace')}", error.headers, io.BytesIO(said)
        ) from None
    return json.loads(text) if text else None


#: Options of observers and engines for tests in which a stack's steps take none of the time that is tested: what is due
#: is not put off, and what was refused is tried again soon.
QUICK_STEPS: Mapping[str, Mapping[str, object]] = {
    "observer": {"coalesce_interval": 0.1, "settle_delay": 0.2, "takeover_spread": 1},
    "engine": {"poll_interval": 0.05, "job_retry_initial": 0.2, "job_retry_max": 5},
}


class Process:
    """One process of obsvc in a group of its own, its output in ``log``."""

    def __init__(self, name: str, argv: Sequence[str], folder: pathlib.Path,
                 environment: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.argv = list(argv)
        self.log = folder / f"{name}.log"
        self._folder = folder
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Process:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, **self._environment}, cwd=self._folder,
            )
        return self

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        return None if self._process is None else self._process.poll()

    def send_signal(self, number: int) -> None:
        """To the whole group: the process and whatever children it has."""
        os.killpg(self.pid, number)

    def kill(self) -> None:
        """SIGKILL: no goodbye."""
        self._end(signal.SIGKILL, 10)

    def stop(self, bound: float = 60.0) -> int | None:
        """SIGTERM to the process alone, as an init system does; returns its exit code."""
        if self.running:
            os.kill(self.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(bound)
        code = self.exit_code
        self._end(signal.SIGKILL, 10)
        return code

    def _end(self, number: int, bound: float) -> None:
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGCONT)
            os.killpg(self._process.pid, number)
        self._process.wait(bound)

    def output(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


def obsvc(*words: str, config: Sequence[pathlib.Path] = ()) -> list[str]:
    """The argument vector of the command under test, run by this interpreter."""
    options = [option for path in config for option in ("--config-file", str(path))]
    return [sys.executable, "-m", "obsvc", *options, *words]


class SimulatedCloud:
    """The simulated cloud as a process, and what its control interface tells."""

    def __init__(self, folder: pathlib.Path, bus: str | None, *options: str) -> None:
        self.port = free_port()
        words = ["simcloud", "--port", str(self.port), "--seed", "1", "--password", PASSWORD, *options]
        if bus is not None:
            words += ["--bus", bus]
        self.process = Process("simcloud", obsvc(*words), folder)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> SimulatedCloud:
        self.process.start()
        wait_until(lambda: http_json(f"{self.url}/healthz"), bound=UP_BOUND, what="the simulated cloud")
        return self

    def auth_options(self, user: str) -> dict[str, object]:
        """What goes into ``[cloud]``."""
        return {
            "auth_type": "password", "auth_url": f"{self.url}/identity/v3", "username": user, "password": PASSWORD,
            "project_name": "demo", "user_domain_id": "default", "project_domain_id": "default",
            "interface": "public",
        }

    def get(self, path: str):
        return http_json(f"{self.url}/sim/v1/{path}")

    def dial(self, **dials: object) -> None:
        http_json(f"{self.url}/sim/v1/dials", method="PUT", body=dials)

    def calls(self) -> list[dict]:
        """Every call so far, oldest first."""
        found: list[dict] = []
        while True:
            page = self.get(f"calls?since={found[-1]['seq'] if found else 0}")["calls"]
            if not page:
                return found
            found += page

    def looks(self) -> list[demo_summary.Call]:
        """What observers looked at so far; a list by ids is one look at each that it answered."""
        return demo_summary.looks(self.calls())

    def truth(self) -> list[dict]:
        """Every resource that there is or was."""
        return self.get("truth?deleted=true")["resources"]


class Deployment:
    """Engines, observers, workers and one API on one database, coordination backend and bus.

    options: ``{group: {option: value}}`` for every process, over the test's quick defaults.  environment: of each.
    quick_steps: with QUICK_STEPS.
    """

    def __init__(
        self, folder: pathlib.Path, *, database: str, coordination: str, bus: str, cloud: SimulatedCloud,
        engines: int = 1, observers: int = 1, workers: int = 1, partitions: int = 64,
        options: Mapping[str, Mapping[str, object]] | None = None, environment: Mapping[str, str] | None = None,
        quick_steps: bool = False,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.environment = environment
        self.bus = bus
        self.database = database
        self.cloud = cloud
        self.partitions = partitions
        self.engine_ports = [free_port() for _ in range(engines)]
        self.api_port = free_port()
        self.health_ports: dict[str, int] = {}
        common = {
            "DEFAULT": {"state_path": folder},
            "database": {"url": database},
            "coordination": {"backend_urls": coordination, "lease": 4, "beat_interval": 0.5},
            "engine": {"member_timeout": 4, "drain_timeout": 10, "progress_interval": 5, "job_lease": 15,
                       "threads": 32},
            "engine_client": {"endpoints": [f"http://127.0.0.1:{port}" for port in self.engine_ports], "timeout": 5},
            "observer": {"poll_initial": 5, "poll_max": 30, "mark_after": 3, "memory_window": 30, "drain_timeout": 10},
            "sweep": {"enabled": False},  # what is lost elsewhere they would find, and no test would see it
            "buses": {"names": "cloud"},
            "bus:cloud": {"url": bus, "exchanges": ["nova", "neutron", "openstack", "cinder", "glance", "keystone",
                                                    "sim"]},
            # half of job_lease: what workers would make of more
            "cloud": {**cloud.auth_options("obsvc"), "request_timeout": 7},
            "emit": {"url": bus},
            "api": {"bind_port": self.api_port},
        }
        for more in (QUICK_STEPS if quick_steps else {}, options or {}):
            for group, values in more.items():
                common.setdefault(group, {}).update(values)
        self.config = settings_file.write(folder / "obsvc.conf", common)
        self.processes: dict[str, Process] = {}
        for number, port in enumerate(self.engine_ports, 1):
            self._add(f"engine-{number}", "engine", {"engine": {"bind_port": port}})
            self.health_ports[f"engine-{number}"] = port
        self._add("api", "api", {})
        self.health_ports["api"] = self.api_port
        for kind, count in (("observer", observers), ("worker", workers)):
            for number in range(1, count + 1):
                self.add_member(kind, f"{kind}-{number}")

    def add_member(self, kind: str, name: str) -> Process:
        """Describe one more observer or worker; start it with ``.start()``."""
        port = free_port()
        self.health_ports[name] = port
        return self._add(name, kind, {kind: {"name": name, "health_port": port}})

    def _add(self, name: str, command: str, own: Mapping[str, Mapping[str, object]]) -> Process:
        config = [self.config]
        if own:
            config.append(settings_file.write(self.folder / f"{name}.conf", own))
        self.processes[name] = Process(name, obsvc(command, config=config), self.folder, self.environment)
        return self.processes[name]

    def __enter__(self) -> Deployment:
        try:
            return self.start()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        for process in reversed(self.processes.values()):
            process.kill()

    def upgrade_database(self) -> None:
        """As ``obsvc db upgrade`` does, without a second of CPU for another process."""
        upgrade(self.database, partitions=self.partitions)

    def start(self) -> Deployment:
        """Everything, and wait until every partition has an owner and every member its share.

        Engines first: who finds none asks again only after pauses that grow to seconds."""
        self.upgrade_database()
        engines = [name for name in self.processes if name.startswith("engine-")]
        for names in (engines, [name for name in self.processes if name not in engines]):
            for name in names:
                self.processes[name].start()
            for name in names:
                self.wait_ready(name)
        self.wait_owned(self.of_kind("observer"))
        return self

    def of_kind(self, kind: str) -> list[str]:
        return [name for name in self.processes if name.startswith(kind + "-") and self.processes[name].running]

    def wait_ready(self, name: str) -> None:
        # A worker is ready when its first question for jobs is answered, which waits for seconds while there are none;
        # it takes jobs from when it is up.
        path = "healthz" if name.startswith("worker-") else "readyz"

        def ready() -> bool:
            process = self.processes[name]
            assert process.running, f"{name} ended with {process.exit_code}: {process.output()[-3000:]}"
            return http_json(f"http://127.0.0.1:{self.health_ports[name]}/{path}") is not None or True

        wait_until(ready, bound=UP_BOUND, what=f"{name} ready")

    def wait_owned(self, members: Sequence[str], bound: float = 60.0) -> list[dict]:
        """Wait until exactly ``members`` own all partitions, each as the ring intends; returns the partitions."""

        def settled() -> list[dict] | None:
            found = self.api("/v1/partitions")["partitions"]
            owners = {each["owner"]["name"] if each["owner"] else None for each in found}
            as_intended = all(each["owner"] and each["owner"]["name"] == each["intended"] for each in found)
            return found if owners == set(members) and as_intended and len(found) == self.partitions else None

        return wait_until(settled, bound=bound, what=f"{', '.join(members)} own all partitions as intended")

    # what an operator does
    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    def api(self, path: str, *, method: str = "GET", body: object = None, timeout: float = 70.0):
        return http_json(self.api_url + path, method=method, body=body, timeout=timeout)

    def run(self, *words: str, check: bool = True, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """One ``obsvc`` command as an operator would give it."""
        done = subprocess.run(
            obsvc(*words), capture_output=True, text=True, timeout=180, check=False, input=stdin,
            env={**os.environ, "OBSVC_API_URL": self.api_url},
        )
        assert not check or done.returncode == 0, f"obsvc {' '.join(words)}: {done.returncode}: {done.stderr}"
        return done

    def run_json(self, *words: str):
        return json.loads(self.run(*words, "-f", "json").stdout)

    def create_stack(self, name: str, template: str) -> dict:
        return self.api("/v1/stacks", method="POST", body={"name": name, "template": template})

    def wait_stack(self, name: str, status: str = "CREATE_COMPLETE", bound: float = 120.0) -> dict:
        def reached() -> dict | None:
            stack = self.api(f"/v1/stacks/{name}")
            assert not stack["status"].endswith("_FAILED") or status.endswith("_FAILED"), stack
            return stack if stack["status"] == status else None

        return wait_until(reached, bound=bound, what=f"stack {name} {status}", interval=0.2)

    def nodes(self, stack: str) -> list[dict]:
        return self.api(f"/v1/stacks/{stack}/resources")["resources"]

    def metrics(self, name: str) -> dict[str, float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.health_ports[name]}/metrics", timeout=10) as answer:
            return demo_summary.parse_metrics(answer.read().decode())

    def count(self, kind: str, metric: str, **labels: str) -> int:
        """One counter summed over the running processes of a kind."""
        return demo_summary.total([self.metrics(name) for name in self.of_kind(kind)], metric, **labels)

    def gauge(self, kind: str, metric: str) -> float:
        """One gauge summed over the running processes of a kind."""
        return sum(self.metrics(name).get(metric, 0.0) for name in self.of_kind(kind))

    # what a test checks
    def doubles(self) -> list[demo_summary.Double]:
        """Changes that two observers fetched although the partition did not change hands between."""
        changes = {each["id"]: [change["visible_at"] for change in each["revisions"]] for each in self.cloud.truth()}
        granted = {each["partition"]: each["since"] for each in self.api("/v1/partitions")["partitions"]}
        granted_at = {each: [granted[partition_of_id(each, self.partitions)]] for each in changes}
        return demo_summary.doubles(self.cloud.looks(), changes, granted_at)

    def differences(self, stack: str) -> list[str]:
        """Where the engine's copy of the stack's resources differs from the cloud."""
        truth = {each["id"]: each for each in self.cloud.truth()}
        found = []
        for node in self.nodes(stack):
            copy = self.api(f"/v1/resources/{node['resource_type']}/{node['resource_id']}")["snapshot"]
            real = truth.get(node["resource_id"])
            exists = real is not None and real["exists"]
            # Some types have no status (subnets): then there is none to compare.
            if copy["exists"] != exists or (exists and copy.get("status") not in (None, real["status"])):
                found.append(f"{node['name']}: engine {copy}, cloud {real}")
        return found

    def wait_alike(self, stack: str, bound: float = 30) -> None:
        """Until the engine's copies are the cloud's: a port that comes up with the last server does so beside it, and
        is known by its own notification, which may be a moment behind the stack's completion."""

        def alike() -> bool:
            assert self.differences(stack) == []
            return True

        wait_until(alike, bound=bound, what="the engine's copy is the cloud's")

    def tail(self, lines: int = 30) -> str:
        """The end of every log, for a failing test."""
        return "\n".join(
            f"== {name}\n" + "\n".join(process.output().splitlines()[-lines:])
            for name, process in self.processes.items()
        )

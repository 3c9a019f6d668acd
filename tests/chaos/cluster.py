"""The deployment that a chaos run breaks: each process reaches each of its dependencies through a proxy of its own."""
from __future__ import annotations

import pathlib
import shutil
import sys
from collections.abc import Mapping

from obsvc.cmd import settings_file
from obsvc.process import failpoints
from tests.chaos import recorder, schedule
from tests.chaos.proxy import Proxies
from tests.support.processes.deployment import Deployment, Process, SimulatedCloud
from tests.support.processes.servers import Etcd, PostgreSQL, RabbitMQ, free_port

ROOT = pathlib.Path(__file__).parents[2]

PARTITIONS = 64
LEASE = 4.0
BEAT = 0.5

#: Short times, so that three minutes hold many faults; attempts enough that none of them fails a stack.
OPTIONS: dict[str, dict[str, object]] = {
    "coordination": {"lease": LEASE, "beat_interval": BEAT},
    "engine": {"member_timeout": 4, "drain_timeout": 8, "job_lease": 10, "job_attempts": 100, "job_retry_max": 2,
               "threads": 32, "progress_interval": 5},
    "engine_client": {"timeout": 4},
    "observer": {"poll_initial": 4, "poll_max": 15, "mark_after": 2, "allowed_lag": 3, "memory_window": 20,
                 "drain_timeout": 8, "fetch_threads": 6, "appear_timeout": 10, "takeover_spread": 2},
    # half of job_lease at most
    "cloud": {"request_timeout": 4},
}


def find_faketime() -> pathlib.Path:
    """libfaketime, which tools/install-servers installs."""
    for folder in pathlib.Path("/usr/lib").glob("*/faketime"):
        library = folder / "libfaketimeMT.so.1"
        if library.exists():
            return library
    raise RuntimeError("libfaketime is not installed: run tools/install-servers (Debian: apt-get install libfaketime)")


class Cluster(Deployment):
    """without: the guard that its processes run without (``tests.chaos.unguarded``), or None."""

    def __init__(self, folder: pathlib.Path, *, postgresql: PostgreSQL, etcd: Etcd, rabbitmq: RabbitMQ,
                 cloud: SimulatedCloud, proxies: Proxies, without: str | None = None) -> None:
        self.database = postgresql.create_database("chaos")
        self.proxies = proxies
        self._servers = {"database": postgresql, "etcd": etcd, "bus": rabbitmq}
        self._without = without
        self.clock = folder / "clock"
        self.records = folder / "records"
        for each in (folder, self.records):
            each.mkdir(parents=True, exist_ok=True)
        self.set_clock(0)
        self._own: dict[str, dict[str, dict[str, object]]] = {}
        super().__init__(
            folder, database=self.database, coordination=etcd.tooz_url, bus=rabbitmq.url, cloud=cloud, engines=2,
            observers=len(schedule.OBSERVERS), workers=len(schedule.WORKERS), partitions=PARTITIONS,
            options=OPTIONS | {"sweep": {"enabled": without is None}},  # sweeps mend what the guards prevent
        )

    def _add(self, name: str, command: str, own: Mapping[str, Mapping[str, object]]) -> Process:
        merged = {group: dict(values) for group, values in own.items()}
        for group, values in self._through_proxies(name, command).items():
            merged.setdefault(group, {}).update(values)
        self._own[name] = merged
        return self._process(name, command, merged)

    def _process(self, name: str, command: str, own: Mapping[str, Mapping[str, object]], *before: str,
                 clocked: bool = False) -> Process:
        config = settings_file.write(self.folder / f"{name}.conf", own)
        module = ["tests.chaos.unguarded", self._without] if self._without else ["tests.chaos.entry"]
        words = [sys.executable, "-m", *module, *before, "--config-file", str(self.config), "--config-file",
                 str(config), command]
        self.processes[name] = Process(name, words, self.folder, self._environment(name, command, clocked=clocked))
        return self.processes[name]

    def _environment(self, name: str, command: str, *, clocked: bool) -> dict[str, str]:
        points = self.points(name)
        points.mkdir(parents=True, exist_ok=True)
        found = {"PYTHONPATH": str(ROOT), failpoints.VARIABLE: str(points)}
        if command == "observer":
            found[recorder.VARIABLE] = str(self.records / f"{name}.jsonl")
        if clocked:
            # the monotonic clock stays true, as it does where an administrator or NTP sets the wall clock
            found |= {"LD_PRELOAD": str(find_faketime()), "FAKETIME_TIMESTAMP_FILE": str(self.clock),
                      "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                      "DONT_FAKE_MONOTONIC": "1"}
        return found

    def _through_proxies(self, name: str, command: str) -> dict[str, dict[str, object]]:
        add, servers = self.proxies.add, self._servers
        if command == "engine":
            port = add(f"{name}/database", servers["database"].port)
            return {"database": {"url": self.database.replace(f":{servers['database'].port}/", f":{port}/")}}
        engines = [add(f"{name}/engine-{number}", port) for number, port in enumerate(self.engine_ports, 1)]
        found: dict[str, dict[str, object]] = {
            "engine_client": {"endpoints": [f"http://127.0.0.1:{port}" for port in engines]},
        }
        if command in ("observer", "worker"):
            found["cloud"] = {"auth_url": f"http://127.0.0.1:{add(f'{name}/cloud', self.cloud.port)}/identity/v3"}
        if command == "observer":
            bus, etcd = add(f"{name}/bus", servers["bus"].port), add(f"{name}/etcd", servers["etcd"].port)
            found["bus:cloud"] = {"url": self.bus.replace(f":{servers['bus'].port}/", f":{bus}/")}
            found["coordination"] = {"backend_urls": f"etcd3+http://127.0.0.1:{etcd}"}
        return found

    # what faults do with it

    def points(self, name: str) -> pathlib.Path:
        """The folder in which the failpoints of a process are armed."""
        return self.folder / "points" / name

    def anew(self, name: str, *, clocked: bool) -> Process:
        """The observer ``name`` as a process to be started; clocked: under libfaketime.  None runs so for longer
        than its fault lasts: the library has faults of its own."""
        return self._process(name, "observer", self._own[name], clocked=clocked)

    def set_clock(self, seconds: float) -> None:
        """The wall clock of a process that is clocked is off by ``seconds``."""
        new = self.clock.with_suffix(".new")
        new.write_text(f"{seconds:+.1f}\n")
        shutil.move(new, self.clock)

    def twin(self, name: str) -> Process:
        """A second process of the member ``name``, not started."""
        own = {**self._own[name], "observer": {**self._own[name]["observer"], "health_port": free_port()}}
        return self._process(f"{name}-twin", "observer", own)

    def old_member(self, name: str, contract: int) -> Process:
        """A member that says it speaks contract version ``contract``, not started."""
        own = {"observer": {"name": name, "health_port": free_port()}}
        return self._process(name, "observer", own, "--contract", str(contract))

    def upgrade_database(self) -> None:
        super().upgrade_database()
        from tests.chaos import audit

        audit.install(self.database)

    def observers(self) -> list[str]:
        """The members that there are to be: the running ones by their own names."""
        return [name for name in self.of_kind("observer") if not name.endswith(("-twin", "-old"))]

    def threads(self) -> dict[str, int]:
        """Threads of each running process."""
        found = {}
        for name, process in self.processes.items():
            if process.running:
                status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
                found[name] = int(next(line for line in status.splitlines() if line.startswith("Threads:")).split()[1])
        return found



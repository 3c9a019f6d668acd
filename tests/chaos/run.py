"""One run: servers and processes up, workload and faults, everything healed, and the last look at what is.

The order of faults is the plan's; two run at once where they break different processes and neither must have the
cluster for itself.  Whatever the run learns goes into the history; nothing is judged here.
"""
from __future__ import annotations

import concurrent.futures
import contextlib
import logging
import pathlib
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import etcd3gw

from tests.chaos import audit, schedule
from tests.chaos.cluster import BEAT, LEASE, PARTITIONS, Cluster
from tests.chaos.faults import Faults, clear
from tests.chaos.history import Writer, mono_of_wall, read_lines
from tests.chaos.proxy import Proxies
from tests.chaos.schedule import Fault
from tests.chaos.workload import Workload
from tests.support.processes.deployment import SimulatedCloud
from tests.support.processes.servers import Etcd, PostgreSQL, RabbitMQ, descendants, wait_until

LOG = logging.getLogger(__name__)

#: Seconds after the last fault within which all is to be as it should: the longest backoff (30 s), a lease, and a
#: busy machine's share.
HEAL = 120.0

#: Seconds after a fault that must move nothing during which nothing may move.
SETTLE = 4.0

#: Seconds by which a thread that only waits is late on a machine that has too much to do.
STALL = LEASE / 4

#: Seconds that a fault of its own waits until everything before it has settled.
CALM = 30.0


def run(seed: int, minutes: float, path: pathlib.Path, folder: pathlib.Path, *, without: str | None = None,
        numbers: Sequence[int] = schedule.NUMBERS, only: str = "") -> None:
    """Run, and write the history to ``path``.

    minutes: of faults; beginning and healing come on top.  numbers, only: as of a plan.
    folder: for the processes' files, their logs among them.
    """
    plan = schedule.plan(seed, minutes * 60.0, numbers, only=only)
    history = Writer(path)
    history.note("run", seed=seed, minutes=minutes, without=without, partitions=PARTITIONS, lease=LEASE, beat=BEAT,
                 planned=len(plan), folder=str(folder))
    with _servers() as (rabbitmq, etcd, postgresql):
        cloud = SimulatedCloud(folder, rabbitmq.url, "--build-time", "uniform:0.3,2")
        proxies = Proxies(seed)
        cluster = Cluster(folder, postgresql=postgresql, etcd=etcd, rabbitmq=rabbitmq, cloud=cloud, proxies=proxies,
                          without=without)
        try:
            cloud.start()
            with cluster:
                workload = Workload(seed, cluster, history, faults=len(plan))
                workload.prepare()
                wait_until(lambda: not _differences(cluster), bound=HEAL, what="everything seen once", interval=0.5)
                history.note("began", threads=cluster.threads())
                stop = threading.Event()
                faults = Faults(seed, cluster, rabbitmq=rabbitmq, etcd=etcd, postgresql=postgresql,
                                workload=workload, stop=stop)
                _Execution(plan, faults, cluster, workload, history).run(stop)
                _heal(cluster, history)
                _collect(cluster, rabbitmq, history)
                _end(cluster, etcd, history)
        finally:
            cloud.process.kill()
            proxies.close()
    _gather(cluster, history)
    history.close()


@contextlib.contextmanager
def _servers() -> Iterator[tuple[RabbitMQ, Etcd, PostgreSQL]]:
    with RabbitMQ() as rabbitmq, Etcd() as etcd, PostgreSQL() as postgresql:
        yield rabbitmq, etcd, postgresql


class _Execution:
    """The plan, carried out."""

    def __init__(self, plan: Sequence[Fault], faults: Faults, cluster: Cluster, workload: Workload,
                 history: Writer) -> None:
        self._plan = plan
        self._faults = faults
        self._cluster = cluster
        self._workload = workload
        self._history = history
        self._running: dict[int, tuple[Fault, threading.Thread]] = {}
        self._lock = threading.Lock()

    def run(self, stop: threading.Event) -> None:
        """Until every fault is over."""
        quit_work = threading.Event()
        threading.Thread(target=self._note_stalls, args=(quit_work,), name="stalls", daemon=True).start()
        worker = threading.Thread(target=self._workload.run, args=(quit_work,), name="workload", daemon=True)
        worker.start()
        began = time.monotonic()
        try:
            for fault in self._plan:
                stop.wait(max(0.0, began + fault.at - time.monotonic()))
                self._begin(fault, stop)
            self._wait(lambda other: True)
        finally:
            quit_work.set()
            worker.join(30)

    def _note_stalls(self, stop: threading.Event) -> None:
        """Note when this machine lets a thread wait for so long that a lease may lapse by that alone."""
        last = time.monotonic()
        while not stop.wait(STALL / 4):
            now = time.monotonic()
            if now - last > STALL:
                self._history.note("stall", seconds=now - last)
            last = now

    def _begin(self, fault: Fault, stop: threading.Event) -> None:
        if fault.alone:
            self._wait(lambda other: True)
            settled = self._settled()
            self._carry_out(fault, stop, settled=settled)
            return
        everyone = not fault.target or fault.variant in ("rolling", "scale")
        self._wait(lambda other: other.target == fault.target or (everyone and not other.target))
        thread = threading.Thread(target=self._carry_out, args=(fault, stop), name=f"fault-{fault.id}", daemon=True)
        with self._lock:
            self._running[fault.id] = (fault, thread)
        thread.start()

    def _wait(self, concerns: Any) -> None:
        with self._lock:
            threads = [thread for other, thread in self._running.values() if concerns(other)]
        for thread in threads:
            thread.join()

    def _settled(self) -> bool:
        with contextlib.suppress(AssertionError):
            self._cluster.wait_owned(self._cluster.observers(), bound=CALM)
            return True
        return False

    def _carry_out(self, fault: Fault, stop: threading.Event, *, settled: bool = False) -> None:
        self._history.note("fault", id=fault.id, number=fault.number, variant=fault.variant, target=fault.target,
                           detail=fault.detail, seconds=fault.seconds, alone=fault.alone, settled=settled)
        strikes = threading.Thread(target=self._strike, args=(fault, stop), daemon=True)
        strikes.start()
        told: dict[str, Any] = {}
        try:
            told = self._faults.inject(fault)
        except Exception as error:  # the run goes on, and the history says that this fault was not injected whole
            LOG.exception("fault %d (%d %s) failed", fault.id, fault.number, fault.variant)
            told = {"error": f"{type(error).__name__}: {error}"}
        strikes.join()
        if fault.alone:
            stop.wait(SETTLE)
        self._history.note("fault_over", id=fault.id, **told)
        with self._lock:
            self._running.pop(fault.id, None)

    def _strike(self, fault: Fault, stop: threading.Event) -> None:
        if fault.number == 12 and fault.variant == "lost":
            return
        with contextlib.suppress(OSError):
            self._workload.strike(fault.seconds + LEASE, stop)


def _heal(cluster: Cluster, history: Writer) -> None:
    """Make everything whole that a fault may have left, and wait until it shows."""
    clear(cluster.folder)
    cluster.proxies.heal()
    cluster.set_clock(0)
    for name, process in cluster.processes.items():
        wanted = name in (*schedule.OBSERVERS, *schedule.WORKERS, *schedule.ENGINES, "api")
        if wanted and not process.running:
            history.note("ended", name=name, code=process.exit_code)
            process.start()
        elif not wanted and process.running:
            process.stop()
    history.note("healed")
    began = time.monotonic()
    for what, good in (("owned", lambda: cluster.wait_owned(schedule.OBSERVERS, bound=1)),
                       ("stacks", lambda: not _unfinished(cluster)), ("alike", lambda: not _differences(cluster))):
        with contextlib.suppress(AssertionError):
            wait_until(good, bound=max(1.0, began + HEAL - time.monotonic()), what=what, interval=0.5)
        history.note("waited", what=what, seconds=time.monotonic() - began)


def _differences(cluster: Cluster) -> list[str]:
    """Ids of the observed resources whose copy is not the cloud's; by the run only to know when to stop waiting."""
    truth = {each["id"]: each for each in cluster.cloud.truth()}
    return [each["id"] for each in audit.copies(cluster.database)
            if not each["seen"] or each["exists"] != truth[each["id"]]["exists"]
            or (each["exists"] and (each["name"], each["status"]) != (truth[each["id"]]["name"],
                                                                      truth[each["id"]]["status"]))]


def _unfinished(cluster: Cluster) -> list[Any]:
    return audit.rows(cluster.database, "select name from stack where status like '%IN_PROGRESS'")


def _collect(cluster: Cluster, rabbitmq: RabbitMQ, history: Writer) -> None:
    """What is in the end, with everything still running."""
    database = cluster.database
    history.note("copies", copies=audit.copies(database))
    history.note("truth", resources=cluster.cloud.truth())
    partitions: list[Any] = []
    with contextlib.suppress(OSError):
        partitions = cluster.api("/v1/partitions")["partitions"]
    history.note("partitions", partitions=partitions, members=list(schedule.OBSERVERS))
    history.note("goals", stacks=audit.rows(database, "select stack_id, name, status from stack"),
                 nodes=audit.rows(database, "select stack_id, name, status, marker, resource_id from node"),
                 observations=audit.rows(database, "select observation_id, resource_id, stack_id from observation "
                                                   "join resource using (ref_key)"),
                 jobs=audit.rows(database, "select job_id, status from job where lease_token is not null "
                                           "and finished_at is null"))
    history.note("threads", threads=cluster.threads())
    queues = rabbitmq.ctl("list_queues", "name").split()
    history.note("queues", queues=[name for name in queues if name.startswith("obsvc.")])
    emitted: list[Any] = []
    while page := cluster.cloud.get(f"notifications?since={emitted[-1]['seq'] if emitted else 0}")["notifications"]:
        emitted += page
    counts: dict[str, int] = {}
    for each in emitted:
        counts[each["resource_id"]] = counts.get(each["resource_id"], 0) + 1
    history.note("emitted", counts=counts)


def _end(cluster: Cluster, etcd: Etcd, history: Writer) -> None:
    """Stop everything gracefully, and see what stays."""
    groups = {name: {process.pid, *descendants(process.pid)} for name, process in cluster.processes.items()
              if process.running}
    codes: dict[str, int | None] = {}
    for kind in ("worker", "observer", "api", "engine"):
        names = [name for name in groups if name.startswith(kind)]
        with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
            codes |= zip(names, pool.map(lambda name: cluster.processes[name].stop(), names), strict=True)
    client = etcd3gw.client(host="127.0.0.1", port=etcd.port, timeout=5)

    def keys() -> list[str]:
        return [meta["key"].decode() for _, meta in client.get_prefix("tooz/groups/") if b"@" in meta["key"]]

    def leases() -> int:
        return len(client.post(client.get_url("/lease/leases"), json={}).get("leases", []))

    def left() -> dict[str, list[int]]:
        found = {name: [pid for pid in pids if _lives(pid)] for name, pids in groups.items()}
        return {name: pids for name, pids in found.items() if pids}

    with contextlib.suppress(AssertionError):  # a lease that nobody keeps is over by itself
        wait_until(lambda: not leases() and not keys() and not left(), bound=LEASE * 4, what="nothing left")
    history.note("ended_all", codes=codes, left=left(), keys=keys(), leases=leases())
    for event in audit.read(cluster.database, mono_of_wall()):
        history.note(**event)


def _lives(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent to notice does not."""
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def _gather(cluster: Cluster, history: Writer) -> None:
    """What others wrote: the members' own records."""
    for path in sorted(cluster.records.glob("*.jsonl")):
        for event in read_lines(path):
            fields = {key: value for key, value in event.items() if key not in ("kind", "request")}
            if event["kind"] in ("sent", "answered"):
                fields["request"] = _shortened(event)
            history.note(event["kind"], **fields)


def _shortened(event: Any) -> Any:
    """A request without the attributes of snapshots, which make the history large and prove nothing."""
    if event["op"] != "report":
        return {key: value for key, value in event["request"].items() if key != "items"}
    reports = [{**report, "snapshot": {key: report["snapshot"].get(key) for key in ("exists", "condition", "name")}}
               for report in event["request"]["reports"]]
    return {**event["request"], "reports": reports}


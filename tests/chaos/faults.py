"""How each fault is injected and healed.  One method for each number of the list in docs/design.md,
"Faults"; each returns when it is over.

A method raises nothing for what it broke: it returns what it did (``reached``: the failpoint was come to).  Processes
that it ended are running again when it returns, the network is whole, and dials are back.
"""
from __future__ import annotations

import contextlib
import json
import os
import pathlib
import random
import signal
import threading
import time
from typing import Any

import etcd3gw
import kombu
import psycopg

from obsvc.engine_client.contract import CONTRACT_VERSION
from obsvc.messaging.topology import queue_name
from tests.chaos import audit, schedule
from tests.chaos.cluster import LEASE, PARTITIONS, Cluster
from tests.chaos.history import read_lines
from tests.chaos.proxy import MODES, PASS
from tests.chaos.schedule import Fault
from tests.chaos.workload import Workload
from tests.support.processes.deployment import Process, http_json
from tests.support.processes.servers import Etcd, PostgreSQL, RabbitMQ, descendants, wait_until

#: Seconds that a process may take to come to an armed failpoint; some points are rare (marks).
REACH = 6.0

#: Seconds that a stopped process may take to end.
STOP = 40.0

FaultRecord = dict[str, Any]


class Faults:
    """Injects faults into one run.  ``stop``: set when the run is to end; waits end then."""

    def __init__(self, seed: int, cluster: Cluster, *, rabbitmq: RabbitMQ, etcd: Etcd, postgresql: PostgreSQL,
                 workload: Workload, stop: threading.Event) -> None:
        self._seed = seed
        self._cluster = cluster
        self._rabbitmq, self._etcd, self._postgresql = rabbitmq, etcd, postgresql
        self._workload = workload
        self._stop = stop

    def inject(self, fault: Fault) -> FaultRecord:
        """Do it, for as long as it says, and undo it."""
        return getattr(self, f"_fault_{fault.number}")(fault) or {}

    def _source(self, fault: Fault) -> random.Random:
        return random.Random(f"{self._seed}/{fault.id}")

    def _process(self, fault: Fault) -> Process:
        return self._cluster.processes[fault.target]

    # 1, 2: at named points

    def _fault_1(self, fault: Fault) -> FaultRecord:
        """SIGKILL of a process itself at a point; of the whole of it where it does not come there in time."""
        process = self._process(fault)
        before = descendants(process.pid)
        reached = self._arm(fault, "KILL")
        if fault.target.startswith("engine"):  # gunicorn's worker or the due child died; the engine heals itself
            if not reached:
                for child in before:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(child, signal.SIGKILL)
            return {"reached": reached}
        if not reached:
            process.kill()
        self._stop.wait(self._source(fault).uniform(0.0, fault.seconds))
        self._restart(fault.target)
        return {"reached": reached}

    def _fault_2(self, fault: Fault) -> FaultRecord:
        """Asleep for longer than the lease, with a report about to be sent."""
        reached = self._arm(fault, "STOP")
        process = self._process(fault)
        process.send_signal(signal.SIGSTOP)
        self._stop.wait(LEASE + fault.seconds)
        process.send_signal(signal.SIGCONT)
        return {"reached": reached}

    def _arm(self, fault: Fault, wanted: str) -> bool:
        order = self._cluster.points(fault.target) / fault.detail
        order.with_suffix(".new").write_text(wanted)
        order.with_suffix(".new").rename(order)
        try:
            wait_until(lambda: self._stop.is_set() or not order.exists(), bound=REACH, what=f"{fault.detail} reached")
        except AssertionError:
            order.unlink(missing_ok=True)
            return False
        return not order.exists()

    # 3: graceful

    def _fault_3(self, fault: Fault) -> FaultRecord:
        if fault.variant == "scale":
            more = [self._extra_observer(number) for number in (4, 5)]
            self._stop.wait(fault.seconds + LEASE)
            return {"exit": [process.stop(STOP) for process in more]}
        targets = schedule.OBSERVERS if fault.variant == "rolling" else (fault.target,)
        codes = []
        for name in targets:
            codes.append(self._cluster.processes[name].stop(STOP))
            self._restart(name)
        return {"exit": codes}

    def _extra_observer(self, number: int) -> Process:
        name = f"observer-{number}"
        known = self._cluster.processes.get(name)
        return (known or self._cluster.add_member("observer", name)).start()

    def _restart(self, name: str) -> None:
        process = self._cluster.processes[name]
        process.kill()
        process.start()
        with contextlib.suppress(AssertionError):  # another fault may keep it from being ready
            wait_until(lambda: self._stop.is_set() or self._healthy(name), bound=15, what=f"{name} up")

    def _healthy(self, name: str) -> bool:
        return http_json(f"http://127.0.0.1:{self._cluster.health_ports[name]}/healthz") is not None

    # 4, 5, 7: the network

    def _fault_4(self, fault: Fault) -> FaultRecord:
        how, _, then = fault.variant.partition("-then-")
        with self._turned(fault, how):
            if not then:
                self._stop.wait(fault.seconds)
                return {}
            # what it heard meanwhile is marked, so long ago that nobody's memory is asked for it
            self._stop.wait(8.0)
            process = self._process(fault)
            if then == "sleep":
                process.send_signal(signal.SIGSTOP)
                self._stop.wait(LEASE + fault.seconds)
            else:
                process.kill() if then == "kill" else process.stop(STOP)
        if then == "sleep":
            process.send_signal(signal.SIGCONT)
            return {}
        self._stop.wait(2.0)
        self._restart(fault.target)
        return {}

    def _fault_5(self, fault: Fault) -> FaultRecord:
        with self._turned(fault, fault.variant):
            self._stop.wait(fault.seconds)
        return {}

    def _fault_7(self, fault: Fault) -> FaultRecord:
        if fault.variant != "fenced":
            return self._fault_5(fault)
        source, taken = self._source(fault), 0
        claims = [{"partition": number, "reason": "vanished"}
                  for number in sorted(source.sample(range(PARTITIONS), 8))]
        phantom = {"name": "phantom", "incarnation": f"{source.getrandbits(32):08x}"}
        with contextlib.suppress(OSError):
            reply = self._ask_engine("claim", {"member": phantom, "claim_id": f"{source.getrandbits(64):x}",
                                               "claims": claims})
            taken = len(reply["grants"])
        self._stop.wait(fault.seconds)
        return {"taken": taken}

    @contextlib.contextmanager
    def _turned(self, fault: Fault, how: str):
        names = self._cluster.proxies.matching(fault.target, fault.detail)
        for name in names:
            self._cluster.proxies.turn(name, MODES[how])
        try:
            yield
        finally:
            for name in names:
                self._cluster.proxies.turn(name, PASS)

    def _ask_engine(self, operation: str, request: object) -> Any:
        port = self._cluster.engine_ports[0]
        return http_json(f"http://127.0.0.1:{port}/v1/{operation}", method="POST", body=request, timeout=10)

    # 6, 11: the coordination backend

    def _fault_6(self, fault: Fault) -> FaultRecord:
        if fault.variant == "restart":
            self._etcd.kill()
            self._stop.wait(min(fault.seconds, 5.0))
            self._etcd.start()
            return {}
        return {"wiped": self._wipe("")}

    def _wipe(self, member: str) -> int:
        """Delete the group's keys, or those of one member."""
        client = etcd3gw.client(host="127.0.0.1", port=self._etcd.port, timeout=5)
        keys = [meta["key"] for _, meta in client.get_prefix("tooz/groups/")]
        return sum(bool(client.delete(key)) for key in keys if member.encode() in key)

    def _fault_11(self, fault: Fault) -> FaultRecord:
        source, deleted, end = self._source(fault), 0, time.monotonic() + fault.seconds
        while time.monotonic() < end and not self._stop.is_set():
            with contextlib.suppress(OSError, etcd3gw.exceptions.Etcd3Exception):
                deleted += self._wipe(f"{fault.target}@")
            self._stop.wait(source.uniform(0.2, 1.2))
        return {"deleted": deleted}

    # 8, 9, 10: odd members

    def _fault_8(self, fault: Fault) -> FaultRecord:
        self._process(fault).kill()
        self._cluster.anew(fault.target, clocked=True)
        self._restart(fault.target)
        self._stop.wait(3.0)  # it owns and works before its clock jumps
        self._cluster.set_clock(float(fault.detail))
        self._stop.wait(fault.seconds)
        self._cluster.set_clock(0)
        self._stop.wait(1.0)
        self._process(fault).kill()
        self._cluster.anew(fault.target, clocked=False)
        self._restart(fault.target)
        return {}

    def _fault_9(self, fault: Fault) -> FaultRecord:
        twin = self._cluster.twin(fault.target).start()
        self._stop.wait(fault.seconds + 4.0)
        return {"exit": twin.stop(STOP)}

    def _fault_10(self, fault: Fault) -> FaultRecord:
        old = self._cluster.old_member(fault.target, CONTRACT_VERSION - 1).start()
        self._stop.wait(fault.seconds + 4.0)
        return {"exit": old.stop(STOP)}

    # 12, 14: notifications and their broker

    def _fault_12(self, fault: Fault) -> FaultRecord:
        cloud, sent = self._cluster.cloud, 0
        dials = {
            "mixed": {"duplicated_share": 0.4, "reordered_share": 0.5, "reordered_seconds": 1.5},
            "late": {"delayed_share": 0.5, "delayed_seconds": 3.0},
            "lost": {"lost_share": 0.7},
            "garbage": {},
        }[fault.variant]
        if fault.variant == "lost":
            self._workload.hushed.set()
            self._stop.wait(0.5)
        cloud.dial(**dials)
        if fault.variant == "garbage":
            sent = self._garbage(fault)
        self._stop.wait(fault.seconds)
        cloud.dial(duplicated_share=0.0, reordered_share=0.0, delayed_share=1.0, delayed_seconds=0.0, lost_share=0.0)
        self._workload.hushed.clear()
        return {"sent": sent}

    def _garbage(self, fault: Fault) -> int:
        source = self._source(fault)
        bodies = [b"", b"\xff\xfe\x00", b"{", b"null", b'{"oslo.version": "2.0"}', b'{"oslo.message": "{"}',
                  json.dumps({"event_type": 3, "payload": []}).encode(),
                  json.dumps({"event_type": "sim.resource.update.end", "payload": {"resource": {"id": "x" * 400}}}
                             ).encode(),
                  json.dumps({"event_type": "sim.resource.update.end", "payload": "y" * 3_000_000}).encode()]
        with kombu.Connection(self._rabbitmq.url, connect_timeout=5) as connection:
            producer = connection.Producer()
            for body in source.choices(bodies, k=20):
                producer.publish(body, exchange="sim", routing_key="notifications.info", content_encoding="binary",
                                 content_type="application/json")
        return 20

    def _fault_14(self, fault: Fault) -> FaultRecord:
        if fault.variant == "restart":
            self._rabbitmq.kill()
            self._rabbitmq.start()
            return {}
        queues = [queue_name(name, "cloud") for name in self._cluster.of_kind("observer")]
        for queue in queues:
            self._rabbitmq.ctl("delete_queue", queue)
        return {"queues": queues}

    # 13: replays

    def _fault_13(self, fault: Fault) -> FaultRecord:
        """Reports that observers sent, again: as they were, and as a late one of an old generation would be."""
        requests = [request for path in sorted(self._cluster.records.glob("*.jsonl")) for request in _reports(path)]
        source, verdicts, generations = self._source(fault), [], {}
        with contextlib.suppress(psycopg.Error):
            generations = self._generations()
        chosen = source.sample(requests, min(40, len(requests)))
        for request in chosen + [late for each in chosen for late in _late(each, requests, generations)]:
            with contextlib.suppress(OSError):
                reply = self._ask_engine("report", request)
                verdicts += [outcome["verdict"] for outcome in reply["outcomes"]]
        self._stop.wait(1.0)
        return {"verdicts": {verdict: verdicts.count(verdict) for verdict in set(verdicts)}}

    def _generations(self) -> dict[int, int]:
        found = audit.rows(self._cluster.database, "select partition_id, generation from partition_state")
        return {row["partition_id"]: row["generation"] for row in found}

    # 15: the database

    def _fault_15(self, fault: Fault) -> FaultRecord:
        if fault.variant == "restart":
            self._postgresql.kill()
            self._stop.wait(1.0)
            self._postgresql.start()
            return {}
        end, rounds = time.monotonic() + fault.seconds, 0
        while time.monotonic() < end and not self._stop.is_set():
            with contextlib.suppress(psycopg.Error):
                self._terminate() if fault.variant == "terminate" else self._dead_lock(self._source(fault))
                rounds += 1
            self._stop.wait(0.5)
        return {"rounds": rounds}

    def _terminate(self) -> None:
        audit.rows(self._cluster.database, "select pg_terminate_backend(pid) from pg_stat_activity "
                                           "where datname = 'chaos' and pid <> pg_backend_pid()")

    def _dead_lock(self, source: random.Random) -> None:
        """Lock partitions in the order that nobody should."""
        with psycopg.connect(audit.dsn_of(self._cluster.database), connect_timeout=5) as connection:
            for number in sorted(source.sample(range(PARTITIONS), 12), reverse=True):
                connection.execute("select 1 from partition_state where partition_id = %s for update", (number,))
                time.sleep(0.03)
            connection.rollback()


def _reports(path: pathlib.Path) -> list[Any]:
    return [event["request"] for event in read_lines(path) if event["kind"] == "sent" and event["op"] == "report"]


def _late(request: Any, requests: list[Any], generations: dict[int, int]) -> list[Any]:
    """What a member that slept would still send: a look later than all that it sent, under a generation that is over
    by now.  (Under one that is not over it would be no late report but a forged one.)"""
    last = max(report["sequence"] for each in requests if each["member"] == request["member"]
               for report in each["reports"])
    late = [{**report, "sequence": last + 1000 + number} for number, report in enumerate(request["reports"])
            if report["generation"] < generations.get(report["partition"], 0)]
    return [{**request, "reports": late}] if late else []


def clear(folder: pathlib.Path) -> None:
    """Take every armed failpoint away."""
    for each in (folder / "points").glob("*/*"):
        each.unlink(missing_ok=True)



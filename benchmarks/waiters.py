"""A thousand waiters and two hundred watchers on one API process, then a thousand changes in a second; and pollers.

Each waiter waits for its own resource by long poll, each watcher reads every change as server-sent events.  They wait
for ``--hold`` seconds, then every resource changes once within a second.  Beside it as many pollers ask for the same
resources every second, over as long, for as many changes.  An engine, PostgreSQL, one API process without
authentication; the changes are reported by a stand-in, the clients are one event loop in a process of its own.

Delays are from the engine's time of the change, taken as its transaction begins, to its arrival at the client.
"""
from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.harness import ROOT, Goal, Ratio, Results, cpu_of_session, main, memory_of_session, progress
from obsvc.engine_client.http import HttpEngine
from obsvc.engine_client.observations import ChangesRequest
from obsvc.model import Ref
from tests.support.processes.deployment import Deployment, SimulatedCloud
from tests.support.processes.reporting import StandIn
from tests.support.processes.servers import PostgreSQL

RATIOS = (
    Ratio("API requests: waiters / pollers", "requests", "waiters", "pollers", 0.2),
    Ratio("median delay: waiters / pollers", "delay_median_s", "waiters", "pollers", 0.5),
)
GOALS = (
    Goal("changes that a watcher did not get, or twice", "wrong", "watchers", 0, worst=True),
    Goal("waiters that did not learn of their change", "wrong", "waiters", 0, worst=True),
    Goal("watchers: p99 from commit to client, s", "delay_p99_s", "watchers"),
    Goal("waiters: p99 from commit to client, s", "delay_p99_s", "waiters"),
    Goal("memory of the API process, KiB a waiter or watcher", "memory_kib", "waiters"),
)

TYPE = "sim.resource"

#: Reports in one request of the stand-in.
BATCH = 20

#: Seconds between two polls of one resource.
POLL = 1.0

#: Seconds that all may take to begin to wait, and the changes to come.
BOUND = 90.0


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--waiters", type=int, default=1000, help="of one resource each (default 1000)")
    parser.add_argument("--watchers", type=int, default=200, help="of all of them (default 200)")
    parser.add_argument("--hold", type=float, default=10.0, help="seconds before the changes (default 10)")
    parser.add_argument("--within", type=float, default=1.0, help="seconds for all changes (default 1)")


def measure(asked: argparse.Namespace) -> Results:
    results = Results("waiters", RATIOS, GOALS, notes={
        "waiters": asked.waiters, "watchers": asked.watchers, "hold": asked.hold, "within": asked.within})
    with PostgreSQL() as server:
        for number in range(asked.runs):
            with deployed(server.create_database(f"run{number}"), asked.waiters + asked.watchers) as deployment:
                bench = Bench(deployment, asked)
                for name, figures in (*bench.wait().items(), *bench.poll().items()):
                    results.add(name, figures)
                    progress(f"run {number + 1} {name}: {figures}")
    return results


@contextlib.contextmanager
def deployed(database: str, most: int) -> Iterator[Deployment]:
    """An engine and one API process that lets ``most`` wait."""
    with tempfile.TemporaryDirectory(prefix="obsvc-bench-") as name:
        folder = pathlib.Path(name)
        deployment = Deployment(
            folder / "obsvc", database=database, coordination=f"file://{folder}/members",
            bus=f"filesystem://{folder}/bus", cloud=SimulatedCloud(folder, None), observers=0, workers=0,
            partitions=64,
            options={"api": {"max_waiters": most}, "emit": {"url": ""}, "engine_client": {"timeout": 30}})
        deployment.upgrade_database()
        try:
            for each in ("engine-1", "api"):
                deployment.processes[each].start()
                deployment.wait_ready(each)
            yield deployment
        finally:
            deployment.__exit__()


class Bench:
    """One deployment and its resources, each seen once."""

    def __init__(self, deployment: Deployment, asked: argparse.Namespace) -> None:
        self._deployment, self._asked = deployment, asked
        self._engine = HttpEngine([f"http://127.0.0.1:{deployment.engine_ports[0]}"], timeout=30)
        self._stand_in = StandIn(self._engine)
        self._refs = self._stand_in.observe(TYPE, asked.waiters)
        self._change(within=0.0)

    def wait(self) -> dict[str, dict[str, float]]:
        """Figures of waiters and watchers."""
        before = memory_of_session(self._api)
        clients = self._clients(watchers=self._asked.watchers, polls=None)
        time.sleep(self._asked.hold / 2)
        memory = memory_of_session(self._api) - before
        refused, health = self._beyond()
        told, versions, figures = self._changed(clients, self._asked.hold / 2)
        watched = [each for seen in told["watched"] for each in seen]
        wrong = sum([version for version, _ in seen] != versions for seen in told["watched"])
        missing = set(versions) - {version for version, _ in told["waits"]}
        count = self._asked.waiters + self._asked.watchers
        return {
            "waiters": delays(told["delays"]) | figures | {
                "requests": told["requests"] - self._asked.watchers, "wrong": len(missing),
                "memory_kib": memory / 1024 / count, "healthz_ms": health, "refused_retry_after_s": refused},
            "watchers": delays([at - self._at[version] for version, at in watched]) | {
                "requests": self._asked.watchers, "wrong": wrong + self._asked.watchers - len(told["watched"])},
        }

    def poll(self) -> dict[str, dict[str, float]]:
        """Figures of the pollers."""
        told, versions, figures = self._changed(self._clients(watchers=0, polls=POLL), self._asked.hold)
        missing = set(versions) - {version for version, _ in told["waits"]}
        return {"pollers": delays(told["delays"]) | figures | {"requests": told["requests"], "wrong": len(missing)}}

    @property
    def _api(self) -> int:
        return self._deployment.processes["api"].pid

    def _clients(self, *, watchers: int, polls: float | None) -> subprocess.Popen[str]:
        """The clients, once all of them wait."""
        work = {"host": "127.0.0.1", "port": self._deployment.api_port, "type": TYPE, "since": self._newest(),
                "refs": [ref.resource_id for ref in self._refs], "watchers": watchers, "polls": polls,
                "expected": len(self._refs), "bound": BOUND + self._asked.hold}
        clients = subprocess.Popen([sys.executable, "-m", "benchmarks.waiters_clients"], cwd=ROOT, text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        clients.stdin.write(json.dumps(work) + "\n")
        clients.stdin.flush()
        if clients.stdout.readline() != "waiting\n":
            clients.kill()
            raise RuntimeError("expected every client to wait, they ended")
        return clients

    def _newest(self) -> int:
        return self._engine.changes(ChangesRequest(since=None)).next

    def _beyond(self) -> tuple[float, float]:
        """While all wait: one more is refused, for how many seconds; /healthz answers, after how many milliseconds."""
        status, headers, body = self._get("/v1/changes?since=0&wait=5")
        if status != 503 or not headers.get("Retry-After", "").isdecimal():
            raise RuntimeError(f"expected 503 with Retry-After beyond max_waiters, got {status} {headers} {body!r}")
        began = time.monotonic()
        status, _, body = self._get("/healthz")
        if status != 200:
            raise RuntimeError(f"expected /healthz to answer 200 while all wait, got {status} {body!r}")
        return float(headers["Retry-After"]), (time.monotonic() - began) * 1e3

    def _get(self, path: str) -> tuple[int, Any, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._deployment.api_port, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read(1000)
        finally:
            connection.close()

    def _changed(
        self, clients: subprocess.Popen[str], hold: float
    ) -> tuple[dict[str, Any], list[int], dict[str, float]]:
        """After ``hold`` seconds every resource changes: what the clients saw, the versions, figures of the changes."""
        time.sleep(hold)
        before, began = cpu_of_session(self._api), time.monotonic()
        versions = self._change(within=self._asked.within)
        took = time.monotonic() - began
        told, _ = clients.communicate(timeout=2 * BOUND + hold)
        if clients.returncode:
            raise RuntimeError(f"expected the clients to end well, got {clients.returncode}")
        cpu = cpu_of_session(self._api) - before
        page = self._engine.changes(ChangesRequest(since=versions[0] - 1, limit=1000))
        self._at = {delta.version: delta.at for delta in page.deltas}
        while page.deltas:
            page = self._engine.changes(ChangesRequest(since=page.next, limit=1000))
            self._at |= {delta.version: delta.at for delta in page.deltas}
        return json.loads(told), versions, {"changes_took_s": took, "api_cpu_s": cpu}

    def _change(self, *, within: float) -> list[int]:
        """Every resource changes once, evenly over ``within`` seconds; the versions."""
        began, versions = time.monotonic(), []
        batches: list[list[Ref]] = [self._refs[at:at + BATCH] for at in range(0, len(self._refs), BATCH)]
        for number, some in enumerate(batches):
            time.sleep(max(0.0, began + within * number / len(batches) - time.monotonic()))
            versions += self._stand_in.change(some)
        return versions


def delays(found: list[float]) -> dict[str, float]:
    """Median, p99 and maximum, seconds."""
    if not found:
        return {}
    found = sorted(found)
    return {"delay_median_s": statistics.median(found), "delay_p99_s": found[round(0.99 * (len(found) - 1))],
            "delay_max_s": found[-1]}


if __name__ == "__main__":
    main("waiters", __doc__, measure, runs=3, options=options)

"""How long a resource is without an owner at work: a killed, a stopped and a drained member, under steady changes.

Three observers as processes, with real servers and the simulated cloud; every resource is changed (and notified) once a
second.  In each repetition one member goes; half of the resources change for the last time just before, so that a lost
notification would show for good (nothing is polled).  All times are by the engine's clock, which is this host's.

* ``kill``: from SIGKILL to the first accepted report for one of its resources by another member, and to the last of the
  resources that go on changing; ``kill-two``: two of the three at once.
* ``stop``: the same from SIGTERM.
* ``drain``: the largest gap between two accepted reports of one resource from ``obsvc member drain`` on, beside the
  largest one of an undisturbed run just before.
"""
from __future__ import annotations

import argparse
import pathlib
import signal
import tempfile
import threading
import time
from collections.abc import Iterable
from typing import Any

from benchmarks.harness import Goal, Results, main, progress
from obsvc.model import partition_of_id
from tests.support.processes.deployment import Deployment, SimulatedCloud
from tests.support.processes.servers import Etcd, PostgreSQL, RabbitMQ, wait_until
from tests.support.processes.watching import Watching

LEASE, BEAT = 5.0, 1.0
OBSERVERS = 3
#: Seconds between two changes of one resource, and how long an undisturbed run is measured.
INTERVAL, CALM = 1.0, 10.0
#: Seconds within which everything must be known and owned again.
BOUND = 60.0

GOALS = (
    Goal("SIGKILL to the first accepted report, s, median", "first_s", "kill", LEASE + 1),
    Goal("SIGKILL to the first accepted report, s, worst", "first_s", "kill", LEASE + 1, worst=True),
    Goal("graceful stop to the first accepted report, s, median", "first_s", "stop", 1.0),
    Goal("graceful stop to the first accepted report, s, worst", "first_s", "stop", 1.0, worst=True),
    Goal("drain: largest gap / undisturbed, median", "gap_ratio", "drain", 2.0),
    Goal("drain: largest gap / undisturbed, worst", "gap_ratio", "drain", 2.0, worst=True),
    Goal("two of three killed: to the first accepted report, s, worst", "first_s", "kill-two", None, worst=True),
)

GOERS = {"kill": 1, "stop": 1, "drain": 1, "kill-two": 2}


class Changer:
    """Changes every resource but the resting ones each INTERVAL seconds, evenly spread, on a thread of its own."""

    def __init__(self, watching: Watching, ids: list[str]) -> None:
        self._watching = watching
        self._ids = ids
        self._resting: frozenset[str] = frozenset()
        self._all_rest = False
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="changer", daemon=True)
        self.error: BaseException | None = None

    def start(self) -> Changer:
        self._thread.start()
        return self

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(30)

    def rest(self, ids: Iterable[str]) -> None:
        """Change these once more, now, and then leave them alone."""
        with self._lock:
            self._resting = frozenset(ids)
            self._watching.change(self._resting)

    def pause(self, *, paused: bool) -> None:
        with self._lock:
            self._all_rest = paused

    def _run(self) -> None:
        step = INTERVAL / len(self._ids)
        due = time.monotonic()
        try:
            while True:
                for each in self._ids:
                    due = max(due + step, time.monotonic() - INTERVAL)
                    if self._stop.wait(max(0.0, due - time.monotonic())):
                        return
                    with self._lock:
                        if not self._all_rest and each not in self._resting:
                            self._watching.change([each])
        except Exception as error:  # noqa: BLE001 - raised by the main thread
            self.error = error


class Scene:
    """The deployment under load, and what its changes feed says."""

    def __init__(self, deployment: Deployment, cloud: SimulatedCloud, resources: int) -> None:
        self.deployment = deployment
        self.watching = Watching(deployment, cloud)
        self.ids = self.watching.create_plain(resources)
        self.watching.wait_built(BOUND)
        self.watching.observe("sim.resource", self.ids, None)
        self.watching.wait_nothing_missing(BOUND, "the start")
        self.changer = Changer(self.watching, self.ids).start()
        self._since = 0

    def owned_by(self, name: str) -> list[str]:
        partitions = self.deployment.api("/v1/partitions")["partitions"]
        owners = {each["partition"]: each["owner"]["name"] for each in partitions}
        return [each for each in self.ids if owners[partition_of_id(each, self.deployment.partitions)] == name]

    def deltas(self) -> list[dict[str, Any]]:
        """Accepted reports since the last call."""
        found: list[dict[str, Any]] = []
        while True:
            page = self.deployment.api(f"/v1/changes?since={self._since}&limit=1000")
            found += page["changes"]
            self._since = page["next"]
            if not page["changes"]:
                return found

    def check(self) -> None:
        """Raise what ended the changer, if anything did."""
        if self.changer.error is not None:
            raise self.changer.error

    def nothing_lost(self) -> None:
        """All that was notified is known to the engine; raises after BOUND seconds."""
        self.changer.pause(paused=True)
        self.watching.wait_nothing_missing(BOUND, "a repetition")
        self.check()
        self.changer.rest(())
        self.changer.pause(paused=False)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repetitions", type=int, default=20, help="of each mode (default 20)")
    parser.add_argument("--modes", default="kill,stop,drain,kill-two", help="comma-separated (%(default)s)")
    parser.add_argument("--resources", type=int, default=40, help="observed and changed (default 40)")


def measure(asked: argparse.Namespace) -> Results:
    results = Results("failover", goals=GOALS, notes={
        "repetitions": asked.repetitions, "resources": asked.resources, "lease_s": LEASE, "lost": 0})
    with RabbitMQ() as broker, Etcd() as etcd, PostgreSQL() as database, \
            tempfile.TemporaryDirectory(prefix="obsvc-bench-") as name:
        folder = pathlib.Path(name)
        bus = broker.create_vhost("failover")
        cloud = SimulatedCloud(folder, bus, "--build-time", "0.2").start()
        try:
            with Deployment(
                folder / "obsvc", database=database.create_database("failover"), coordination=etcd.tooz_url, bus=bus,
                cloud=cloud, observers=OBSERVERS, workers=0, partitions=1024, options={
                    "coordination": {"lease": LEASE, "beat_interval": BEAT}, "engine": {"member_timeout": LEASE},
                    # no polls; and looks that follow their notifications closely, or they would hide short pauses
                    "observer": {"poll_initial": 600, "poll_max": 600, "coalesce_interval": 0.2, "settle_delay": 0.4},
                },
            ) as deployment:
                scene = Scene(deployment, cloud, asked.resources)
                for mode in asked.modes.split(","):
                    for number in range(asked.repetitions):
                        figures = repetition(scene, mode, number)
                        results.add(mode, figures)
                        progress(f"{mode} {number + 1}: {figures}")
                scene.changer.stop()
        finally:
            cloud.process.kill()
    return results


def repetition(scene: Scene, mode: str, number: int) -> dict[str, float]:
    """One member (or two) goes and comes back; nothing may be lost."""
    deployment = scene.deployment
    every = [f"observer-{1 + (number + place) % OBSERVERS}" for place in range(OBSERVERS)]
    goers, stayers = every[:GOERS[mode]], every[GOERS[mode]:]
    owned = [one for goer in goers for one in scene.owned_by(goer)]
    scene.deltas()
    if mode == "drain":
        figures = drained(scene, goers[0], stayers)
    else:
        figures = gone(scene, mode, goers, stayers, owned)
    deployment.wait_owned(stayers, BOUND)
    scene.nothing_lost()
    if mode == "drain":
        deployment.api(f"/v1/members/{goers[0]}/drain", method="DELETE")
    for goer in goers:
        if not deployment.processes[goer].running:
            deployment.processes[goer].start()
            deployment.wait_ready(goer)
    deployment.wait_owned(every, BOUND)
    scene.nothing_lost()
    return figures


def gone(scene: Scene, mode: str, goers: list[str], stayers: list[str], owned: list[str]) -> dict[str, float]:
    """Seconds from the signal to the first accepted report of a stayer for what the goers owned, and to the last."""
    steady = owned[::2]
    scene.changer.rest(set(scene.ids) - set(steady))
    ends = [threading.Thread(target=scene.deployment.processes[goer].stop) for goer in goers] if mode == "stop" else []
    began = time.time()
    if mode == "stop":
        for end in ends:
            end.start()
    else:
        for goer in goers:
            scene.deployment.processes[goer].send_signal(signal.SIGKILL)
    first: dict[str, float] = {}

    def all_served() -> bool:
        scene.check()
        for delta in scene.deltas():
            if delta["member"].split("@")[0] in stayers and delta["at"] >= began and delta["resource_id"] in owned:
                first.setdefault(delta["resource_id"], delta["at"] - began)
        return set(steady) <= first.keys()

    wait_until(all_served, bound=BOUND, what="all resources have an owner at work", interval=0.2)
    for end in ends:
        end.join(BOUND)
    for goer in goers:
        scene.deployment.processes[goer].kill()
    return {"first_s": min(first.values()), "all_s": max(first[each] for each in steady)}


def drained(scene: Scene, goer: str, stayers: list[str]) -> dict[str, float]:
    """The largest gaps between accepted reports of a resource: undisturbed, and over a drain."""
    resting = set(scene.ids[::2])
    scene.changer.rest(resting)
    watched = [each for each in scene.ids if each not in resting]
    began = time.time()
    threading.Event().wait(CALM)
    drained_at = time.time()
    scene.deployment.api(f"/v1/members/{goer}/drain", method="PUT")
    scene.deployment.wait_owned(stayers, BOUND)
    handed_over = time.time() - drained_at
    threading.Event().wait(2 * INTERVAL)
    at: dict[str, list[float]] = {each: [] for each in watched}
    for delta in scene.deltas():
        if delta["resource_id"] in at:
            at[delta["resource_id"]].append(delta["at"])
    calm = largest_gap(at.values(), began, drained_at)
    drain = largest_gap(at.values(), drained_at, time.time())
    return {"calm_gap_s": calm, "drain_gap_s": drain, "gap_ratio": drain / calm, "handed_over_s": handed_over}


def largest_gap(times: Iterable[list[float]], start: float, end: float) -> float:
    """The largest difference of two neighbours of which the later one is in [start, end)."""
    gaps = [later - earlier for each in times for earlier, later in zip(each, each[1:], strict=False)
            if start <= later < end]
    return max(gaps)


if __name__ == "__main__":
    main("failover", __doc__, measure, runs=1, options=options)

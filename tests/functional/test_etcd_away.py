"""etcd stopped, wiped or slow under load: no partition moves, every notification is handled (fault 6 and I9 of
docs/design.md)."""
from __future__ import annotations

import contextlib
import os
import threading
import time

import etcd3gw
import pytest

from obsvc.partitioning.ownership import OwnershipSettings
from tests.chaos.proxy import MODES, Proxies
from tests.support.processes.deployment import Deployment, SimulatedCloud
from tests.support.processes.engine_process import EngineProcess
from tests.support.processes.ownership_member import Member, settled
from tests.support.processes.servers import wait_until
from tests.support.processes.watching import Watching

LEASE, BEAT = 3.0, 0.5
BOUND = 60.0


@pytest.fixture
def watching(tmp_path, shared_rabbitmq, etcd, postgresql_url):
    """Three observers, 30 resources with nothing polled."""
    bus = shared_rabbitmq.create_vhost(f"etcd{os.getpid()}-{tmp_path.name}")
    cloud = SimulatedCloud(tmp_path, bus, "--build-time", "0.2").start()
    try:
        with Deployment(
            tmp_path, database=postgresql_url, coordination=etcd.tooz_url, bus=bus, cloud=cloud, observers=3,
            workers=0, options={"coordination": {"lease": LEASE, "beat_interval": BEAT},
                                "observer": {"poll_initial": 600, "poll_max": 600}},
        ) as deployment:
            made = Watching(deployment, cloud)
            ids = made.create_plain(30)
            made.wait_built(BOUND)
            made.observe("sim.resource", ids, None)
            made.wait_nothing_missing(BOUND, "the start")
            yield made
    finally:
        cloud.process.kill()


class Load:
    """Changes the resources one after the other, each with its notification, until it is left."""

    def __init__(self, watching: Watching) -> None:
        self._watching = watching
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.changes = 0

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        ids = [each for _, each in self._watching.refs]
        while not self._stop.is_set():
            self._watching.change([ids[self.changes % len(ids)]])
            self.changes += 1
            self._stop.wait(0.05)


def grants(deployment: Deployment) -> dict[int, tuple[str, int]]:
    """Owner and generation of each partition: a move and back shows too."""
    return {each["partition"]: (each["owner"]["incarnation"], each["generation"])
            for each in deployment.api("/v1/partitions")["partitions"]}


def connected(deployment: Deployment) -> list[float]:
    return [deployment.metrics(name)["obsvc_coordination_connected"] for name in deployment.of_kind("observer")]


def members(url: str, group: str = "obsvc-observers") -> set[str]:
    port = int(url.rpartition(":")[2])
    client = etcd3gw.client(host="127.0.0.1", port=port, timeout=5)
    prefix = f"tooz/groups/{group}/"
    return {meta["key"].decode().removeprefix(prefix) for _, meta in client.get_prefix(prefix)} - {""}


@pytest.mark.parametrize("seconds", [2 * LEASE, pytest.param(60.0, marks=pytest.mark.long)])
def test_a_stop_of_etcd_under_load_moves_nothing_and_loses_nothing(watching, etcd, seconds):
    deployment = watching.deployment
    before = grants(deployment)
    with Load(watching) as load:
        etcd.kill()
        wait_until(lambda: connected(deployment) == [0.0] * 3, bound=BOUND, what="every member misses etcd")
        away_until, changes = time.monotonic() + seconds, load.changes
        wait_until(lambda: time.monotonic() > away_until, bound=seconds + BOUND, what="the time that etcd is away")
        assert grants(deployment) == before and load.changes > changes
        etcd.start()
        wait_until(lambda: connected(deployment) == [1.0] * 3, bound=BOUND, what="every member is connected again")
        wait_until(lambda: len(members(etcd.tooz_url)) == 3, bound=BOUND, what="every member is in the group")
        # what a member would do about a view that was wrong for a moment, it would do within a lease
        calm = time.monotonic() + LEASE + 2 * BEAT
        wait_until(lambda: time.monotonic() > calm, bound=BOUND, what="a lease")
    watching.wait_nothing_missing(BOUND, "the time without etcd")
    assert grants(deployment) == before


def test_membership_keys_deleted_by_hand_come_back_and_nothing_moves(watching, etcd):
    deployment = watching.deployment
    before, present = grants(deployment), members(etcd.tooz_url)
    client = etcd3gw.client(host="127.0.0.1", port=etcd.port, timeout=5)
    with Load(watching):
        for _ in range(3):
            client.delete_prefix("tooz/groups/")
            began = time.monotonic()
            wait_until(lambda: members(etcd.tooz_url) == present, bound=BOUND, what="all are back", interval=0.01)
            print(f"all {len(present)} members are back after {time.monotonic() - began:.2f} s, a beat is {BEAT} s")
            calm = time.monotonic() + LEASE + 2 * BEAT
            wait_until(lambda at=calm: time.monotonic() > at, bound=BOUND, what="a lease")
            assert grants(deployment) == before
    watching.wait_nothing_missing(BOUND, "the wipes")
    assert grants(deployment) == before


def test_keys_wiped_while_one_members_requests_hang_move_nothing(tmp_path, etcd):
    """The other sees itself come back and that one not: it must not take it for dead while it beats to the engine."""
    settings = OwnershipSettings(lease=9.0, beat_interval=BEAT)
    with contextlib.ExitStack() as stack:
        engine = stack.enter_context(EngineProcess(f"sqlite:///{tmp_path / 'obsvc.sqlite'}", member_timeout=9.0))
        proxies = Proxies(1)
        stack.callback(proxies.close)
        port = proxies.add("b/etcd", etcd.port)
        a = Member("a", engine.url, etcd.tooz_url, settings=settings)
        b = Member("b", engine.url, f"etcd3+http://127.0.0.1:{port}", settings=settings)
        stack.callback(a.stop)
        stack.callback(b.stop)
        a.start()
        b.start()
        settled(engine, a, b)
        before = {**a.ownership.held(), **b.ownership.held()}
        proxies.turn("b/etcd", MODES["dropped"])
        etcd3gw.client(host="127.0.0.1", port=etcd.port, timeout=5).delete_prefix("tooz/groups/")
        wait_until(lambda: a.membership.view().members == (a.id,), bound=BOUND, what="a is alone")
        until = time.monotonic() + 4 * BEAT  # twice as long as a doubtful view must stand
        wait_until(lambda: time.monotonic() > until, bound=BOUND, what="four beats")
        proxies.heal()
        wait_until(lambda: a.membership.view().members == (a.id, b.id), bound=BOUND, what="b is back")
        settled(engine, a, b)
        assert {**a.ownership.held(), **b.ownership.held()} == before and a.ends == b.ends == []

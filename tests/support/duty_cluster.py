"""Leaders of duties over the real engine and the real ownership, in one thread and virtual time, with a played nova."""
from __future__ import annotations

import json
import random
import threading
from urllib.parse import parse_qs, urlsplit

import pytest

from obsvc import catalog
from obsvc.cloud.sessions import Answer
from obsvc.engine_client.contract import Empty
from obsvc.engine_client.duties import DutyRequest
from obsvc.engine_client.observations import ResourceRequest, StartItem, StartRequest
from obsvc.engine_client.reports import Report, ReportRequest
from obsvc.model import Cause, Condition, Ref, Snapshot, partition
from obsvc.observer.duties.leader import CHECK, Leader, LeaderSettings
from obsvc.observer.duties.listing import Lister
from obsvc.observer.duties.pace import PaceSettings
from obsvc.observer.duties.sweep import Sweeper
from obsvc.observer.fetching.gate import GateSettings, ServiceGate
from tests.support.partitioning_cluster import PARTITIONS, Cluster, Node

CATALOG = catalog.load()
REGION, TYPE = "R", "compute.server"
BEAT = 4.0  # seconds of one round: well within a lease
DUTY = f"sweep/{REGION}/nova"
PACE = PaceSettings(fast=30.0, slow=300.0, full_every=3)


class Killed(BaseException):
    """The process that made the request is gone."""


class PlayedNova:
    """Servers, listed two at a time.  lists: the query of each listing's first page.  dies: raised by a request."""

    def __init__(self, clock) -> None:
        self.clock = clock
        self.servers: dict[str, dict] = {}
        self.lists: list[dict] = []
        self.trouble: Answer | Exception | BaseException | None = None
        self.ignores_limit = False

    def put(self, server_id: str, status: str = "ACTIVE") -> None:
        self.servers[server_id] = {"id": server_id, "status": status, "name": "s", "tenant_id": "p",
                                   "updated": f"t{self.clock.time():.0f}", "OS-EXT-STS:task_state": None}

    def get(self, region, service_type, path, **_more):
        query = {key: values[0] for key, values in parse_qs(urlsplit(path).query).items()}
        if urlsplit(path).path != "/servers/detail":
            return Answer(200, b'{"flavors": [], "server_groups": []}')
        if "marker" not in query:
            self.lists.append(query)
        if isinstance(self.trouble, BaseException):
            raise self.trouble
        if self.trouble is not None:
            return self.trouble
        names = sorted(self.servers)
        names = names[names.index(query["marker"]) + 1 if "marker" in query else 0:]
        page = {"servers": [self.servers[name] for name in names[:2]]}
        if names[2:]:
            page["servers_links"] = [{"rel": "next", "href": f"http://elsewhere/v2.1/servers/detail?marker={names[1]}"}]
        return Answer(200, json.dumps(page).encode())


class Servers:
    """Servers are what is held."""

    def kinds(self) -> set[tuple[str, str]]:
        return {(REGION, TYPE)}


class Member:
    """One member's leader, run by hand."""

    def __init__(self, cluster: Cloudy, name: str) -> None:
        self.node: Node = cluster.members.add(name)
        engine, clock = self.node.engine, cluster.members.clock
        lister = Lister(CATALOG, cluster.nova, ServiceGate(GateSettings()), engine_time=clock.time, clock=clock)
        sweeper = Sweeper(engine=engine, member=self.node.member, catalog=CATALOG, lister=lister, pace=PACE,
                          overlap=60.0)
        self.consumes = True
        self.leader = Leader(
            LeaderSettings(PACE), engine=engine, catalog=CATALOG, sweeper=sweeper,
            kinds=(Servers(),), leads=self.node.ownership.leads, consumes=lambda _region: self.consumes,
            clock=clock,
        )

    def run(self) -> int:
        """Carry out what is due; how many runs that were."""
        runs = 0
        while (lead := self.leader.take_due()) is not None:
            self.leader._carry_out(lead, threading.Event())
            runs += 1
        return runs


class Cloudy:
    """A cluster, its leaders and the cloud."""

    def __init__(self) -> None:
        self.members = Cluster()
        self.nova = PlayedNova(self.members.clock)
        self.leaders: list[Member] = []
        self.sequence = 0

    def add(self, name: str) -> Member:
        self.leaders.append(Member(self, name))
        return self.leaders[-1]

    @property
    def engine(self):
        return self.members.service

    def settle(self) -> None:
        self.members.rounds(8, 1.0)

    def leading(self) -> Member | None:
        return next((one for one in self.leaders if one.node.running and one.node.ownership.leads(DUTY)), None)

    def turn(self, seconds: float = CHECK) -> int:
        """Everyone who runs does what is due; then time passes."""
        runs = sum(one.run() for one in self.leaders if one.node.running)
        self.wait(seconds)
        return runs

    def wait(self, seconds: float) -> None:
        self.members.rounds(max(1, round(seconds / BEAT)), BEAT)

    def observed(self, server_id: str) -> Ref:
        ref = Ref(REGION, TYPE, server_id)
        self.engine.start(StartRequest((StartItem(ref),)))
        self.looked(ref)
        return ref

    def looked(self, ref: Ref) -> None:
        """Its owner looks at it and reports what the cloud says."""
        number = partition(ref, PARTITIONS)
        owner = next(one.node for one in self.leaders if number in one.node.held)
        body = self.nova.servers.get(ref.resource_id)
        snapshot = Snapshot(exists=False, condition=Condition.DELETED) if body is None else Snapshot(
            exists=True, condition=Condition.ACTIVE, status=body["status"], updated_at=body["updated"])
        self.sequence += 1
        mark = self.engine.read_resource(ResourceRequest(ref)).mark
        report = Report(ref, number, owner.held[number], self.sequence, snapshot, Cause.MARKED, mark)
        self.engine.report(ReportRequest(owner.member, (report,)))
        self.members.clock.advance(0.01)

    def mark(self, ref: Ref) -> int | None:
        return self.engine.read_resource(ResourceRequest(ref)).mark

    def record(self):
        return self.engine.duties(Empty()).duties[0]


def with_servers(world: Cloudy, count: int) -> list[Ref]:
    for place in range(count):
        world.nova.put(f"server-{place}")
    return [world.observed(f"server-{place}") for place in range(count)]


def take_over(takeovers: int) -> None:
    """Leaders die in the middle of their listing, or stop in order; each takeover costs one listing at most, and what
    changed is marked all the same."""
    rng = random.Random(4)
    world = Cloudy()
    for place in range(4):
        world.add(f"m{place}")
    world.settle()
    refs = with_servers(world, 3)
    world.turn()
    wasted = 0
    for takeover in range(takeovers):
        changed = rng.choice(refs)
        world.engine.request_duty(DutyRequest(REGION, "a run at each takeover"))
        world.wait(32.0)  # the next run is due
        world.nova.put(changed.resource_id, f"CHANGED-{takeover}")
        old = world.leading()
        assert sum(one.node.ownership.leads(DUTY) is not None for one in world.leaders if one.node.running) == 1
        before = len(world.nova.lists)
        if rng.random() < 0.6:
            wasted += 1
            world.nova.trouble = Killed()
            with pytest.raises(Killed):
                old.run()
            world.nova.trouble = None
            world.members.die(old.node)
        else:
            old.node.ownership.drain(timeout=0.0)
            old.node.running = False
        world.add(f"n{takeover}")
        world.settle()
        rounds = 0
        while world.mark(changed) is None:
            world.turn()
            rounds += 1
            assert rounds < 200, "nobody swept"
        assert len(world.nova.lists) - before <= 2
        assert world.leading() is not old
        world.looked(changed)
    assert 0 < wasted < takeovers

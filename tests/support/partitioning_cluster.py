"""Members of one deployment in one thread and virtual time: the real engine's ownership on SQLite, a played group."""
from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from obsvc.engine.service import EngineService
from obsvc.engine_client.carrier import Carrier
from obsvc.engine_client.contract import Operation
from obsvc.engine_client.local import LocalEngine
from obsvc.engine_client.observations import PartitionsRequest
from obsvc.engine_client.ownership import Grant, PartitionRecord
from obsvc.exceptions import Unavailable
from obsvc.model import Generation, MemberId, PartitionId
from obsvc.partitioning.membership import MembershipView
from obsvc.partitioning.ownership import Ownership, OwnershipSettings
from obsvc.partitioning.partition_worker import WorkerStatus
from obsvc.process.clock import ManualClock
from tests.support.engine_store import new_store

PARTITIONS = 16
SETTINGS = OwnershipSettings(lease=10.0, beat_interval=2.0)


class FlakyEngine(Carrier):
    """Carries to ``service`` but for what it was told to lose: before the call, or its answer."""

    def __init__(self, service: Any) -> None:
        self._carrier = LocalEngine(service)
        self.sent: list[tuple[str, Any]] = []
        self.lose_requests: set[str] = set()
        self.lose_answers: set[str] = set()

    def call(self, operation: Operation, request: Any) -> Any:
        self.sent.append((operation.name, request))
        if operation.name in self.lose_requests:
            raise Unavailable("the request was lost")
        reply = self._carrier.call(operation, request)
        if operation.name in self.lose_answers:
            raise Unavailable("the answer was lost")
        return reply

    def requests(self, name: str) -> list[Any]:
        return [request for sent, request in self.sent if sent == name]


class PlayedMembership:
    """A member's place in ``Cluster.group``; it sees the group whenever the cluster says so."""

    def __init__(self, cluster: Cluster, member: MemberId) -> None:
        self.cluster = cluster
        self.member = member
        self.cut_off = False
        self.last_error = None
        self._callbacks: list[Callable[[MembershipView], None]] = []
        self._view: MembershipView | None = None

    def subscribe(self, callback: Callable[[MembershipView], None]) -> None:
        self._callbacks.append(callback)

    def start(self) -> None:
        pass

    def join(self) -> None:
        self.cluster.group.add(self.member)

    def leave(self, timeout: float) -> bool:
        self.cluster.group.discard(self.member)
        return True

    def stop(self, timeout: float) -> bool:
        return self.leave(timeout)

    def view(self) -> MembershipView | None:
        return self._view

    def look(self) -> None:
        if self.cut_off:
            return
        self._view = MembershipView(tuple(sorted(self.cluster.group)), self.cluster.clock.monotonic(), 1)
        for callback in self._callbacks:
            callback(self._view)


class FakePartitionWorker:
    """Notes what it is told; hands over at once unless told to keep."""

    def __init__(self) -> None:
        self.ownership: Ownership | None = None
        self.is_ready = True
        self.keeps = False
        self.grants: dict[PartitionId, Grant] = {}
        self.asked_partitions: list[PartitionId] = []
        self.ends: list[tuple[PartitionId, Generation, str]] = []

    def granted(self, grant: Grant) -> None:
        assert grant.partition not in self.grants, "granted twice without an end between"
        self.grants[grant.partition] = grant

    def asked(self, partition: PartitionId) -> None:
        self.asked_partitions.append(partition)
        if not self.keeps:
            self.let_go(partition)

    def let_go(self, partition: PartitionId) -> None:
        grant = self.grants.pop(partition)
        self.ownership.release(partition, grant.generation)

    def lost(self, partition: PartitionId, generation: Generation, why: str) -> None:
        assert self.grants.pop(partition).generation == generation
        self.ends.append((partition, generation, why))

    def ready(self) -> bool:
        return self.is_ready

    def status(self) -> WorkerStatus:
        return WorkerStatus(caught_up=True, backlog=3)


class Node:
    """One member with everything it has."""

    def __init__(self, cluster: Cluster, name: str, incarnation: str) -> None:
        self.member = MemberId(name, incarnation)
        self.engine = FlakyEngine(cluster.service)
        self.membership = PlayedMembership(cluster, self.member)
        self.worker = FakePartitionWorker()
        self.ownership = Ownership(
            self.engine, self.membership, self.member, PARTITIONS, self.worker, cluster.clock, SETTINGS,
            rng=random.Random(1),
        )
        self.worker.ownership = self.ownership
        self.running = True

    @property
    def held(self) -> dict[PartitionId, Generation]:
        return dict(self.ownership.held())


class Cluster:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = new_store(partitions=PARTITIONS, clock=self.clock)
        self.service = EngineService(self.store)
        self.group: set[MemberId] = set()
        self.nodes: list[Node] = []

    def add(self, name: str, incarnation: str = "1") -> Node:
        node = Node(self, name, incarnation)
        self.nodes.append(node)
        return node

    def die(self, node: Node) -> None:
        """Its process is gone, and a lease later its key."""
        node.running = False
        self.clock.advance(SETTINGS.lease)
        self.group.discard(node.member)

    def round(self, seconds: float = 0.6) -> None:
        """Everyone who runs sees the group, is told who waits, does a step and beats; then time passes."""
        for node in [node for node in self.nodes if node.running]:
            node.membership.look()
            self.tell_asked(node)
            for act in (node.ownership.step, node.ownership.beat):
                try:
                    act()
                except Unavailable:
                    continue
        self.clock.advance(seconds)

    def rounds(self, count: int, seconds: float = 0.6) -> None:
        for _ in range(count):
            self.round(seconds)

    def tell_asked(self, node: Node) -> None:
        """As FollowReply.asked would."""
        asked = [row.partition for row in self.records() if row.owner == node.member and row.asked_by]
        if asked:
            node.ownership.asked_for(asked)

    def owners(self) -> list[MemberId | None]:
        return [row.owner for row in self.records()]

    def records(self) -> tuple[PartitionRecord, ...]:
        return self.service.partitions(PartitionsRequest()).partitions

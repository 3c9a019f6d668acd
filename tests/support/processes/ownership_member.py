"""A member of the observer with all threads of its ownership, which observes nothing."""
from __future__ import annotations

import threading

from obsvc.engine_client.http import HttpEngine
from obsvc.engine_client.observations import PartitionsRequest
from obsvc.engine_client.ownership import FollowRequest, Grant
from obsvc.exceptions import ObsvcError
from obsvc.model import Generation, MemberId, PartitionId
from obsvc.partitioning.assignment import assign
from obsvc.partitioning.membership import Membership
from obsvc.partitioning.ownership import Ownership, OwnershipSettings
from obsvc.partitioning.partition_worker import WorkerStatus
from obsvc.process.threads import Loop
from tests.support.processes.engine_process import EngineProcess
from tests.support.processes.servers import wait_until

SETTINGS = OwnershipSettings(lease=3.0, beat_interval=0.4)
BOUND = 60.0
PARTITIONS = 1024


class Member:
    """A member whose partition worker works on nothing: it hands over at once, and follows to hear who asks."""

    def __init__(self, name: str, engine_url: str, etcd_url: str, incarnation: str = "1",
                 settings: OwnershipSettings = SETTINGS) -> None:
        self.id = MemberId(name, incarnation)
        self.engine = HttpEngine([engine_url], timeout=10.0, user_agent=f"obsvc/test (observer {name})")
        self.membership = Membership(
            [etcd_url], "owners", self.id, lease=settings.lease, beat_interval=settings.beat_interval
        )
        self.ownership = Ownership(self.engine, self.membership, self.id, PARTITIONS, self, None, settings)
        self.lock = threading.Lock()
        self.holding: dict[PartitionId, Grant] = {}
        self.ends: list[str] = []
        self.wrong: list[str] = []
        self._follower = Loop(f"follow-{name}", self._follow)

    def start(self) -> Member:
        self.ownership.start()
        self._follower.start()
        return self

    def stop(self) -> None:
        self._follower.stop()
        self.ownership.stop()
        self._follower.join(10)

    def vanish(self) -> None:
        """As a killed process: no goodbye, and its key stays until the lease lapses."""
        self._follower.stop()
        for loop in (self.ownership._claims, self.ownership._beats):
            loop.stop()
        self.membership.beat = lambda: None
        self.ownership.step = lambda: 60.0

    def granted(self, grant: Grant) -> None:
        with self.lock:
            if grant.partition in self.holding:
                self.wrong.append(f"{grant.partition} granted twice")
            self.holding[grant.partition] = grant

    def asked(self, partition: PartitionId) -> None:
        with self.lock:
            grant = self.holding.pop(partition)
        self.ownership.release(partition, grant.generation)

    def lost(self, partition: PartitionId, generation: Generation, why: str) -> None:
        with self.lock:
            if self.holding.pop(partition).generation != generation:
                self.wrong.append(f"{partition} lost under another generation")
            self.ends.append(why)

    def ready(self) -> bool:
        return True

    def status(self) -> WorkerStatus:
        return WorkerStatus(caught_up=True)

    def _follow(self, stop: threading.Event) -> None:
        while not stop.is_set():
            held = self.ownership.held()
            known = tuple((partition, generation, 2**31) for partition, generation in sorted(held.items()))
            try:
                reply = self.engine.follow(FollowRequest(self.id, known, wait=0.5))
            except ObsvcError:
                stop.wait(0.2)
                continue
            self.ownership.asked_for(reply.asked)
            self.ownership.lost_by_engine(reply.lost, held)


def settled(engine: EngineProcess, *members: Member) -> None:
    """Every partition is granted to whom the ring says, and each member knows just that."""
    client = HttpEngine([engine.url])
    expected = assign([member.id.name for member in members], PARTITIONS)
    by_name = {member.id.name: member for member in members}

    def agrees() -> bool:
        records = client.partitions(PartitionsRequest()).partitions
        for record in records:
            owner = by_name[expected[record.partition]]
            if record.owner != owner.id or owner.ownership.held().get(record.partition) != record.generation:
                return False
        return sum(len(member.ownership.held()) for member in members) == PARTITIONS and all(
            set(member.holding) == set(member.ownership.held()) for member in members
        )

    wait_until(agrees, bound=BOUND, what=f"{sorted(by_name)} own what they are assigned", interval=0.2)
    assert all(not member.wrong for member in members)

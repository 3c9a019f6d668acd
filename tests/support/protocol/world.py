"""Members of one deployment, a network and a cloud, all in one thread and in virtual time.

The engine is the real service on SQLite; of a member, the real Ownership, Reporter and Sequence.  Played are the
membership (each member sees what the world shows it), the fetch, and the network: a request may be lost, be kept and
arrive late, arrive again, or its answer may be lost or come after the world has moved on.
"""
from __future__ import annotations

import collections
import dataclasses
import random
from collections.abc import Callable, Iterable
from typing import Any

from obsvc.engine.database.store import Transaction
from obsvc.engine.reports import reporting
from obsvc.engine.service import EngineService
from obsvc.engine.settings import EngineSettings
from obsvc.engine_client.carrier import Carrier
from obsvc.engine_client.contract import Operation
from obsvc.engine_client.local import LocalEngine
from obsvc.engine_client.observations import StartItem, StartRequest
from obsvc.engine_client.ownership import FollowRequest, Grant
from obsvc.engine_client.reports import Report, ReportOutcome, ReportRequest, Verdict
from obsvc.exceptions import ObsvcError, Unavailable
from obsvc.model import Cause, Condition, Generation, MemberId, PartitionId, Ref, Snapshot, partition
from obsvc.observer.engine_link.reporter import Reporter
from obsvc.observer.state.sequence import Sequence
from obsvc.partitioning.membership import MembershipView
from obsvc.partitioning.ownership import Ownership, OwnershipSettings
from obsvc.partitioning.partition_worker import WorkerStatus
from obsvc.process.clock import ManualClock
from tests.support.engine_store import new_store
from tests.support.protocol.ledger import WRITTEN, Ledger, State, read_state

PARTITIONS = 4
LEASE, BEAT = 6.0, 2.0
ENGINE = EngineSettings(member_timeout=LEASE, drain_timeout=8.0)

#: Two refs in each partition.
REFS = sorted(
    (ref for number in range(PARTITIONS) for ref in [
        one for one in (Ref("R", "t.x", f"r{index}") for index in range(100)) if partition(one, PARTITIONS) == number
    ][:2]),
)

#: Requests of each kind that are remembered, to arrive again.
REMEMBERED = 30

Fate = Callable[[Callable[[], Any]], Any]


class EngineClock(ManualClock):
    """The engine's clock: the world's, and steps of its own."""

    def __init__(self, world: ManualClock) -> None:
        super().__init__()
        self._world = world
        self.offset = 0.0

    def time(self) -> float:
        return self._world.time() + self.offset


class Network(Carrier):
    """One member's way to the engine.  fate: what happens to the next request, once."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.fate: Fate | None = None

    def call(self, operation: Operation, request: Any) -> Any:
        fate, self.fate = self.fate, None
        if operation.name in self.world.sent:
            self.world.sent[operation.name].append((operation, request))
        if fate is None:
            return self.world.deliver(operation, request)
        return fate(lambda: self.world.deliver(operation, request))


class Membership:
    """What a member believes of the group: whatever the world showed it last."""

    last_error = None

    def __init__(self, world: World, member: MemberId) -> None:
        self._world, self._member = world, member
        self._callbacks: list[Callable[[MembershipView], None]] = []
        self._view: MembershipView | None = None
        self._wanted = False

    def subscribe(self, callback: Callable[[MembershipView], None]) -> None:
        self._callbacks.append(callback)

    def join(self) -> None:
        self._wanted = True
        self.stay()

    def stay(self) -> None:
        """As each beat of the real one: be in the group, if it was joined."""
        if self._wanted:
            self._world.group.add(self._member)

    def leave(self, timeout: float) -> bool:
        self._wanted = False
        self._world.group.discard(self._member)
        return True

    def view(self) -> MembershipView | None:
        return self._view

    def show(self, members: Iterable[MemberId]) -> None:
        self._view = MembershipView(tuple(sorted(members)), self._world.clock.monotonic(), 1)
        for callback in self._callbacks:
            callback(self._view)


@dataclasses.dataclass(frozen=True)
class Look:
    """A fetch under way: what was taken before it began, and what it saw."""

    ref: Ref
    generation: Generation
    sequence: int
    seen: int


class Process:
    """One observer process, the PartitionWorker of its Ownership: what it does, it does when the world says so."""

    def __init__(self, world: World, member: MemberId) -> None:
        self.world, self.member = world, member
        self.engine = Network(world)
        self.membership = Membership(world, member)
        self.ownership = Ownership(
            self.engine, self.membership, member, PARTITIONS, self, world.clock,
            OwnershipSettings(lease=LEASE, beat_interval=BEAT), rng=random.Random(1),
        )
        self.sequence = Sequence()
        self.reporter = Reporter(self.engine, member, clock=world.clock, batch=3, age=0.0, rng=random.Random(1))
        self.grants: dict[PartitionId, Grant] = {}
        self.asked_for: set[PartitionId] = set()
        self.looks: dict[Ref, Look] = {}

    # what Ownership calls

    def granted(self, grant: Grant) -> None:
        assert grant.partition not in self.grants, "granted twice without an end between"
        self.grants[grant.partition] = grant

    def asked(self, number: PartitionId) -> None:
        self.asked_for.add(number)

    def lost(self, number: PartitionId, generation: Generation, why: str) -> None:
        assert self.grants.pop(number).generation == generation
        self.asked_for.discard(number)
        self.reporter.withdraw(number, generation)

    def ready(self) -> bool:
        return self.world.consumers.get(self.member.name) == self.member

    def status(self) -> WorkerStatus:
        return WorkerStatus(caught_up=True)

    # what it does

    def step(self) -> None:
        self._tried(self.ownership.step)

    def beat(self) -> None:
        self._tried(self.ownership.beat)

    def send(self) -> None:
        self._tried(self.reporter.step)

    def follow(self) -> None:
        known = {number: generation for number, generation in self.ownership.held().items()}
        request = FollowRequest(self.member, tuple((number, known[number], 0) for number in sorted(known)), 0.0)

        def follow() -> None:
            reply = self.engine.follow(request)
            self.ownership.lost_by_engine(reply.lost, known)
            self.ownership.asked_for(reply.asked)

        self._tried(follow)

    def give(self) -> None:
        """Hand over what is asked for, whatever is still under way there."""
        for number in sorted(self.asked_for):
            self.ownership.release(number, self.grants.pop(number).generation)
        self.asked_for.clear()

    def begin_look(self, ref: Ref) -> None:
        """Take the sequence, then fetch; the answer stays under way until :meth:`end_look`."""
        grant = self.grants.get(partition(ref, PARTITIONS))
        if grant is not None and ref not in self.looks:
            self.looks[ref] = Look(ref, grant.generation, self.sequence.next(), self.world.truth[ref])

    def end_look(self, ref: Ref) -> None:
        look = self.looks.pop(ref, None)
        if look is not None:
            report = report_of(look, partition(ref, PARTITIONS))
            self.reporter.submit(report, lambda outcome: self._answered(report, outcome))

    def _answered(self, report: Report, outcome: ReportOutcome | None) -> None:
        if outcome is not None and outcome.verdict is Verdict.STALE_GENERATION:
            self.ownership.stale(report.partition, report.generation)

    @staticmethod
    def _tried(act: Callable[[], Any]) -> None:
        try:
            act()
        except Unavailable:
            pass  # its loop tries again


def report_of(look: Look, number: PartitionId) -> Report:
    seen = Snapshot(True, Condition.ACTIVE, status=str(look.seen))
    return Report(look.ref, number, look.generation, look.sequence, seen, Cause.NOTIFIED)


class World:
    """Everything, and the ledger that watches the engine."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.engine_clock = EngineClock(self.clock)
        self.store = new_store(partitions=PARTITIONS, clock=self.engine_clock, settings=ENGINE)
        self.service = EngineService(self.store)
        self.carrier = LocalEngine(self.service)
        self.ledger = Ledger(ENGINE)
        self.truth = dict.fromkeys(REFS, 1)
        self.group: set[MemberId] = set()
        self.consumers: dict[str, MemberId] = {}
        self.processes: list[Process] = []
        self.gone: list[Process] = []
        self.sent: dict[str, collections.deque[tuple[Operation, Any]]] = {
            name: collections.deque(maxlen=REMEMBERED) for name in ("claim", "release", "report", "beat")
        }
        self.broken = False
        self._incarnations = 0
        self.service.start(StartRequest(tuple(StartItem(ref) for ref in REFS)))

    def add(self, name: str) -> Process:
        """Start a process; it consumes its name's queues if nobody does."""
        self._incarnations += 1
        process = Process(self, MemberId(name, str(self._incarnations)))
        self.processes.append(process)
        self.consumers.setdefault(name, process.member)
        return process

    def kill(self, process: Process) -> None:
        """It is gone; its lease goes when the world shows it, its requests may still arrive."""
        self.processes.remove(process)
        self.gone.append(process)
        if self.consumers.get(process.member.name) == process.member:
            del self.consumers[process.member.name]

    def deliver(self, operation: Operation, request: Any) -> Any:
        """The request reaches the engine; its answer is judged."""
        judge = Ledger.__dict__.get(operation.name)
        self.broken = True  # until the answer was judged: what is broken is not healed
        before = self.state()
        reply = self.carrier.call(operation, request)
        after = self.state()
        self.ledger.rows(after)
        if judge is not None:
            judge(self.ledger, before, request, reply, after, self.engine_clock.time())
        self.broken = False
        return reply

    def state(self) -> State:
        with self.store.engine.connect() as connection:
            return read_state(connection)

    def again(self, operation: Operation, request: Any) -> None:
        """A request arrives that nobody waits for."""
        try:
            self.deliver(operation, request)
        except ObsvcError as error:
            raise AssertionError(f"{operation.name} arrived again and was answered by {error!r}") from error

    def owners_in_effect(self, number: int) -> list[MemberId]:
        """I2 of docs/design.md taken literally: of all that believe to own the partition, those whose write would be
        taken now."""
        believers = [one for one in (*self.processes, *self.gone) if number in one.ownership.held()]
        if len(believers) < 2:
            return [one.member for one in believers]
        ref = next(one for one in REFS if partition(one, PARTITIONS) == number)
        effective = []

        def probe(tx: Transaction) -> None:
            for one in believers:
                generation = one.ownership.held()[PartitionId(number)]
                report = report_of(Look(ref, generation, 10**9, self.truth[ref] + 1), PartitionId(number))
                with tx.connection.begin_nested() as undone:
                    outcome = reporting.write_reports(tx, ReportRequest(one.member, (report,))).outcomes[0]
                    undone.rollback()
                if outcome.verdict in WRITTEN:
                    effective.append(one.member)

        self.store.read(probe)
        return effective

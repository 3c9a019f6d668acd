"""The rules of one member: what follows from what it hears, and what it says of itself.

:class:`LookTriggers`  what follows from a notification, a stored mark, a change and a complete list
:class:`GapResponse`   what a gap of a bus asks for
:class:`BudgetShare`   which part of the services' request budget is ours
:class:`Backlog`       how much waits, and whether there is room for more
:class:`Progress`      whether the member has caught up
:class:`Readiness`     whether it does its work, and if not, why
:class:`BeatStatus`    what its beats say
:class:`Member`        what it does when a partition is granted, asked for or lost

Each may be called from any thread and returns at once, but for :meth:`LookTriggers.lists_completed`, which may ask the
engine for its time.
"""
from __future__ import annotations

import logging
from typing import Protocol

from obsvc.engine_client.ownership import Grant, MemberState
from obsvc.model import Generation, MemberId, Notification, PartitionId, Ref
from obsvc.observer.duties.leader import Leader
from obsvc.observer.engine_link.reporter import Reporter
from obsvc.observer.fetching.gate import ServiceGate
from obsvc.observer.hand_over import HandOverRequests, unsettled_in
from obsvc.observer.intake.buses import Buses
from obsvc.observer.looks.catch_up import CatchUp
from obsvc.observer.looks.recall import Recall
from obsvc.observer.looks.schedule import LookSchedule
from obsvc.observer.looks.takeover import Takeovers
from obsvc.observer.looks.trail import Trails
from obsvc.observer.queue.work_queue import WorkQueue
from obsvc.observer.rates import Rates
from obsvc.observer.state.deliveries import UnsettledDeliveries
from obsvc.observer.state.holdings import Holdings
from obsvc.observer.state.mark_requests import MarkRequests
from obsvc.observer.state.values import AppliedChanges, CompletedList
from obsvc.partitioning.membership import MembershipView
from obsvc.partitioning.ownership import Ownership
from obsvc.partitioning.partition_worker import WorkerStatus
from obsvc.process.clock import Clock

LOG = logging.getLogger(__name__)


class LookTriggers:
    """Whatever asks for a look passes here: the schedule makes the look due, the trail of the ref says why."""

    def __init__(self, *, schedule: LookSchedule, takeovers: Takeovers, trails: Trails, recall: Recall) -> None:
        self._schedule = schedule
        self._takeovers = takeovers
        self._trails = trails
        self._recall = recall

    def notified(self, ref: Ref, notification: Notification) -> bool:
        """A notification named ``ref``, which is observed here; True when that made a look due, False when one was
        due already."""
        self._recall.notified(ref)
        due = self._schedule.notified(ref, notification)
        self._trails.notified(ref, notification, due=due)
        return due

    def marked(self, ref: Ref) -> None:
        """A mark for ``ref``, which is observed here, is stored, and no look at it is due."""
        self._trails.note(ref, "marked", "no look was reported in time: a mark was stored")
        self._schedule.marked(ref)

    def changes_applied(self, applied: AppliedChanges) -> None:
        """Observations were started, stopped or marked."""
        self._trails.observed((*applied.new, *applied.widened), "an observation was started")
        self._trails.observed(applied.marked, "it was marked")
        self._schedule.applied(applied)

    def lists_completed(self, completed: list[CompletedList]) -> None:
        """The lists of these partitions are complete now."""
        for completed_list in completed:
            grant = completed_list.grant
            self._trails.observed(completed_list.applied.new,
                                  f"partition {grant.partition} is held under generation {grant.generation}")
        self._takeovers.completed(completed)


class GapResponse:
    """What follows where notifications of a bus may have been missed: a resync of what is held, and a sweep."""

    def __init__(self, *, catch_up: CatchUp, duties: Leader) -> None:
        self._catch_up = catch_up
        self._duties = duties

    def gap(self, bus: str, region: str, reason: str) -> None:
        """Notifications of ``bus``, in ``region``, may have been missed."""
        if not self._catch_up.resync(region, f"bus {bus}: {reason}"):
            LOG.info("bus %s: %s; nothing is held of %s", bus, reason, region)
        self._duties.request(region, f"bus {bus}: {reason}")


class BudgetShare:
    """Divides the cluster's request budget by the members that there are."""

    def __init__(self, *, gate: ServiceGate, member: MemberId, clock: Clock) -> None:
        self._gate = gate
        self._member = member
        self._clock = clock

    def on_view(self, view: MembershipView) -> None:
        """The members changed.  A view without us does not count us out; without a view (no coordination) the last
        share stands."""
        self._gate.share(len({*view.names, self._member.name}), self._clock.monotonic())


class Backlog:
    """What waits here: looks, reports and unsettled deliveries.  limit: of each, from which nothing is taken in."""

    def __init__(self, *, queue: WorkQueue, reporter: Reporter, deliveries: UnsettledDeliveries, limit: int) -> None:
        self._queue = queue
        self._reporter = reporter
        self._deliveries = deliveries
        self._limit = limit

    def has_room(self) -> bool:
        """Whether there is room for more notifications."""
        return not (self._queue.full or self._reporter.full or len(self._deliveries) >= self._limit)

    @property
    def looks(self) -> int:
        """Refs that are due and wait for their look."""
        return self._queue.depth

    @property
    def unsettled(self) -> int:
        """Deliveries not settled yet."""
        return len(self._deliveries)

    @property
    def oldest_unsettled(self) -> float:
        """The age of the oldest of them, seconds."""
        return self._deliveries.oldest_age()


class Progress:
    """allowed_lag: seconds that a member which calls itself caught up may lag behind."""

    def __init__(
        self, *, buses: Buses, deliveries: UnsettledDeliveries, catch_up: CatchUp, holdings: Holdings,
        marks: MarkRequests, allowed_lag: float,
    ) -> None:
        self._buses = buses
        self._deliveries = deliveries
        self._catch_up = catch_up
        self._holdings = holdings
        self._marks = marks
        self._allowed_lag = allowed_lag

    def caught_up(self) -> bool:
        """Whether all that was published, but for the last ``allowed_lag`` seconds, has come here and is settled."""
        return (
            self._buses.consuming()
            and self._buses.drained_within(self._allowed_lag)
            and self._deliveries.oldest_age() <= self._allowed_lag
            and not self._catch_up
            and not self._holdings.not_taken_over()
            and not self._marks.pending
        )


class Readiness:
    """Whether this member does its work."""

    def __init__(self, *, buses: Buses, ownership: Ownership) -> None:
        self._buses = buses
        self._ownership = ownership

    def not_ready(self) -> str | None:
        """Why this member does not do its work (yet); None when it does."""
        if not self._buses.consuming():
            return f"does not consume every bus: {', '.join(self._buses.missing())}"
        if self._ownership.state is MemberState.JOINING:
            return "has not joined the group yet"
        return self._ownership.last_error


class HasLastError(Protocol):
    """A part that keeps its newest error."""

    @property
    def last_error(self) -> str | None:
        """In a few words; None while all is well."""


class BeatStatus:
    """What only this process knows of itself, for its beats."""

    def __init__(
        self, *, progress: Progress, backlog: Backlog, buses: Buses, recall: Recall, gate: ServiceGate, clock: Clock
    ) -> None:
        self._progress = progress
        self._backlog = backlog
        self._buses = buses
        self._recall = recall
        self._gate = gate
        self._clock = clock
        self._rates = Rates(clock)
        self._errors: tuple[HasLastError, ...] = ()

    def show_errors_of(self, *parts: HasLastError) -> None:
        """Have the beats show the newest error of the first of ``parts`` that has one."""
        self._errors = parts

    def read(self) -> WorkerStatus:
        """As it is now.  For one thread: rates are told since they were read last."""
        return WorkerStatus(
            caught_up=self._progress.caught_up(), backlog=self._backlog.looks, unsettled=self._backlog.unsettled,
            oldest_unsettled=round(self._backlog.oldest_unsettled, 3), buses=self._buses.statuses(),
            rates=self._rates.read(), recall=self._recall.read(),
            open_breakers=self._gate.open_breakers(self._clock.monotonic()),
            last_error=next((error for part in self._errors if (error := part.last_error)), None),
        )


class Member:
    """This member as its Ownership sees it (:class:`obsvc.partitioning.partition_worker.PartitionWorker`)."""

    def __init__(
        self,
        *,
        holdings: Holdings,
        deliveries: UnsettledDeliveries,
        marks: MarkRequests,
        hand_over: HandOverRequests,
        schedule: LookSchedule,
        reporter: Reporter,
        buses: Buses,
        beat: BeatStatus,
    ) -> None:
        self._holdings = holdings
        self._deliveries = deliveries
        self._marks = marks
        self._hand_over = hand_over
        self._schedule = schedule
        self._reporter = reporter
        self._buses = buses
        self._beat = beat

    def granted(self, grant: Grant) -> None:
        """The partition is ours: its list is to be read."""
        self._holdings.begin(grant)

    def asked(self, number: PartitionId) -> None:
        """Another member waits for the partition: it is handed over."""
        generation = self._holdings.generation(number)
        if generation is not None:
            self._hand_over.add(number, generation)

    def lost(self, number: PartitionId, generation: Generation, why: str) -> None:
        """The partition is not ours any more: what is still due there is marked, for its owner."""
        refs, awaiting = self._holdings.drop(number, generation)
        self._reporter.withdraw(number, generation)
        if not refs:
            return
        self._schedule.forget(refs)
        left = {*awaiting, *unsettled_in({number}, self._deliveries, self._holdings)}
        self._marks.mark_soon(left)
        LOG.info("partition %d generation %d was lost (%s): %d refs, %d of them marked",
                 number, generation, why, len(refs), len(left))

    def ready(self) -> bool:
        """Whether every bus is consumed."""
        return self._buses.consuming()

    def status(self) -> WorkerStatus:
        """What only this process knows of itself, for its beats."""
        return self._beat.read()

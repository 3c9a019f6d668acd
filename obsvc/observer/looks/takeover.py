"""What becomes due when the list of a gained partition is complete.

Each gained partition is made up for by a :class:`~obsvc.observer.state.takeover_memory.Remedy`: marks and first looks
alone, looks at what was dropped lately, or a paced look at everything.

Any thread may call; :meth:`Takeovers.completed` asks the engine for its time when partitions of a vanished or releasing
owner are taken over.
"""
from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from obsvc.engine_client.ownership import ObservedRef
from obsvc.model import Cause, PartitionId, Ref
from obsvc.observer.looks.catch_up import CatchUp
from obsvc.observer.looks.policy import LookPolicy
from obsvc.observer.looks.schedule import LookSchedule
from obsvc.observer.state.engine_clock import EngineClock
from obsvc.observer.state.holdings import Holdings
from obsvc.observer.state.takeover_memory import Remedy, Takeover, TakeoverMemory, decide
from obsvc.observer.state.values import CompletedList
from obsvc.process.clock import Clock

LOG = logging.getLogger(__name__)

#: Partitions that one log line names.
LOGGED = 5


class BusHistory(Protocol):
    """Whether notifications came without a gap (:class:`obsvc.observer.intake.buses.Buses`)."""

    def heard_since(self) -> float | None:
        """The monotonic time since which every bus was heard without a gap; None when one is not."""


class RefSelectors(Protocol):
    """What selectors select (:class:`obsvc.observer.engine_link.selector_matches.SelectorMatcher`)."""

    def matches(self, ref: Ref, project_id: str | None = None) -> bool:
        """Whether ``ref``, which nobody observes, is to be discovered.  project_id: as a payload names it, if any."""

    def discover(self, refs: Iterable[Ref]) -> None:
        """Have ``refs`` observed soon; what was heard of them is settled then."""


class TakeoverEvidence:
    """Decides how each gained partition is made up for.

    allowed_lag: seconds that a member which calls itself caught up may lag behind.
    """

    def __init__(self, *, memory: TakeoverMemory, buses: BusHistory, engine_clock: EngineClock, allowed_lag: float,
                 clock: Clock) -> None:
        self._memory = memory
        self._buses = buses
        self._engine_clock = engine_clock
        self._allowed_lag = allowed_lag
        self._clock = clock

    def takeovers(self, gained: Collection[CompletedList]) -> dict[PartitionId, Takeover]:
        """The takeover of each partition in ``gained``; asks the engine for its time where one had another owner."""
        now, heard_since = self._clock.monotonic(), self._buses.heard_since()
        engine_now = 0.0
        if any(completed.grant.previous is not None for completed in gained):
            engine_now = self._engine_clock.ask()
        takeovers = {
            completed.grant.partition: decide(
                completed.grant, now=now, engine_now=engine_now, heard_since=heard_since,
                reaches_back_to=self._memory.reaches_back_to(), allowed_lag=self._allowed_lag,
            )
            for completed in gained
        }
        _log(takeovers)
        return takeovers

    def dropped_lately(self, takeovers: Mapping[PartitionId, Takeover]) -> dict[PartitionId, list[Ref]]:
        """The refs of each partition that is made up for by the memory."""
        return self._memory.recall({
            number: takeover.since for number, takeover in takeovers.items() if takeover.remedy is Remedy.MEMORY
        })


class Takeovers:
    """Makes due what complete lists ask for."""

    def __init__(
        self,
        *,
        policy: LookPolicy,
        evidence: TakeoverEvidence,
        holdings: Holdings,
        schedule: LookSchedule,
        catch_up: CatchUp,
        selectors: RefSelectors,
    ) -> None:
        self._policy = policy
        self._evidence = evidence
        self._holdings = holdings
        self._schedule = schedule
        self._catch_up = catch_up
        self._selectors = selectors

    def completed(self, lists: list[CompletedList]) -> None:
        """The lists of partitions are complete: make due what they, their dirty refs, their marks and the takeover
        memory ask for."""
        takeovers = self._evidence.takeovers([completed for completed in lists if completed.first])
        dropped = self._evidence.dropped_lately(takeovers)
        to_resync: list[Ref] = []
        for completed in lists:
            number = completed.grant.partition
            self._heard_while_loading(completed, dropped.get(number, ()))
            takeover = takeovers.get(number)
            if takeover is None:  # read again, not gained
                self._schedule.applied(completed.applied)
                continue
            recalled = set(dropped.get(number, ()))
            to_resync += [observed.ref for observed in completed.applied.new
                          if self._waits_for_resync(observed, takeover, recalled)]
        if to_resync:
            self._catch_up.pace(to_resync, Cause.TAKEOVER)
        for completed in lists:
            self._holdings.took_over(completed.grant.partition, completed.grant.generation)

    def _heard_while_loading(self, completed: CompletedList, dropped: Collection[Ref]) -> None:
        """What was notified before the list was complete: its looks are due, or selectors want it, or it is dropped."""
        for ref in completed.dirty:
            self._schedule.request(ref, Cause.NOTIFIED)
        heard = {*completed.dirty_unobserved, *dropped} - {observed.ref for observed in completed.applied.new}
        wanted = [ref for ref in heard if self._selectors.matches(ref)]
        if wanted:
            self._selectors.discover(wanted)  # what was delivered of them waits for that
        if completed.dirty_unobserved:
            self._schedule.unobserved([ref for ref in completed.dirty_unobserved if ref not in wanted])

    def _waits_for_resync(self, observed: ObservedRef, takeover: Takeover, recalled: set[Ref]) -> bool:
        """Make due what a gained ref asks for; True when it waits for the resync of its partition."""
        ref = observed.ref
        first = self._policy.first_look(observed, moved=takeover.remedy is not Remedy.NOTHING)
        if first is not None and first.delay <= 0:
            self._schedule.request(ref, first.cause)
        elif takeover.remedy is Remedy.RESYNC:
            return True
        elif ref in recalled:
            self._catch_up.look_now(ref)
        elif first is not None:
            self._schedule.follow_up(ref, first)
        return False


def _log(takeovers: Mapping[PartitionId, Takeover]) -> None:
    """One line a remedy and reason, with a few of the partitions."""
    groups: dict[tuple[str, str], list[PartitionId]] = {}
    for number, takeover in takeovers.items():
        groups.setdefault((takeover.remedy.value, takeover.why), []).append(number)
    for (remedy, why), numbers in groups.items():
        few = ", ".join(map(str, sorted(numbers)[:LOGGED])) + (" …" if len(numbers) > LOGGED else "")
        LOG.info("%d partitions (%s) are complete; takeover by %s: %s", len(numbers), few, remedy, why)

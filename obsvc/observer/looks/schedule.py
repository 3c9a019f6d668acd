"""What makes a look due: notifications, starts, marks, gained partitions, gaps (DESIGN 2, 3).

The one place that puts work into the queue for a reason other than an earlier look at the same ref (those are
the look runner's).  Any thread may call; nothing blocks on the network but :meth:`LookSchedule.completed`,
which asks the engine for its time when partitions of a vanished or releasing owner are taken over.
"""
from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from obsvc.engine_client.ownership import ObservedRef
from obsvc.model import Cause, Notification, Ref
from obsvc.observer.looks import policy
from obsvc.observer.queue.work_queue import WorkQueue
from obsvc.observer.state.deliveries import UnsettledDeliveries
from obsvc.observer.state.holdings import AppliedChanges, CompletedList, Holdings
from obsvc.observer.state.takeover_memory import Remedy, Takeover, TakeoverMemory, decide
from obsvc.process.clock import Clock

LOG = logging.getLogger(__name__)

#: Share of a service's request budget that a resync may take.
RESYNC_SHARE = 0.5


@dataclass(frozen=True)
class ScheduleSettings:
    """allowed_lag: seconds, see ``[observer]``.  resync_rate: looks a second that the resyncs of all members
    together add at most; half the request budget, so that what is notified meanwhile has room."""

    allowed_lag: float = 15.0
    resync_rate: float = 75.0

    @classmethod
    def from_conf(cls, conf: Any) -> ScheduleSettings:
        """Read ``[observer]`` and ``[cloud]`` of an oslo.config ConfigOpts."""
        return cls(conf.observer.allowed_lag, RESYNC_SHARE * conf.cloud.requests_per_second)


class LookSchedule:
    """engine_time: the engine's clock now, seconds since the epoch; may ask it.  heard_since: monotonic time since
    which every bus was heard without a gap, None when one is not.  share: our part of the cluster's budget, above 0 up
    to 1.  mark_later: told of a ref of which a notification may wait long for its look: it is to be marked.  wall: the
    engine's clock as well as this member knows it without asking.  wants, found: what selectors select
    (:class:`obsvc.observer.engine_link.selector_matches.SelectorMatcher`)."""

    def __init__(
        self,
        settings: ScheduleSettings,
        look_settings: policy.LookSettings,
        *,
        holdings: Holdings,
        memory: TakeoverMemory,
        deliveries: UnsettledDeliveries,
        queue: WorkQueue,
        engine_time: Callable[[], float],
        heard_since: Callable[[], float | None],
        clock: Clock,
        share: Callable[[], float] = lambda: 1.0,
        mark_later: Callable[[Ref], None] = lambda ref: None,
        wants: Callable[[Ref], bool] = lambda ref: False,
        found: Callable[[list[Ref]], None] = lambda refs: None,
        wall: Callable[[], float] | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._settings = settings
        self._share = share
        self._mark_later = mark_later
        self._wants, self._found = wants, found
        self._wall = wall or clock.time
        self._looks = look_settings
        self._holdings = holdings
        self._memory = memory
        self._deliveries = deliveries
        self._queue = queue
        self._engine_time = engine_time
        self._heard_since = heard_since
        self._clock = clock
        self._rng = rng or random.Random()
        self._lock = threading.Lock()
        self._catching_up: set[Ref] = set()

    # -- one ref

    def notified(self, ref: Ref, notification: Notification) -> bool:
        """A notification named ``ref``, which is observed here; True when that made a look due."""
        state = self._holdings.request_look(ref)
        if notification.under_way:
            return self._under_way(ref, state)
        urgent = policy.is_urgent(notification.look, notification.state, state)
        return self._queue.add(ref, Cause.NOTIFIED, announced=notification.state, urgent=urgent)

    def _under_way(self, ref: Ref, state: policy.LookState | None) -> bool:
        """The notification says no more than that something is under way.  One that changes nothing we know waits
        for a later look; a mark stands for it at the engine meanwhile, so that it does not wait in the broker."""
        now = self._clock.monotonic()
        postpone = policy.postponement(state, policy.Moment(now, self._wall()), self._looks, self._rng)
        if postpone.known:
            if self._holdings.covered_by_mark(ref):
                self._deliveries.marked([ref], now)
            else:
                self._mark_later(ref)
        return self._queue.add(ref, Cause.NOTIFIED, postpone=postpone)

    def marked(self, ref: Ref) -> None:
        """A mark for ``ref`` waits and no look at it is due."""
        self._due(ref, Cause.MARKED)

    def looked(self, ref: Ref) -> None:
        """A look at ``ref`` was reported."""
        if self._catching_up:
            with self._lock:
                self._catching_up.discard(ref)

    def forget(self, refs: Iterable[Ref]) -> None:
        """Nobody observes ``refs`` (here) any more: no look, nothing waits for one."""
        gone = list(refs)
        self._queue.forget(gone)
        with self._lock:
            self._catching_up.difference_update(gone)
        for ref in gone:
            if self._holdings.awaits_look(ref):
                # Observed anew in between, by another thread: that look was forgotten too.
                self._queue.add(ref, Cause.STARTED)

    def unobserved(self, refs: list[Ref]) -> None:
        """Nobody observes ``refs`` any more: settle what waits for them, and remember them as dropped."""
        self.forget(refs)
        for ref in refs:
            self._memory.drop(ref)
        self._deliveries.dismiss(refs)

    @property
    def catching_up(self) -> int:
        """Refs that a takeover or a gap made due and that were not looked at yet."""
        return len(self._catching_up)

    # -- many

    def applied(self, applied: AppliedChanges) -> None:
        """``follow`` brought starts, stops and marks."""
        for observed in applied.new:
            if observed.last is not None:
                self._due(observed.ref, Cause.MARKED)
            else:
                self._due(observed.ref, Cause.STARTED, no_change=self._quiet_lately(observed.ref))
        for observed in applied.widened:
            self._due(observed.ref, Cause.STARTED)
        for observed in applied.marked:
            if not self._holdings.awaits_look(observed.ref):
                self._due(observed.ref, Cause.MARKED)
        if applied.gone:
            self.unobserved(applied.gone)

    def completed(self, completed: list[CompletedList]) -> None:
        """The lists of partitions are complete: make due what they, their dirty refs, their marks and the takeover
        memory ask for."""
        takeovers = self._decide([one for one in completed if one.first])
        remembered = self._memory.recall(
            {number: takeover.since for number, takeover in takeovers.items() if takeover.remedy is Remedy.MEMORY}
        )
        resync: list[Ref] = []
        for one in completed:
            number = one.grant.partition
            takeover = takeovers.get(number)
            for ref in one.dirty:
                self._due(ref, Cause.NOTIFIED)
            heard = {*one.dirty_unobserved, *remembered.get(number, ())} - {each.ref for each in one.applied.new}
            wanted = [ref for ref in heard if self._wants(ref)]
            if wanted:
                self._found(wanted)  # what was delivered of them waits for that
            if one.dirty_unobserved:
                self.unobserved([ref for ref in one.dirty_unobserved if ref not in wanted])
            if takeover is None:  # read again, not gained
                self.applied(one.applied)
                continue
            recalled = set(remembered.get(number, ()))
            for observed in one.applied.new:
                if self._gained(observed, takeover, recalled):
                    resync.append(observed.ref)
        if resync:
            self._paced(resync, Cause.TAKEOVER)
        for one in completed:
            self._holdings.took_over(one.grant.partition, one.grant.generation)

    def resync(self, region: str, reason: str) -> int:
        """Notifications from ``region`` may have been missed: every ref held there gets one paced look with low
        priority.  (Without a listing for now: see ``memory``.)  Answers how many."""
        refs = self._holdings.refs(region)
        if refs:
            LOG.warning("%d observed resources of %s get a look: %s", len(refs), region, reason)
            self._paced(refs, Cause.RESYNC)
        return len(refs)

    # -- parts

    def _gained(self, observed: ObservedRef, takeover: Takeover, recalled: set[Ref]) -> bool:
        """Make due what a gained ref asks for; True when it waits for the resync."""
        ref = observed.ref
        first = policy.on_gained(observed, self._looks, self._rng, moved=takeover.remedy is not Remedy.NOTHING)
        if first is not None and first.delay <= 0:
            self._due(ref, first.cause)
        elif takeover.remedy is Remedy.RESYNC:
            return True
        elif ref in recalled:
            if self._catch_up(ref):
                self._queue.add(ref, Cause.TAKEOVER)
        elif first is not None:
            self._queue.add_after(ref, first.delay, first.cause)
        return False

    def _decide(self, gained: list[CompletedList]) -> dict[int, Takeover]:
        now, heard_since = self._clock.monotonic(), self._heard_since()
        engine_now = 0.0
        if any(one.grant.previous is not None for one in gained):
            engine_now = self._engine_time()
        found = {}
        for one in gained:
            found[one.grant.partition] = decide(
                one.grant, now=now, engine_now=engine_now, heard_since=heard_since,
                reaches_back_to=self._memory.reaches_back_to(), allowed_lag=self._settings.allowed_lag,
            )
        _log_takeovers(found)
        return found

    def _paced(self, refs: list[Ref], cause: Cause) -> None:
        """One low-priority look each, spread evenly."""
        span = max(self._looks.takeover_spread, len(refs) / (self._settings.resync_rate * self._share()))
        self._rng.shuffle(refs)
        for place, ref in enumerate(refs):
            if self._catch_up(ref):
                self._queue.add_after(ref, span * place / len(refs), cause)

    def _catch_up(self, ref: Ref) -> bool:
        """Owe a look that a takeover or a gap asks for; False when the ref is not observed here any more."""
        with self._lock:
            self._catching_up.add(ref)  # before it is asked: who lets go of the ref afterwards takes it out again
        if self._holdings.request_look(ref) is not None:
            return True
        with self._lock:
            self._catching_up.discard(ref)
        return False

    def _quiet_lately(self, ref: Ref) -> bool:
        """Whether nothing was heard of ``ref`` just now, before it was observed, that its API may be behind."""
        dropped = self._memory.dropped_at(ref)
        return dropped is None or dropped + self._looks.settle_delay < self._clock.monotonic()

    def _due(self, ref: Ref, cause: Cause, *, no_change: bool = False) -> None:
        if self._holdings.request_look(ref) is not None:
            self._queue.add(ref, cause, no_change=no_change)


def _log_takeovers(takeovers: dict[int, Takeover]) -> None:
    """One line a remedy and reason, with a few of the partitions."""
    groups: dict[tuple[str, str], list[int]] = {}
    for number, takeover in takeovers.items():
        groups.setdefault((takeover.remedy.value, takeover.why), []).append(number)
    for (remedy, why), numbers in groups.items():
        few = ", ".join(map(str, sorted(numbers)[:5])) + (" …" if len(numbers) > 5 else "")
        LOG.info("%d partitions (%s) are complete; takeover by %s: %s", len(numbers), few, remedy, why)

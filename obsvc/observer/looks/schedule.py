"""What makes a look due: notifications, starts, marks, and the look before.

Together with :mod:`.takeover` and :mod:`.catch_up` the one place that puts looks into the queue.  Any thread may call;
nothing blocks.
"""
from __future__ import annotations

from collections.abc import Iterable

from obsvc.model import Cause, Notification, Ref
from obsvc.observer.looks.announcements import is_urgent
from obsvc.observer.looks.catch_up import CatchUp
from obsvc.observer.looks.policy import LookPolicy
from obsvc.observer.looks.values import NextLook
from obsvc.observer.queue.work_queue import WorkQueue
from obsvc.observer.state.deliveries import UnsettledDeliveries
from obsvc.observer.state.holdings import Holdings
from obsvc.observer.state.look_state import LookState
from obsvc.observer.state.mark_requests import MarkRequests
from obsvc.observer.state.takeover_memory import TakeoverMemory
from obsvc.observer.state.values import AppliedChanges


class LookSchedule:
    """memory: what was dropped lately.  catch_up: whose looks are forgotten with the others."""

    def __init__(
        self,
        *,
        policy: LookPolicy,
        queue: WorkQueue,
        holdings: Holdings,
        deliveries: UnsettledDeliveries,
        memory: TakeoverMemory,
        marks: MarkRequests,
        catch_up: CatchUp,
    ) -> None:
        self._policy = policy
        self._queue = queue
        self._holdings = holdings
        self._deliveries = deliveries
        self._memory = memory
        self._marks = marks
        self._catch_up = catch_up

    # -- what is heard

    def notified(self, ref: Ref, notification: Notification) -> bool:
        """A notification named ``ref``, which is observed here; True when that made a look due."""
        state = self._holdings.request_look(ref)
        if notification.under_way:
            return self._under_way(ref, state)
        urgent = is_urgent(notification.look, notification.state, state)
        return self._queue.add(ref, Cause.NOTIFIED, announced=notification.state, urgent=urgent)

    def _under_way(self, ref: Ref, state: LookState | None) -> bool:
        """The notification says no more than that something is under way.  One that changes nothing we know waits
        for a later look; a mark stands for it at the engine meanwhile, so that it does not wait in the broker."""
        postpone = self._policy.postponement(state)
        if postpone.known:
            if self._holdings.covered_by_mark(ref):
                self._deliveries.marked([ref], self._policy.moment().now)
            else:
                self._marks.mark_later(ref)
        return self._queue.add(ref, Cause.NOTIFIED, postpone=postpone)

    def marked(self, ref: Ref) -> None:
        """A mark for ``ref`` waits and no look at it is due."""
        self.request(ref, Cause.MARKED)

    def applied(self, applied: AppliedChanges) -> None:
        """The engine told of starts, stops and marks."""
        for observed in applied.new:
            if observed.last is not None:
                self.request(observed.ref, Cause.MARKED)
            else:
                self.request(observed.ref, Cause.STARTED, no_change=self._quiet_lately(observed.ref))
        for observed in applied.widened:
            self.request(observed.ref, Cause.STARTED)
        for observed in applied.marked:
            if not self._holdings.awaits_look(observed.ref):
                self.request(observed.ref, Cause.MARKED)
        if applied.gone:
            self.unobserved(applied.gone)

    def _quiet_lately(self, ref: Ref) -> bool:
        """Whether nothing was heard of ``ref`` just before it was observed, so that its API is not behind either."""
        dropped = self._memory.dropped_at(ref)
        return dropped is None or dropped + self._policy.settings.settle_delay < self._policy.moment().now

    # -- the queue

    def request(self, ref: Ref, cause: Cause, *, no_change: bool = False) -> None:
        """A look at ``ref``, if it is observed here, for a reason that must not be lost with us.  no_change: as in
        :class:`obsvc.observer.queue.entry.DueLook`."""
        if self._holdings.request_look(ref) is not None:
            self._queue.add(ref, cause, no_change=no_change)

    def follow_up(self, ref: Ref, next_look: NextLook) -> None:
        """The look that the policy says follows; what is due sooner stays."""
        self._queue.add_after(ref, next_look.delay, next_look.cause, gathers=next_look.gathers,
                              postponable=next_look.postponable)

    def looked(self, ref: Ref) -> None:
        """A look at ``ref`` was reported."""
        self._catch_up.looked(ref)

    def forget(self, refs: Iterable[Ref]) -> None:
        """Nobody observes ``refs`` (here) any more: no look, nothing waits for one."""
        gone = list(refs)
        self._queue.forget(gone)
        self._catch_up.forget(gone)
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

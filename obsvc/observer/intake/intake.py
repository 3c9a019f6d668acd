"""From a decoded notification to a look that is due, or to a drop that is remembered.

:meth:`Intake.take` is the sink of every bus listener and runs on their threads, for every notification of the cloud:
what is not ours costs a crc32, a list index and an append to the takeover memory.  It never blocks on the network.

Race with a grant: what is dropped is first remembered and then looked at once more; a grant puts its partition in
place before it reads the memory.  So either the memory tells the new owner, or the second look does.
"""
from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from obsvc import metrics
from obsvc.model import Notification, PayloadState, Ref, Urgency
from obsvc.observer.intake.twins import Twins
from obsvc.observer.looks.takeover import RefSelectors
from obsvc.observer.state.deliveries import Delivery, UnsettledDeliveries
from obsvc.observer.state.holdings import Holdings, RefStatus
from obsvc.observer.state.mark_requests import MarkRequests
from obsvc.observer.state.takeover_memory import TakeoverMemory
from obsvc.process.clock import Clock, SystemClock


class NotificationListener(Protocol):
    """Who makes looks due."""

    def notified(self, ref: Ref, notification: Notification) -> bool:
        """An observed ref of ours was notified; True when that made a look due, False when one was due already."""


class PayloadTaker(Protocol):
    """Who takes payloads that are trusted (:class:`obsvc.observer.looks.trusted_payloads.TrustedPayloads`)."""

    def take(self, ref: Ref, payload: PayloadState, delivery: Delivery) -> bool:
        """Report what the payload says of ``ref``; True when the report settles the delivery."""


class NoSelectors:
    """Selects nothing."""

    def matches(self, ref: Ref, project_id: str | None = None) -> bool:
        return False

    def discover(self, refs: Iterable[Ref]) -> None:
        raise AssertionError("nothing matches")


#: Looked up once, as in the other modules that every notification passes: before Python 3.12 a member of an enum costs
#: as much as a call.
_NOT_OWNED, _NOT_OBSERVED, _LOADING = RefStatus.NOT_OWNED, RefStatus.NOT_OBSERVED, RefStatus.LOADING
_OBSERVED, _LOOK_NONE = RefStatus.OBSERVED, Urgency.NONE


class Intake:
    """Decides the fate of each notification.  payloads: None where no payload is trusted."""

    def __init__(
        self,
        *,
        holdings: Holdings,
        memory: TakeoverMemory,
        deliveries: UnsettledDeliveries,
        marks: MarkRequests,
        listener: NotificationListener,
        payloads: PayloadTaker | None = None,
        selectors: RefSelectors | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._holdings = holdings
        self._memory = memory
        self._deliveries = deliveries
        self._marks = marks
        self._notified = listener.notified
        self._payloads = payloads
        self._selectors = selectors or NoSelectors()
        self._matches = self._selectors.matches
        self._twins, self._now = Twins(), (clock or SystemClock()).monotonic
        fate = metrics.NOTIFICATIONS_BY_FATE.labels
        self._count = {
            name: fate(name).inc
            for name in ("queued", "coalesced", "told", "not_owned", "not_observed", "found", "dirty", "no_resource",
                         "no_look")
        }

    def skip_reason(self, ref: Ref, asks_for_look: bool) -> str | None:
        """The fate of a notification about ``ref`` alone for which nothing is to be done here; the caller counts it.

        None: :meth:`take` decides.
        """
        if not asks_for_look:
            return "no_look"
        fate = _fate(self._ref_status(ref))
        return None if fate == "not_observed" and self._matches(ref, None) else fate

    def take(self, notification: Notification, delivery: Delivery) -> None:
        """Settle ``delivery``, or hold it until looks at its refs have settled it."""
        if not notification.refs:
            self._count["no_resource"]()
            delivery.settle()
            return
        if notification.look is _LOOK_NONE:
            self._count["no_look"]()
            delivery.settle()
            return
        ours, matched = [], []
        for ref in notification.refs:
            status = self._ref_status(ref)
            fate = _fate(status)
            if fate is None:
                ours.append((ref, status))
            elif fate == "not_observed" and self._matches(ref, notification.project_id):
                matched.append(ref)
                self._count["found"]()
            else:
                self._count[fate]()
        if not ours and not matched:
            delivery.settle()
            return
        if len(ours) == 1 == len(notification.refs) and ours[0][1] is _OBSERVED:
            first = self._twins.first_heard(ours[0][0], notification, self._now())
            if first is not None and self._answered_with(first, ours[0][0], delivery):
                self._count["coalesced"]()
                return
            stated = notification.payload_state
            if stated is not None and self._payloads is not None and self._payloads.take(ours[0][0], stated, delivery):
                self._count["told"]()
                return
        # Registered before anything is made due: a look that is over before the registration would settle nothing.
        self._deliveries.register(delivery, [*(ref for ref, _ in ours), *matched])
        if matched:
            self._selectors.discover(matched)
        for ref, status in ours:
            self._make_due(ref, status, notification)

    def _answered_with(self, first: float, ref: Ref, delivery: Delivery) -> bool:
        """Settle ``delivery``, the copy of what was heard at ``first``, by a look that began after that.

        False where none has begun yet: the next one answers both.
        """
        if self._holdings.look_times(ref).began <= first:
            return False
        self._deliveries.register(delivery, [ref], heard=first)
        # Asked only now: a look that is answered after the registration settles it itself.
        self._deliveries.looked(ref, self._holdings.look_times(ref).answered)
        return True

    def _ref_status(self, ref: Ref) -> RefStatus:
        """The status of ``ref``; a drop is remembered where it is not for us to look at."""
        number = self._holdings.partition_of(ref)
        status = self._holdings.ref_status(ref, number)
        if status is _NOT_OWNED or status is _NOT_OBSERVED:
            self._memory.drop(ref)
            return self._holdings.ref_status(ref, number)
        return status

    def _make_due(self, ref: Ref, status: RefStatus, notification: Notification) -> None:
        if status is _LOADING:
            if self._holdings.note_dirty(ref):
                self._count["dirty"]()
                return
            status = self._holdings.ref_status(ref)  # its list was completed, or it was lost, in between
        if status is _OBSERVED:
            self._count["queued" if self._notified(ref, notification) else "coalesced"]()
        elif status is _NOT_OBSERVED:
            self._memory.drop(ref)
            if self._matches(ref, notification.project_id):
                self._count["found"]()
                self._selectors.discover([ref])
                return
            self._count["not_observed"]()
            self._deliveries.dismiss([ref])
        else:  # being handed over, or lost just now: the next owner is to look at it
            self._count["not_owned"]()
            self._marks.mark_soon([ref])


def _fate(status: RefStatus) -> str | None:
    """The fate of a notification of a ref that is not for us to look at; None for one that is."""
    if status is _NOT_OWNED:
        return "not_owned"
    return "not_observed" if status is _NOT_OBSERVED else None

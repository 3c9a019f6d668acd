"""From a decoded notification to a look that is due, or to a drop that is remembered (DESIGN 1, 2).

:meth:`Intake.take` is the sink of every bus listener and runs on their threads, for every notification of the cloud:
what is not ours costs a crc32, a list index and an append to the takeover memory.  It never blocks on the network.

Race with a grant: what is dropped is first remembered and then looked at once more; a grant puts its partition in
place before it reads the memory.  So either the memory tells the new owner, or the second look does.
"""
from __future__ import annotations

from collections.abc import Callable

from obsvc import metrics
from obsvc.model import Notification, PayloadState, Ref, Urgency
from obsvc.observer.intake.twins import Twins
from obsvc.observer.state.deliveries import Delivery, UnsettledDeliveries
from obsvc.observer.state.holdings import Holdings, RefStatus
from obsvc.observer.state.takeover_memory import TakeoverMemory
from obsvc.process.clock import Clock, SystemClock

#: Called for an observed ref of ours that was notified; True when that made a look due, False when one was due
#: already.
Notified = Callable[[Ref, Notification], bool]

#: Called for an observed ref of ours and what a trusted payload says of it; True when that is reported, and
#: its report settles the delivery.
TakePayload = Callable[[Ref, PayloadState, Delivery], bool]

#: Whether selectors want a ref of ours that nobody observes, of a project (as far as a payload names one); and who has
#: it observed then.
Wants = Callable[[Ref, str | None], bool]
Found = Callable[[list[Ref]], None]

#: Looked up once, as in the other modules that every notification passes: before Python 3.12 a member of an enum costs
#: as much as a call.
_NOT_OWNED, _NOT_OBSERVED, _LOADING = RefStatus.NOT_OWNED, RefStatus.NOT_OBSERVED, RefStatus.LOADING
_OBSERVED, _LOOK_NONE = RefStatus.OBSERVED, Urgency.NONE


class Intake:
    """Decides the fate of each notification.

    notified: makes a look due.  mark_soon: has a ref marked at the engine as soon as may be.  take_payload: takes
    payloads that are trusted (:class:`obsvc.observer.looks.trusted_payloads.TrustedPayloads`).  wants, found: what
    selectors select (:class:`obsvc.observer.engine_link.selector_matches.SelectorMatcher`).
    """

    def __init__(
        self,
        *,
        holdings: Holdings,
        memory: TakeoverMemory,
        deliveries: UnsettledDeliveries,
        notified: Notified,
        mark_soon: Callable[[Ref], None],
        take_payload: TakePayload = lambda ref, payload_state, delivery: False,
        wants: Wants = lambda ref, project_id: False,
        found: Found = lambda refs: None,
        clock: Clock | None = None,
    ) -> None:
        self._holdings = holdings
        self._memory = memory
        self._deliveries = deliveries
        self._notified = notified
        self._mark_soon = mark_soon
        self._take_payload = take_payload
        self._wants, self._found = wants, found
        self._twins, self._now = Twins(), (clock or SystemClock()).monotonic
        fate = metrics.NOTIFICATIONS_BY_FATE.labels
        self._count = {
            name: fate(name).inc
            for name in ("queued", "coalesced", "told", "not_owned", "not_observed", "found", "dirty", "no_resource",
                         "no_look")
        }

    def skip_reason(self, ref: Ref, asks: bool) -> str | None:
        """What becomes of a notification that is about ``ref`` alone, where nothing is to be done for it: its fate,
        which the caller counts.  None: :meth:`take` decides.  asks: whether it asks for a look."""
        if not asks:
            return "no_look"
        fate = _fate(self._ref_status(ref))
        return None if fate == "not_observed" and self._wants(ref, None) else fate

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
        ours, found = [], []
        for ref in notification.refs:
            status = self._ref_status(ref)
            fate = _fate(status)
            if fate is None:
                ours.append((ref, status))
            elif fate == "not_observed" and self._wants(ref, notification.project_id):
                found.append(ref)
                self._count["found"]()
            else:
                self._count[fate]()
        if not ours and not found:
            delivery.settle()
            return
        if len(ours) == 1 == len(notification.refs) and ours[0][1] is _OBSERVED:
            first = self._twins.first_heard(ours[0][0], notification, self._now())
            if first is not None and self._answered_with(first, ours[0][0], delivery):
                self._count["coalesced"]()
                return
            stated = notification.payload_state
            if stated is not None and self._take_payload(ours[0][0], stated, delivery):
                self._count["told"]()
                return
        # Registered before anything is made due: a look that is over before the registration would settle nothing.
        self._deliveries.register(delivery, [*(ref for ref, _ in ours), *found])
        if found:
            self._found(found)
        for ref, status in ours:
            self._make_due(ref, status, notification)

    def _answered_with(self, first: float, ref: Ref, delivery: Delivery) -> bool:
        """Settle ``delivery``, the copy of what was heard at ``first``, with a look that began after that; False where
        none has begun yet, so that the one that will answers both."""
        if self._holdings.look_times(ref).began <= first:
            return False
        self._deliveries.register(delivery, [ref], heard=first)
        # Asked only now: a look that is answered after the registration settles it itself.
        self._deliveries.looked(ref, self._holdings.look_times(ref).answered)
        return True

    def _ref_status(self, ref: Ref) -> RefStatus:
        """How ``ref`` stands; it is remembered when it is not for us to look at."""
        place = self._holdings.partition_of(ref)
        status = self._holdings.ref_status(ref, place)
        if status is _NOT_OWNED or status is _NOT_OBSERVED:
            self._memory.drop(ref)
            return self._holdings.ref_status(ref, place)
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
            if self._wants(ref, notification.project_id):
                self._count["found"]()
                self._found([ref])
                return
            self._count["not_observed"]()
            self._deliveries.dismiss([ref])
        else:  # being handed over, or lost just now: the next owner shall look at it
            self._count["not_owned"]()
            self._mark_soon(ref)


def _fate(status: RefStatus) -> str | None:
    """What becomes of a notification of a ref that is not for us to look at; None for one that is."""
    if status is _NOT_OWNED:
        return "not_owned"
    return "not_observed" if status is _NOT_OBSERVED else None

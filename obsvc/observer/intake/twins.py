"""Whether a notification is the other family's copy of one that was heard already: its twin.

Services that send versioned notifications also send the unversioned one of the same event, a moment before or after
(nova 34: 2 to 130 ms).  The second says nothing that the first did not, so a look that began after the *first* came
answers both.  Twins are recognised by the request that sent them, their event types (``compute.instance.create.end``
and ``instance.create.end``), their families, the state that they announce and their time stamps; only what announces a
settled state is compared, as all else is gathered anyway.  Each copy completes one pair: of two equal events in a row
neither passes for the other's copy, unless one request sent both and a copy of each was lost.

Any thread may call.
"""
from __future__ import annotations

import datetime
import threading

import msgspec

from obsvc.model import Family, Notification, Ref
from obsvc.process.recency_map import RecencyMap

#: Seconds by which the time stamps of twins may differ: several times what was measured, and less than a service
#: needs to leave a settled state and reach it again.
STAMPS_APART = 0.5

#: Seconds for which a copy is expected: the two may be read from their queue that far apart on a busy member.
KEPT = 10.0

#: Refs that are remembered, and notifications of each; a twin that is not recognised costs a look.
REFS_KEPT, KEPT_OF_REF = 10_000, 8


class _Heard(msgspec.Struct, frozen=True, gc=False):
    event_type: str
    family: Family
    state: str
    request_id: str
    timestamp: str | None
    at: float


class Twins:
    """The newest notifications of each ref whose copies have not come."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._heard: RecencyMap[Ref, list[_Heard]] = RecencyMap(REFS_KEPT)

    def first_heard(self, ref: Ref, notification: Notification, now: float) -> float | None:
        """When the twin of ``notification`` was heard, monotonic seconds; None where there was none: then this one is
        remembered."""
        request_id, state = notification.request_id, notification.state
        if state is None or not request_id or notification.family is Family.CADF:
            return None
        this = _Heard(notification.event_type, notification.family, state, request_id, notification.timestamp, now)
        with self._lock:
            known = self._heard.pop(ref, None)
            twin = next((heard for heard in known or ()
                         if heard.request_id == request_id and _are_twins(heard, this)), None)
            if known is None:
                known = [this]
            elif twin is None:
                known = [*[heard for heard in known[1 - KEPT_OF_REF:] if heard.at > now - KEPT], this]
            else:
                known.remove(twin)
            if known:
                self._heard.put(ref, known)
        return None if twin is None else twin.at


def _are_twins(first: _Heard, second: _Heard) -> bool:
    """Whether two notifications of one request are each other's copies."""
    if first.state != second.state or first.family is second.family or second.at - first.at >= KEPT:
        return False
    first_sent, second_sent = _seconds(first.timestamp), _seconds(second.timestamp)
    if first_sent is None or second_sent is None or abs(first_sent - second_sent) > STAMPS_APART:
        return False
    short, long = sorted((first.event_type, second.event_type), key=len)
    return long == short or long.endswith("." + short)


def _seconds(text: str | None) -> float | None:
    """The time stamp of an envelope (``2026-11-22 20:31:54.532103``, UTC)."""
    try:
        return datetime.datetime.fromisoformat(text or "").replace(tzinfo=datetime.UTC).timestamp()
    except ValueError:
        return None

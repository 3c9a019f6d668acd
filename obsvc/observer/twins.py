"""Whether a notification is the other family's copy of one that was heard already.

Services that send versioned notifications send the unversioned one of the same event too, a moment before or after
(nova 34: 2 to 130 ms).  The second tells nothing that the first did not, so a look that began after the *first* came
answers both.  Twins are told by the request that sent them, their event types (``compute.instance.create.end`` and
``instance.create.end``), their families, the state that they announce and their time stamps; only what announces a
settled state is compared, as all else is gathered anyway.  Each copy makes up one pair: of two equal events in a row
none passes for the other's copy, unless one request sent both and a copy of each was lost.

Any thread may call.
"""
from __future__ import annotations

import datetime
import threading
from collections import OrderedDict
from dataclasses import dataclass

from obsvc.model import Family, Notification, Ref

#: Seconds by which the time stamps of twins may differ: several times what was measured, and less than a service
#: needs to leave a settled state and reach it again.
SPAN = 0.5

#: Seconds for which a copy is expected: the two may be read from their queue that far apart on a busy member.
KEPT = 10.0

#: Refs, and notifications of each, that are remembered; a twin that is not found costs a look.
REFS, EACH = 10_000, 8


@dataclass(frozen=True, slots=True)
class _Heard:
    event_type: str
    family: Family
    state: str
    request_id: str
    stamp: float
    at: float


class Twins:
    """The newest notifications of each ref whose copies have not come."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._heard: OrderedDict[Ref, list[_Heard]] = OrderedDict()

    def first_heard(self, ref: Ref, notification: Notification, now: float) -> float | None:
        """When the copy of ``notification`` was heard, monotonic seconds; None, and it is remembered, where there was
        none."""
        request_id = notification.request_id
        if notification.state is None or not request_id or notification.family is Family.CADF:
            return None
        stamp = _seconds(notification.timestamp)
        if stamp is None:
            return None
        this = _Heard(notification.event_type, notification.family, notification.state, request_id, stamp, now)
        with self._lock:
            known = [one for one in self._heard.pop(ref, ()) if one.at > now - KEPT]
            twin = next((one for one in known if _twins(one, this)), None)
            if twin is None:
                known = [*known, this][-EACH:]
            else:
                known.remove(twin)
            if known:
                self._heard[ref] = known
            if len(self._heard) > REFS:
                self._heard.popitem(last=False)
        return None if twin is None else twin.at


def _twins(one: _Heard, other: _Heard) -> bool:
    if one.family is other.family or (one.state, one.request_id) != (other.state, other.request_id):
        return False
    if abs(one.stamp - other.stamp) > SPAN:
        return False
    short, long = sorted((one.event_type, other.event_type), key=len)
    return long == short or long.endswith("." + short)


def _seconds(text: str | None) -> float | None:
    """The time stamp of an envelope (``2026-11-22 20:31:54.532103``, UTC)."""
    try:
        return datetime.datetime.fromisoformat(text or "").replace(tzinfo=datetime.UTC).timestamp()
    except ValueError:
        return None

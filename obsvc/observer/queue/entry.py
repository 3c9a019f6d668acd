"""What waits for a look, and how several requests for a look at one ref become one.

Pure values and functions; usable from any thread.
"""
from __future__ import annotations

import enum
from collections.abc import Callable

import msgspec

from obsvc.model import Cause, Ref

#: Announcements remembered for one look.  Only the last decides whether a settle look follows; a few more are
#: kept for the log.
ANNOUNCED_KEPT = 8

#: Which cause names a look that several asked for: the first in this order.  A takeover's looks are accounted
#: for apart (I10), so that cause is never hidden by another; routine comes last.
_TELLING = (
    Cause.TAKEOVER, Cause.STARTED, Cause.NOTIFIED, Cause.MARKED, Cause.RETRY, Cause.SETTLE, Cause.RESYNC,
    Cause.POLLED, Cause.PAYLOAD,
)
_RANK = {cause: rank for rank, cause in enumerate(_TELLING)}

#: Causes that announce news: a settle look may have to follow (DESIGN 2: a start counts as a notification).
NEWS = frozenset({Cause.STARTED, Cause.NOTIFIED, Cause.MARKED, Cause.TAKEOVER})


class Priority(enum.IntEnum):
    """HIGH goes first; LOW has a fixed share, so that it never starves."""

    HIGH = 0  #: somebody waits for it: started, notified
    LOW = 1  #: routine: polled, swept, gained by a takeover


_PRIORITY = {
    Cause.STARTED: Priority.HIGH,
    Cause.NOTIFIED: Priority.HIGH,
    Cause.SETTLE: Priority.HIGH,
    Cause.RETRY: Priority.HIGH,
    Cause.MARKED: Priority.LOW,
    Cause.TAKEOVER: Priority.LOW,
    Cause.RESYNC: Priority.LOW,
    Cause.POLLED: Priority.LOW,
    Cause.PAYLOAD: Priority.LOW,  # never in the queue
}


def priority_of(cause: Cause) -> Priority:
    """The priority of a look for ``cause``, where the caller names none."""
    return _PRIORITY[cause]


def more_telling(one: Cause, other: Cause) -> Cause:
    """The cause that names a look which both asked for."""
    return one if _RANK[one] <= _RANK[other] else other


class Postponement(msgspec.Struct, frozen=True, gc=False):
    """How long the look may wait that a notification asks for which says no more than that something is under way.

    delay: seconds after the newest such notification.  longest: seconds after the look before.
    known: the looks so far show that something is under way; else only a look that runs at this moment can.
    """

    delay: float
    limit: float
    known: bool = True


class DueLook(msgspec.Struct, frozen=True, gc=False):
    """One look to be made now.

    cause: the most telling of the causes that asked for it.
    since: when the first request that it answers came, seconds of the monotonic clock.
    announced: the states that notifications announced, in order of arrival, each once, the last one last; None
        stands for a notification that announced no settled state.
    attempt: 1, and one more for each failure of this ref in a row before.
    adds: how many requests became this one look.
    news: something may have changed (a start, a notification, a mark, a takeover), not only routine.
    latest: when the newest of the news came, monotonic seconds.
    calm: the newest of the news told of no change but, at most, that something is under way.
    """

    ref: Ref
    cause: Cause
    since: float
    announced: tuple[str | None, ...] = ()
    attempt: int = 1
    adds: int = 1
    news: bool = False
    priority: Priority = Priority.HIGH
    latest: float = 0.0
    no_change: bool = False


class Entry:
    """The one request that waits for a ref: mutable, guarded by the queue's lock.

    due: monotonic time of the earliest add that named one, None where none did.
    movable: monotonic time of a look that further notifications may move (see :meth:`gather_until`), None where there
    is none; movable_since: when the first of those that it answers came.
    routine: monotonic time of a look that notifications put off which say no more than that something is under way,
    None where there is none; routine_since: from when on it waits.
    put_off: the patience of such a notification that came while the ref was processed.
    after_quiet: an add waits for the end of the ref's coalescing interval.
    urgent: states of urgent adds that came while the ref was processed.
    place, placed_due: where it stands in the heap of what is not due, 0 where it does not: outdated items of the
    heap are told by it.
    """

    __slots__ = ("adds", "after_quiet", "announced", "cause", "due", "gather_due", "gather_since", "latest", "news",
                 "no_change", "place", "placed_due", "poll_due", "poll_since", "postponement", "priority", "ready",
                 "since", "urgent")

    def __init__(self, cause: Cause, since: float, priority: Priority) -> None:
        self.cause = cause
        self.since = since
        self.priority = priority
        self.announced: tuple[str | None, ...] = ()
        self.adds = 0
        self.news = False
        self.latest = 0.0
        self.due: float | None = None
        self.gather_due: float | None = None
        self.gather_since = 0.0
        self.no_change = False
        self.poll_due: float | None = None
        self.poll_since = 0.0
        self.postponement: Postponement | None = None
        self.after_quiet = False
        self.urgent: list[str | None] = []
        self.ready = False
        self.place = 0
        self.placed_due = 0.0

    def join(self, cause: Cause, now: float, priority: Priority, announced: tuple[str | None, ...], *,
             no_change: bool) -> None:
        """Take in one more request, the newest."""
        self.cause = more_telling(self.cause, cause)
        self.priority = min(self.priority, priority)
        self.announced = joined(self.announced, announced)
        self.adds += 1
        if cause in NEWS:
            self.news, self.latest, self.no_change = True, now, no_change

    def join_older(self, look: DueLook, cause: Cause) -> None:
        """Take in a look that was begun before all of this and is to be made (again)."""
        self.cause = more_telling(self.cause, cause)
        self.since = min(self.since, look.since)
        self.priority = min(self.priority, look.priority)
        self.announced = joined(look.announced, self.announced)
        self.adds += look.adds
        if look.news and not self.news:
            self.news, self.no_change = True, look.no_change
        self.latest = max(self.latest, look.latest)

    def no_later_than(self, due: float) -> None:
        """Be looked at no later than ``due``: earliest wins."""
        self.due = due if self.due is None else min(self.due, due)

    def gather_until(self, since: float, due: float) -> None:
        """Be looked at by ``due``, or later where a notification moves that on."""
        if self.gather_due is None:
            self.gather_due, self.gather_since = due, since
        else:
            self.gather_due = max(self.gather_due, due)

    def poll_by(self, since: float, due: float) -> None:
        """Be looked at by ``due``, or later where :meth:`postpone_poll` puts that off."""
        if self.poll_due is None:
            self.poll_due, self.poll_since = due, since
        else:
            self.poll_due = min(self.poll_due, due)

    def postpone_poll(self, now: float, postpone: Postponement) -> None:
        """Something is under way still: a routine look is put off, and answers for this too."""
        if self.poll_due is None:
            self.poll_due, self.poll_since = now, now
        self.poll_due = max(self.poll_due, min(now + postpone.delay, self.poll_since + postpone.limit))

    @property
    def due_at(self) -> float | None:
        """When the look is to be made; None: at once."""
        when = self.due
        for due in (self.gather_due, self.poll_due):
            if due is not None and (when is None or due < when):
                when = due
        return when

    def place_after_look(self, now: float, quiet_until: Callable[[Entry], float],
                         shows: Callable[[str], bool] | None, *, under_way: bool) -> None:
        """Fix the due time once the look that ran beside it is over; urgent adds that the look has answered
        already (``shows``) wait out the interval like any other, and so does what was to be put off where the look
        did not show something ``under_way``."""
        if self.postponement is not None:
            if under_way:
                self.postpone_poll(now, self.postponement)
            else:
                self.after_quiet = True
            self.postponement = None
        if any(state is None or shows is None or not shows(state) for state in self.urgent):
            self.no_later_than(now)
        elif self.urgent:
            self.after_quiet = True
        self.urgent = []
        if self.after_quiet:
            self.gather_until(self.latest, quiet_until(self))
            self.after_quiet = False
        if self.due_at is None:
            self.due = now


def joined(older: tuple[str | None, ...], newer: tuple[str | None, ...]) -> tuple[str | None, ...]:
    """Announcements in order of arrival, each once, at its latest place; only the newest few are kept."""
    if not newer:
        return older
    kept = tuple(state for state in older if state not in newer) + newer
    return kept[-ANNOUNCED_KEPT:]

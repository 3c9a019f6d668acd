"""What waits for a look, and how several requests for a look at one ref become one.

Pure values and functions; usable from any thread, but for :class:`Entry`, which the queue's lock guards.
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
#: for apart (what a takeover costs is an invariant), so that cause is never hidden by another; polls come last.
_MOST_TELLING_FIRST = (
    Cause.TAKEOVER, Cause.STARTED, Cause.NOTIFIED, Cause.MARKED, Cause.RETRY, Cause.SETTLE, Cause.RESYNC,
    Cause.POLLED, Cause.PAYLOAD,
)
_RANK = {cause: rank for rank, cause in enumerate(_MOST_TELLING_FIRST)}

#: Causes that announce news: a settle look may have to follow (a start counts as a notification).
NEWS = frozenset({Cause.STARTED, Cause.NOTIFIED, Cause.MARKED, Cause.TAKEOVER})


class Priority(enum.IntEnum):
    """HIGH goes first; LOW has a fixed share, so that it never starves."""

    HIGH = 0  #: something was started or notified, and is waited for
    LOW = 1  #: polled, swept, gained by a takeover


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


def more_telling(cause: Cause, other: Cause) -> Cause:
    """The cause that names a look which both asked for."""
    return cause if _RANK[cause] <= _RANK[other] else other


class Postponement(msgspec.Struct, frozen=True, gc=False):
    """How long the look may wait that a notification asks for which says no more than that something is under way.

    delay: seconds after the newest such notification.
    limit: seconds after the look before, however many such notifications come.
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
    news: something may have changed (a start, a notification, a mark, a takeover).
    news_at: when the newest of the news came, monotonic seconds.
    no_change: the newest of the news told of no change but, at most, that something is under way.
    """

    ref: Ref
    cause: Cause
    since: float
    announced: tuple[str | None, ...] = ()
    attempt: int = 1
    adds: int = 1
    news: bool = False
    priority: Priority = Priority.HIGH
    news_at: float = 0.0
    no_change: bool = False


class Entry:
    """The one request that waits for a ref.

    A look has up to three due times, and is made at the earliest of them: one that nothing moves, one that further
    notifications move on (a look that gathers them), and one that they postpone when they say no more than that
    something is under way (a poll).  While the ref is processed the entry only takes notes; the due time is settled
    when the processing ends (:meth:`place_after_look`).
    """

    __slots__ = ("adds", "after_quiet", "announced", "cause", "due", "gather_due", "gather_since", "news", "news_at",
                 "no_change", "place", "placed_due", "poll_due", "poll_since", "postponement", "priority", "ready",
                 "since", "urgent")

    def __init__(self, cause: Cause, since: float, priority: Priority) -> None:
        # What asked for the look; as in DueLook.
        self.cause = cause
        self.since = since
        self.priority = priority
        self.announced: tuple[str | None, ...] = ()
        self.adds = 0
        self.news = False
        self.news_at = 0.0
        self.no_change = False

        #: The earliest time that a request named which nothing moves; None where none did.
        self.due: float | None = None

        #: The time of a look that gathers notifications, None where there is none.  Never moved back, and never more
        #: than the settle delay and the coalescing interval beyond ``gather_since``, when the first of them came.
        self.gather_due: float | None = None
        self.gather_since = 0.0

        #: The time of a poll, None where there is none.  Never postponed by more than the limit of a Postponement
        #: beyond ``poll_since``, when it began to wait.
        self.poll_due: float | None = None
        self.poll_since = 0.0

        # Notes of what came while the ref was processed; empty whenever it is not.
        self.postponement: Postponement | None = None  # the newest, of a notification that tells of no change
        self.after_quiet = False  # a request waits for the end of the ref's coalescing interval
        self.urgent: list[str | None] = []  # states that urgent requests announced

        #: In the lanes: due, and not processed.
        self.ready = False

        #: Which item of the heap is this entry's, and its due time; 0 where none is.  Older items of the same ref are
        #: outdated, and told by this.
        self.place = 0
        self.placed_due = 0.0

    # -- requests

    def join(self, cause: Cause, now: float, priority: Priority, announced: tuple[str | None, ...], *,
             no_change: bool) -> None:
        """Take in one more request, the newest."""
        self.cause = more_telling(self.cause, cause)
        self.priority = min(self.priority, priority)
        self.announced = joined(self.announced, announced)
        self.adds += 1
        if cause in NEWS:
            self.news, self.news_at, self.no_change = True, now, no_change

    def join_older(self, look: DueLook, cause: Cause) -> None:
        """Take in a look that was begun before all of this and is to be made (again)."""
        self.cause = more_telling(self.cause, cause)
        self.since = min(self.since, look.since)
        self.priority = min(self.priority, look.priority)
        self.announced = joined(look.announced, self.announced)
        self.adds += look.adds
        if look.news and not self.news:
            self.news, self.no_change = True, look.no_change
        self.news_at = max(self.news_at, look.news_at)

    # -- due times

    def no_later_than(self, due: float) -> None:
        """Be looked at by ``due``; the earliest wins."""
        self.due = due if self.due is None else min(self.due, due)

    def gather_until(self, since: float, due: float) -> None:
        """Be looked at by ``due``, or later where further notifications come before."""
        if self.gather_due is None:
            self.gather_due, self.gather_since = due, since
        else:
            self.gather_due = max(self.gather_due, due)

    def poll_by(self, since: float, due: float) -> None:
        """Be looked at by ``due``, or later where :meth:`postpone_poll` says so."""
        if self.poll_due is None:
            self.poll_due, self.poll_since = due, since
        else:
            self.poll_due = min(self.poll_due, due)

    def postpone_poll(self, now: float, postponement: Postponement) -> None:
        """Something is still under way: the poll is postponed, and answers for this notification too."""
        if self.poll_due is None:
            self.poll_due, self.poll_since = now, now
        latest = self.poll_since + postponement.limit
        self.poll_due = max(self.poll_due, min(now + postponement.delay, latest))

    @property
    def due_at(self) -> float | None:
        """When the look is to be made; None: at once."""
        earliest = self.due
        for due in (self.gather_due, self.poll_due):
            if due is not None and (earliest is None or due < earliest):
                earliest = due
        return earliest

    def place_after_look(self, now: float, gathered_until: Callable[[Entry], float],
                         shows: Callable[[str], bool] | None, *, under_way: bool) -> None:
        """Settle the due time once the look that ran meanwhile is over.

        shows: whether that look answers an announced state: urgent requests that it has answered wait out the
        coalescing interval like any other.  under_way: it showed that something is under way; else what was to be
        postponed waits out the interval too.  gathered_until: when a look that waits that out is due.
        """
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
            self.gather_until(self.news_at, gathered_until(self))
            self.after_quiet = False
        if self.due_at is None:
            self.due = now


def joined(older: tuple[str | None, ...], newer: tuple[str | None, ...]) -> tuple[str | None, ...]:
    """Announcements in order of arrival, each once, at its latest place; only the newest few are kept."""
    if not newer:
        return older
    kept = tuple(state for state in older if state not in newer) + newer
    return kept[-ANNOUNCED_KEPT:]

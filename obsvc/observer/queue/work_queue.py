"""The observer's work queue: which ref is looked at next.

What it promises (each sentence has a test in ``tests/unit/observer/queue/test_*.py``):

* a ref is never processed twice at once; one that is added while it is processed is looked at once more after;
* a ref waits at most once: adds join what waits already, and the earliest time wins;
* after a look the next notification-driven look at the same ref waits for ``coalesce_interval``; a settle look is that
  same entry; an urgent request does not wait;
* notifications that come while such a look waits move it on to ``settle_delay`` after the newest of them, so that it
  is their settle look too (a burst within a second costs two looks), but by no more than ``coalesce_interval``;
* what says no more than that something is under way, where that is known, waits for the ref's next poll and postpones
  it, within its :class:`~.entry.Postponement`; so does what came during the look that showed it;
* a failed look is made again after an exponential, jittered, capped backoff, which a look that was made resets;
* the lower priority has a fixed share;
* a lane (a service) that may not go on holds back nobody else.

Every method may be called from any thread.  Whoever got a :class:`DueLook` must end it by exactly one of
:meth:`~WorkQueue.done`, :meth:`~WorkQueue.retry`, :meth:`~WorkQueue.put_back`.
"""
from __future__ import annotations

import math
import random
import threading
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from obsvc import metrics
from obsvc.model import Cause, Ref
from obsvc.observer.fetching.gate import ServiceLane
from obsvc.observer.queue.entry import DueLook, Postponement, Priority
from obsvc.observer.queue.lanes import Gate, one_lane
from obsvc.observer.queue.rules import QueueCore, QueueSettings
from obsvc.process.clock import Clock, SystemClock

__all__ = ["DueLook", "Priority", "QueueSettings", "Waiting", "WorkQueue"]

T = TypeVar("T")

#: Longest sleep of a waiting thread, seconds: a clock that was moved (a suspended machine) is noticed by then.
LONGEST_WAIT = 1.0

#: Seconds that a look may be late because another thread wakes then anyway.
LATE = 0.005

#: "Do not try again" where seconds until the next try are answered.
_NEVER = -1.0


class Waiting(NamedTuple):
    """A look that waits.  seconds: until it is due; 0 or less: it waits for its turn."""

    seconds: float
    cause: Cause


class WorkQueue:
    """The queue with its lock; the rules are :class:`~obsvc.observer.queue.rules.QueueCore`'s.

    lane_of: which refs share one fate: the region and the service of each.
    gate: whether a lane may go on (:class:`~obsvc.observer.fetching.gate.ServiceGate`); None: always.
    """

    def __init__(
        self,
        settings: QueueSettings | None = None,
        *,
        clock: Clock | None = None,
        lane_of: Callable[[Ref], ServiceLane] = one_lane,
        gate: Gate | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._clock = clock or SystemClock()

        #: The state, and everything below but the clock, is touched under this lock only.
        self._lock = threading.Lock()
        self._core = QueueCore(settings or QueueSettings(), lane_of=lane_of, gate=gate, rng=rng)

        #: Wakes one thread that waits in :meth:`get`.
        self._available = threading.Condition(self._lock)

        #: Wakes all that wait until looks have ended.
        self._ended = threading.Condition(self._lock)

        #: When one of the threads in :meth:`get` wakes by itself, the others being woken by it; inf: none does.  While
        #: threads wait and entries are due later, one of them does.
        self._watched = math.inf

        #: Once true it stays so: nothing is taken in or handed out.
        self._closed = False

    # -- adding ------------------------------------------------------------------------------------------------

    def add(self, ref: Ref, cause: Cause, *, announced: str | None = None, urgent: bool = False,
            priority: Priority | None = None, postpone: Postponement | None = None, no_change: bool = False) -> bool:
        """Ask for a look at ``ref``, now.

        A NOTIFIED one waits for the end of the ref's coalescing interval unless ``urgent`` (see
        :func:`obsvc.observer.looks.announcements.is_urgent`); ``announced`` is the settled state that it announced.
        postpone: it announced no more than that something is under way, and may wait so long.  no_change: as in
        :class:`~.entry.DueLook`.  Replaces a later request.  True when it made a new entry; False when it joined one,
        or the queue is closed.
        """
        with self._lock:
            if self._closed:
                return False
            new = self._core.add(ref, cause, self._now(), announced=announced, urgent=urgent, priority=priority,
                                 postpone=postpone, no_change=no_change)
            self._available.notify()
            return new

    def add_after(self, ref: Ref, delay: float, cause: Cause, *, priority: Priority | None = None,
                  gathers: bool = False, postponable: bool = False) -> bool:
        """Ask for a look in ``delay`` seconds; what waits for an earlier time stays.  As :meth:`add` otherwise.

        Called for a ref that is being processed, the time still counts from now.  gathers: a notification that comes
        before moves it on, and is answered by it.  postponable: a poll, which only a notification with ``postpone``
        moves on.
        """
        with self._lock:
            if self._closed:
                return False
            new = self._core.add_after(ref, delay, cause, self._now(), priority=priority, gathers=gathers,
                                       postponable=postponable)
            self._available.notify()
            return new

    # -- taking and ending --------------------------------------------------------------------------------------

    def get(self, timeout: float = 0.0) -> DueLook | None:
        """The next look, waiting up to ``timeout`` seconds; None when there was none, or the queue is closed."""
        with self._lock:
            look = self._wait_for(self._available, self._take, timeout)
            if self._core.lanes or (self._core.entries and self._watched == math.inf):
                self._available.notify()  # one wakes the next: for what else is possible now, or to watch the clock
            return look

    def _take(self) -> tuple[DueLook | None, float]:
        return (None, _NEVER) if self._closed else self._core.take(self._now())

    def get_with(self, look: DueLook, most: int, may: Callable[[Ref], bool]) -> list[DueLook]:
        """Up to ``most`` further looks that are due and can share the request of ``look``: of its type and region,
        in order, none that failed before or that ``may`` refuses (it is called under the lock).  Never waits."""
        with self._lock:
            return [] if self._closed else self._core.take_with(look.ref, most, may)

    def done(self, look: DueLook | Ref, *, shows: Callable[[str], bool] | None = None, under_way: bool = False) -> None:
        """The look was made.  Ask for what follows (``add_after``) *before* this, so that nothing comes between.

        shows: whether the looks so far answer an announced state (:func:`obsvc.observer.looks.announcements.answered`).
        under_way: it showed that something is under way (:func:`obsvc.observer.looks.announcements.is_under_way`).
        """
        ref = look.ref if isinstance(look, DueLook) else look
        with self._lock:
            self._core.done(ref, self._now(), shows=shows, under_way=under_way)
            self._tell_ended()

    def retry(self, look: DueLook, *, after: float | None = None) -> float:
        """The look failed; answers the seconds until it is made again (the backoff, or ``after`` if longer)."""
        with self._lock:
            delay = self._core.retry(look.ref, self._now(), after=after)
            self._tell_ended()
            return delay

    def put_back(self, look: DueLook, *, delay: float) -> None:
        """The look was not tried; the same again in ``delay`` seconds, without counting a failure."""
        with self._lock:
            self._core.put_back(look.ref, self._now(), delay)
            self._tell_ended()

    def replace_poll(self, ref: Ref) -> bool:
        """Keep looks away from ``ref`` while something is reported that makes its next poll needless; end it by
        :meth:`done`.  False where it is processed already, or waits for more than a poll."""
        with self._lock:
            return not self._closed and self._core.replace_poll(ref)

    def _tell_ended(self) -> None:
        """A look has ended: its lane may have room, its ref may be due again.  Under the lock."""
        self._available.notify()
        self._ended.notify_all()

    # -- the rest ----------------------------------------------------------------------------------------------

    def forget(self, refs: Iterable[Ref]) -> None:
        """Drop everything about ``refs`` (stopped, or lost with their partition)."""
        with self._lock:
            for ref in refs:
                self._core.forget(ref)
            self._ended.notify_all()

    def retry_now(self, lane: ServiceLane) -> None:
        """The service of ``lane`` answers again: what failed there is looked at now, as fast as its budget allows, and
        not when its backoff is over."""
        with self._lock:
            self._core.retry_now(lane, self._now())
            self._available.notify()

    def close(self) -> None:
        """Hand out nothing more; every :meth:`get` returns None."""
        with self._lock:
            self._closed = True
            self._available.notify_all()
            self._ended.notify_all()

    def wait_unprocessed(self, concerns: Callable[[Ref], bool], timeout: float) -> bool:
        """Wait until no ref that ``concerns`` says yes to is processed; True when that came about."""
        def unprocessed() -> tuple[bool | None, float]:
            return (None if any(concerns(ref) for ref in self._core.processing) else True), float("inf")

        with self._lock:
            return self._wait_for(self._ended, unprocessed, timeout) is not None

    @property
    def full(self) -> bool:
        """True while the refs that are due reach the limit; those of a lane that is shut do not count, so that
        one dead service never stops the intake."""
        with self._lock:
            return self._core.backlog(self._now()) >= self._core.settings.limit

    @property
    def depth(self) -> int:
        """Refs that are due and wait."""
        with self._lock:
            self._core.ripen(self._now())
            depth = len(self._core.lanes)
        metrics.QUEUE_DEPTH.set(depth)
        return depth

    @property
    def waiting(self) -> int:
        """Refs that wait, due or not."""
        with self._lock:
            return len(self._core.entries)

    def next_look(self, ref: Ref) -> tuple[bool, Waiting | None]:
        """Whether a look at ``ref`` is being made now; and the next one, None where none is due."""
        with self._lock:
            entry = self._core.entries.get(ref)
            if entry is None:
                return ref in self._core.processing, None
            due = entry.due_at
            return ref in self._core.processing, Waiting(0.0 if due is None else due - self._now(), entry.cause)

    @property
    def processing(self) -> frozenset[Ref]:
        with self._lock:
            return frozenset(self._core.processing)

    def _now(self) -> float:
        return self._clock.monotonic()

    def _wait_for(self, signal: threading.Condition, attempt: Callable[[], tuple[T | None, float]],
                  timeout: float) -> T | None:
        """Try again whenever ``signal`` comes or something became due, up to ``timeout`` seconds."""
        end = self._now() + timeout
        while True:
            result, due_in = attempt()
            left = end - self._now()
            if result is not None or left <= 0 or due_in == _NEVER:
                return result
            self._wait(signal, min(left, LONGEST_WAIT), due_in)

    def _wait(self, signal: threading.Condition, longest: float, due_in: float) -> None:
        """Wait for ``signal``, and not beyond ``due_in`` seconds where no other thread wakes by then: were all idle
        threads to wake for each look that becomes due, that would cost as much as its fetch."""
        due = self._now() + due_in
        if due >= self._watched - LATE:
            signal.wait(longest)
            return
        self._watched = due
        signal.wait(min(longest, due_in))
        if self._watched == due:
            self._watched = math.inf

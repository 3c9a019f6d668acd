"""A circuit breaker: leaves a failing service alone, and lets one request at a time try whether it is back.

Pure: every method takes the time, monotonic seconds; not thread-safe.

==========  =================================================================================================
closed      Requests go.  It opens when ``failures`` *different* refs have failed with no answer in between.  One ref
            that fails over and over does not open it: that is a problem of the ref, and its backoff deals with it.
open        Nothing goes until the pause is over.
half open   One request goes.  Its answer closes the breaker, its failure opens it again for twice the pause.
==========  =================================================================================================
"""
from __future__ import annotations

import enum
from collections.abc import Hashable

from obsvc.process.backoff import Backoff


class BreakerState(enum.StrEnum):
    """See the module."""

    CLOSED = "closed"  #: the service answers
    OPEN = "open"  #: the service is left alone
    HALF_OPEN = "half_open"  #: one request tries whether the service is back


class Breaker:
    """failures: how many different refs in a row.  pause, pause_max: seconds, the first pause and the longest."""

    def __init__(self, failures: int, pause: float, pause_max: float) -> None:
        self._limit = failures
        self._backoff = Backoff(pause, max(pause, pause_max), jitter=(1.0, 1.0))
        self._opened = 0  # times in a row, without an answer in between
        self._failed: set[Hashable] = set()
        self._open_until: float | None = None
        self._probing = False

    def state(self, now: float) -> BreakerState:
        if self._open_until is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self._open_until else BreakerState.HALF_OPEN

    def wait(self, now: float) -> float:
        """Seconds until a request may go; 0.0: now; inf: when the one under way has ended."""
        state = self.state(now)
        if state is BreakerState.OPEN and self._open_until is not None:
            return self._open_until - now
        return float("inf") if state is BreakerState.HALF_OPEN and self._probing else 0.0

    def begun(self, now: float) -> None:
        """A request goes."""
        if self.state(now) is BreakerState.HALF_OPEN:
            self._probing = True

    def ended(self) -> None:
        """A request is over, whatever came of it (called after :meth:`succeeded` or :meth:`failed`, if any)."""
        self._probing = False

    def succeeded(self) -> bool:
        """The service answered; True when this closed the breaker."""
        was_open = self._open_until is not None
        self._failed.clear()
        self._open_until, self._probing, self._opened = None, False, 0
        return was_open

    def failed(self, key: Hashable, now: float, *, at_least: float = 0.0) -> float | None:
        """No usable answer for ``key``; the seconds for which this opened the breaker, None when it did not.

        at_least: what the service asked for (``Retry-After``).  Late failures of requests that began before it
        opened change nothing.
        """
        state = self.state(now)
        self._failed.add(key)
        if state is BreakerState.OPEN or (state is BreakerState.HALF_OPEN and not self._probing):
            return None
        if state is not BreakerState.HALF_OPEN and len(self._failed) < self._limit:
            return None
        self._opened += 1
        self._probing = False
        pause = min(max(self._backoff.delay(self._opened), at_least), self._backoff.most)
        self._open_until = now + pause
        return pause

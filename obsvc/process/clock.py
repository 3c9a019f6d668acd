"""Time, passed in: whatever decides by time takes a Clock, so that tests run in virtual time."""
from __future__ import annotations

import time as _time
from typing import Protocol


class Clock(Protocol):
    """time: seconds since the epoch (may jump).  monotonic: seconds that never go back (intervals, leases)."""

    def time(self) -> float: ...

    def monotonic(self) -> float: ...


class SystemClock:
    """The machine's clocks."""

    def time(self) -> float:
        return _time.time()

    def monotonic(self) -> float:
        return _time.monotonic()


class ManualClock:
    """A clock that stands still until it is moved: for tests and models."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self._now = now

    def time(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Move both clocks forward by ``seconds`` (not negative)."""
        if seconds < 0:
            raise ValueError(f"expected seconds >= 0, got {seconds}: a monotonic clock does not go back")
        self._now += seconds

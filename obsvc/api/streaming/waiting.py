"""Waiting for a resource: read it, and again whenever the changes feed has a change of it, until it is as wanted."""
from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from obsvc.api.streaming.feed import Feed
from obsvc.model import Ref
from obsvc.process.clock import Clock

T = TypeVar("T")

#: Seconds until it is read again without a change: what is not in the feed (a deadline that passed, an observation
#: that was stopped) must show as well.
STEP = 5.0


def wait(
    feed: Feed, ref: Ref, read: Callable[[], T], enough: Callable[[T], bool], timeout: float, *, clock: Clock,
    step: Callable[[T], float] = lambda found: STEP,
) -> T:
    """The first of ``read()`` that is ``enough``; after ``timeout`` seconds the last one.

    step: upper bound of seconds until the next read.  Raises what ``read`` raises, and Unavailable when the process
    ends.
    """
    end = clock.monotonic() + timeout
    with feed.signal(ref) as signal:
        while True:
            value = read()
            left = end - clock.monotonic()
            if enough(value) or left <= 0:
                return value
            signal.wait(min(left, step(value)))

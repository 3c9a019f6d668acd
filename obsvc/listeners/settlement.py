"""Which deliveries may be acknowledged: up to the oldest that is not settled.

One ledger serves one channel after another.  Settling a delivery whose channel is gone changes nothing: the broker
delivers the message again.

Pure except for its lock: no clock, no broker.  Any thread may settle; arrivals, takes and resets come from the thread
that owns the channel.
"""
from __future__ import annotations

import threading
from typing import Any, NamedTuple, NewType

#: The number of a delivery in order of arrival.  Numbers are never reused, unlike the tags of a channel, so an entry of
#: a closed channel can't be mistaken for one of the next.
Entry = NewType("Entry", int)

#: Stands in place of a tag that was acknowledged by itself.
_GONE = object()


class Ackable(NamedTuple):
    """What can be acknowledged now.

    prefix: tags, in order of arrival, with nothing unsettled before any of them: one ``multiple`` acknowledgement.
    singles: tags settled behind an unsettled one, each to be acknowledged by itself.
    """

    prefix: tuple[Any, ...]
    singles: tuple[Any, ...] = ()


class Ledger:
    """Which deliveries arrived, and which of them are settled and acknowledged."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # What arrived and is not acknowledged, in order: the first has the number _first, the next the next …
        self._tags: list[Any] = []
        self._first = 0
        self._gone = 0  # of them acknowledged by themselves
        self._unsettled: dict[int, float] = {}  # number → when it arrived

    def arrived(self, tag: Any, now: float = 0.0) -> Entry:
        """Note a delivery on the current channel.  now: monotonic seconds."""
        with self._lock:
            number = self._first + len(self._tags)
            self._tags.append(tag)
            self._unsettled[number] = now
            return Entry(number)

    def skipped(self, tag: Any) -> None:
        """Note a delivery that needs nothing: it is settled from the start."""
        self._tags.append(tag)  # called by the thread that takes: no lock

    def settle(self, entry: Entry) -> bool:
        """Settle it; False if it was settled before, or its channel is gone."""
        with self._lock:
            return self._unsettled.pop(entry, None) is not None

    def take(self, *, singles: bool = False) -> Ackable:
        """What can be acknowledged; each tag is returned once.

        singles: also what is settled behind an unsettled delivery, so that one stuck ref does not fill the window of
        unacknowledged messages and stop the whole intake.
        """
        with self._lock:
            tags, unsettled = self._tags, self._unsettled
            head, end = self._first, self._first + len(tags)
            while head < end and head not in unsettled:
                head += 1
            settled = head - self._first
            prefix = tuple(tags[:settled])
            del tags[:settled]
            self._first = head
            if self._gone:
                whole, prefix = len(prefix), tuple(tag for tag in prefix if tag is not _GONE)
                self._gone -= whole - len(prefix)
            behind = []
            if singles:
                for place, tag in enumerate(tags):
                    if head + place not in unsettled and tag is not _GONE:
                        behind.append(tag)
                        tags[place] = _GONE
                self._gone += len(behind)
            return Ackable(prefix, tuple(behind))

    def oldest(self) -> float | None:
        """When the oldest unsettled delivery arrived, if it holds back others; call it after :meth:`take`."""
        with self._lock:
            return self._unsettled.get(self._first)

    def reset(self) -> None:
        """A new channel: everything that was not acknowledged is delivered again."""
        with self._lock:
            self._first += len(self._tags)
            self._tags.clear()
            self._unsettled.clear()
            self._gone = 0

    @property
    def unacknowledged(self) -> int:
        """Deliveries that the broker counts against our prefetch."""
        with self._lock:
            return len(self._tags) - self._gone

    @property
    def settled(self) -> int:
        """Number of settled deliveries that are not acknowledged, whether they can be or not."""
        with self._lock:
            return len(self._tags) - self._gone - len(self._unsettled)

    @property
    def unsettled(self) -> int:
        return len(self._unsettled)

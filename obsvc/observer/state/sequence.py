"""The member's report counter."""
from __future__ import annotations

import itertools
import threading


class Sequence:
    """Rising numbers within one incarnation; take one *before* the request is sent.  Thread-safe."""

    def __init__(self, first: int = 1) -> None:
        self._numbers = itertools.count(first)
        self._lock = threading.Lock()

    def next(self) -> int:
        with self._lock:
            return next(self._numbers)

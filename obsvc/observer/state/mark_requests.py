"""Which refs are to be marked at the engine, and how soon.

Whoever can't look at a ref in time writes it down here; :class:`obsvc.observer.engine_link.marks.Marker` sends it.
What is to be marked *soon* stays until the engine has taken it.  What is to be marked *later* is a courtesy to the
broker: it is forgotten where its look came first, and where a request for it fails (its delivery is overdue in time).

Any thread may call; nothing blocks but the lock.
"""
from __future__ import annotations

import threading
from collections.abc import Iterable

from obsvc.model import Ref
from obsvc.observer.state.deliveries import UnsettledDeliveries
from obsvc.process.clock import Clock

#: Seconds until a ref is marked whose look may wait long: many are then marked in one request, and none for which a
#: look came sooner than expected.
LATER_AFTER = 1.0


class MarkRequests:
    """The refs to be marked, each once, oldest first.  wanted_soon: set whenever something is to be marked soon."""

    def __init__(self, *, deliveries: UnsettledDeliveries, clock: Clock) -> None:
        self.wanted_soon = threading.Event()
        self._deliveries = deliveries
        self._clock = clock
        self._lock = threading.Lock()
        self._soon: dict[Ref, None] = {}
        self._later: dict[Ref, float] = {}  # since when, monotonic seconds

    def mark_soon(self, refs: Iterable[Ref]) -> None:
        """Have ``refs`` marked as soon as possible."""
        with self._lock:
            self._soon.update(dict.fromkeys(refs))
        self.wanted_soon.set()

    def mark_later(self, ref: Ref) -> None:
        """A delivery for ``ref`` may wait long for its look: have it marked in a moment, if it still waits."""
        with self._lock:
            self._later.setdefault(ref, self._clock.monotonic())

    @property
    def pending(self) -> int:
        """How many are to be marked soon and are not marked yet."""
        return len(self._soon)

    def soon(self, limit: int) -> list[Ref]:
        """At most ``limit`` of those to be marked soon; each stays until :meth:`done`."""
        with self._lock:
            return list(self._soon)[:limit]

    def take_ripe(self, limit: int) -> list[Ref]:
        """At most ``limit`` of those to be marked later whose time has come and whose deliveries still wait."""
        before = self._clock.monotonic() - LATER_AFTER
        ripe: list[Ref] = []
        with self._lock:
            while self._later and len(ripe) < limit:
                ref, since = next(iter(self._later.items()))
                if since > before:
                    break
                del self._later[ref]
                if self._deliveries.waits_for(ref):
                    ripe.append(ref)
        return ripe

    def done(self, refs: Iterable[Ref]) -> None:
        """The engine has taken the marks of ``refs``, or never will."""
        with self._lock:
            for ref in refs:
                self._soon.pop(ref, None)

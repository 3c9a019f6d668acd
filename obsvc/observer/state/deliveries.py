"""Which deliveries wait for which ref, and when they are settled.

A delivery is settled when for every ref that it names one of these holds: a fetch that *began after the delivery
arrived* has been reported and the report answered (or, where payloads are trusted, what its payload says); a look mark
requested after it arrived is stored at the engine; or the ref turned out not to be ours, or not to be observed.  A
fetch that was under way when the delivery arrived proves nothing: it may have read the resource before the change that
the notification tells of.  See ``docs/decisions/0007-settled-after-arrival.md``.

Any thread may call.  One lock guards everything; ``Delivery.settle`` is called after it is released, so that a delivery
may take locks of its own.
"""
from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Protocol

from obsvc.model import Ref
from obsvc.process.clock import Clock


class Delivery(Protocol):
    """One message taken from a bus.  arrived: monotonic seconds when it was read from the connection.

    ``settle`` may be called from any thread, more than once, and after the connection it came by is gone.
    """

    @property
    def arrived(self) -> float: ...

    def settle(self) -> None: ...


class _Waiting:
    """One delivery and the refs that it still waits for."""

    __slots__ = ("delivery", "arrived", "by_payload", "refs")

    def __init__(self, delivery: Delivery, refs: set[Ref], heard: float | None, *, by_payload: bool) -> None:
        self.delivery = delivery
        self.arrived = delivery.arrived if heard is None else heard
        self.refs = refs
        self.by_payload = by_payload


class UnsettledDeliveries:
    """Deliveries not settled yet, by ref."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._by_ref: dict[Ref, list[_Waiting]] = {}  # each list oldest first
        self._waiting: dict[int, _Waiting] = {}  # by id(), in the order of registration

    def __len__(self) -> int:
        return len(self._waiting)

    def register(self, delivery: Delivery, refs: Iterable[Ref], *, heard: float | None = None,
                 by_payload: bool = False) -> None:
        """Hold ``delivery`` until each of ``refs`` is settled for it; settled at once when there is none.

        heard: monotonic time since which what it says was known, by another delivery; None: by this one.
        by_payload: what it says is reported as it is, see :meth:`payload_reported`.
        """
        waiting = _Waiting(delivery, set(refs), heard, by_payload=by_payload)
        if not waiting.refs:
            delivery.settle()
            return
        with self._lock:
            self._waiting[id(waiting)] = waiting
            for ref in waiting.refs:
                self._by_ref.setdefault(ref, []).append(waiting)

    def looked(self, ref: Ref, began: float) -> None:
        """A fetch of ``ref`` that began at ``began`` (monotonic) has been reported and answered."""
        self._settle([ref], lambda waiting: waiting.arrived < began)

    def payload_reported(self, ref: Ref, arrived: float) -> None:
        """What the payload of the delivery that arrived at ``arrived`` says of ``ref`` has been reported and answered.

        That settles it and those before it of the same kind, but none that waits for a look.
        """
        self._settle([ref], lambda waiting: waiting.by_payload and waiting.arrived <= arrived)

    def marked(self, refs: Iterable[Ref], asked: float) -> None:
        """Look marks for ``refs``, requested at ``asked`` (monotonic), are stored at the engine."""
        self._settle(refs, lambda waiting: waiting.arrived < asked)

    def dismiss(self, refs: Iterable[Ref]) -> None:
        """Nobody needs a look at ``refs`` by us: whatever arrived for them is settled."""
        self._settle(refs, lambda _waiting: True)

    def overdue(self, age: float, limit: int) -> list[Ref]:
        """At most ``limit`` refs with a delivery older than ``age`` seconds, oldest delivery first."""
        before = self._clock.monotonic() - age
        refs: dict[Ref, None] = {}
        with self._lock:
            for waiting in self._waiting.values():
                if waiting.arrived > before or len(refs) >= limit:
                    break
                refs.update(dict.fromkeys(waiting.refs))
        return list(refs)[:limit]

    def waits_for(self, ref: Ref) -> bool:
        """Whether a delivery waits for ``ref``."""
        with self._lock:
            return ref in self._by_ref

    def refs(self) -> set[Ref]:
        """Every ref that a delivery waits for."""
        with self._lock:
            return set(self._by_ref)

    def oldest_age(self) -> float:
        """The age of the oldest unsettled delivery in seconds; 0 when there is none."""
        with self._lock:
            first = next(iter(self._waiting.values()), None)
        return 0.0 if first is None else max(0.0, self._clock.monotonic() - first.arrived)

    def _settle(self, refs: Iterable[Ref], proven: Callable[[_Waiting], bool]) -> None:
        done = []
        with self._lock:
            for ref in refs:
                waits = self._by_ref.get(ref)
                if waits is None:
                    continue
                kept = []
                for waiting in waits:
                    if not proven(waiting):
                        kept.append(waiting)
                        continue
                    waiting.refs.discard(ref)
                    if not waiting.refs:
                        del self._waiting[id(waiting)]
                        done.append(waiting.delivery)
                if kept:
                    self._by_ref[ref] = kept
                else:
                    del self._by_ref[ref]
        for delivery in done:
            delivery.settle()

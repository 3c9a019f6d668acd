"""Look marks: what this member can't settle in time, or leaves behind, is written down at the engine (DESIGN 1).

A mark says "this ref must be looked at" to whoever owns it now or later.  Its sources: deliveries unsettled for
longer than ``mark_after`` (found by the loop), and refs that are asked for: at once (:meth:`Marker.hurry`), where a
partition was lost or handed over with looks still owed in it, or soon (:meth:`Marker.put_off`), where a look may wait
for longer than a delivery should.  With the engine away nothing is lost: the deliveries
stay unacknowledged, and what was hurried is kept and tried again.

``run`` is the body of one :class:`~obsvc.process.threads.Loop`; the other methods may be called from any thread.
"""
from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable

from obsvc import metrics
from obsvc.engine_client.contract import Engine
from obsvc.engine_client.reports import MarkRequest
from obsvc.exceptions import InvalidInput, ObsvcError
from obsvc.model import MemberId, Ref
from obsvc.observer.state.deliveries import Unsettled
from obsvc.observer.state.holdings import Held
from obsvc.process import failpoints
from obsvc.process.clock import Clock
from obsvc.process.outage_log import OutageLog

LOG = logging.getLogger(__name__)

#: Most refs in one request: one transaction that locks as many partitions, well below a second on each database.
BATCH = 500

#: Seconds between two searches for overdue deliveries, a small part of the smallest sensible ``mark_after``.
INTERVAL = 0.5

#: Seconds from which on a delivery whose look is put off is marked: many are marked in one request then, and none for
#: which a look came sooner than was thought.
PUT_OFF_AFTER = 1.0

#: Seconds until a request that failed is made again.
PAUSE = 1.0


class Marker:
    """mark_after: seconds.  due: called for a ref of ours that is marked and has no look due."""

    def __init__(
        self,
        *,
        engine: Engine,
        member: MemberId,
        held: Held,
        unsettled: Unsettled,
        due: Callable[[Ref], None],
        mark_after: float,
        clock: Clock,
    ) -> None:
        self._engine = engine
        self._member = member
        self._held = held
        self._unsettled = unsettled
        self._due = due
        self._mark_after = mark_after
        self._clock = clock
        self._lock = threading.Lock()
        self._hurried: dict[Ref, None] = {}
        self._later: dict[Ref, float] = {}  # since when, oldest first
        self._wake = threading.Event()
        self._outage = OutageLog(LOG, "look marks can't be stored")

    def hurry(self, refs: Iterable[Ref]) -> None:
        """Mark ``refs`` as soon as may be."""
        with self._lock:
            self._hurried.update(dict.fromkeys(refs))
        self._wake.set()

    def put_off(self, ref: Ref) -> None:
        """A delivery for ``ref`` may wait long for its look: mark it soon, if it waits still."""
        with self._lock:
            self._later.setdefault(ref, self._clock.monotonic())

    @property
    def pending(self) -> int:
        """Refs that were hurried and are not marked yet."""
        return len(self._hurried)

    def mark_now(self, refs: Iterable[Ref]) -> None:
        """Mark ``refs``, and return when that is done; raises ObsvcError when the engine can't (they are tried
        again by the loop then)."""
        rest = list(dict.fromkeys(refs))
        self.hurry(rest)
        for start in range(0, len(rest), BATCH):
            self._mark(rest[start : start + BATCH], "handed_over")

    def run(self, stop: threading.Event) -> None:
        """Mark what is hurried or overdue until ``stop`` is set."""
        while not stop.is_set():
            self._wake.wait(INTERVAL)
            self._wake.clear()
            try:
                while self.mark_batch():
                    pass
            except ObsvcError as error:
                self._outage.failed(error)
                stop.wait(PAUSE)

    def mark_batch(self) -> bool:
        """Mark one batch; True when there may be more."""
        with self._lock:
            batch = list(self._hurried)[:BATCH]
        if batch:
            self._mark(batch, "handed_over")
            return True
        batch = self._put_off_long_enough()
        if batch:
            self._mark(batch, "put_off")
            return True
        batch = self._unsettled.overdue(self._mark_after, BATCH)
        if batch:
            self._mark(batch, "unsettled")
        return len(batch) == BATCH

    def _put_off_long_enough(self) -> list[Ref]:
        """At most a batch of the refs that :meth:`put_off` was told of and that deliveries wait for still.  A request
        that fails is not made again for them: they are overdue in time."""
        before = self._clock.monotonic() - PUT_OFF_AFTER
        found: list[Ref] = []
        with self._lock:
            while self._later and len(found) < BATCH:
                ref, since = next(iter(self._later.items()))
                if since > before:
                    break
                del self._later[ref]
                if self._unsettled.waits(ref):
                    found.append(ref)
        return found

    def _mark(self, refs: list[Ref], reason: str) -> None:
        asked = self._clock.monotonic()
        failpoints.hit("mark.before")
        try:
            reply = self._engine.mark(MarkRequest(tuple(refs), reason, self._member))
            failpoints.hit("mark.after")
        except InvalidInput as error:
            self._refused(refs, reason, error)
            return
        self._outage.recovered()
        with self._lock:
            for ref in refs:
                self._hurried.pop(ref, None)
        for ref, mark in zip(refs, reply.marks, strict=True):
            if mark is not None:
                metrics.MARKS.labels(reason).inc()
                if self._held.marked(ref, mark):
                    self._due(ref)
        self._unsettled.marked(refs, asked)

    def _refused(self, refs: list[Ref], reason: str, error: InvalidInput) -> None:
        """Halve what the engine won't read until the one ref stands alone.  A name that can't be sent can't be
        observed either: nothing is owed for it."""
        if len(refs) > 1:
            middle = len(refs) // 2
            self._mark(refs[:middle], reason)
            self._mark(refs[middle:], reason)
            return
        LOG.error("%a is not marked, the engine can't read its name: %s", str(refs[0]), error)
        with self._lock:
            self._hurried.pop(refs[0], None)
        self._unsettled.dismiss(refs)

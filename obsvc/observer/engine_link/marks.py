"""Look marks: what this member can't settle in time, or leaves behind, is written down at the engine (DESIGN 1).

A mark says "this ref must be looked at" to whoever owns it now or later.  Its sources: deliveries unsettled for
longer than ``mark_after`` (found by the loop), and refs that others ask to have marked: as soon as possible
(:meth:`Marker.mark_soon`), where a partition was lost with looks still due in it; a little later
(:meth:`Marker.mark_later`), where a look may wait for longer than a delivery should; or now (:meth:`Marker.mark`), in a
hand-over.  With the engine away nothing is lost: the deliveries stay unacknowledged, and what was to be marked soon is
kept and tried again.

``run`` is the body of one :class:`~obsvc.process.threads.Loop`; the other methods may be called from any thread.
"""
from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence

from obsvc import metrics
from obsvc.engine_client.contract import MarksApi
from obsvc.engine_client.reports import MarkRequest
from obsvc.exceptions import InvalidInput
from obsvc.model import MemberId, Ref
from obsvc.observer.state.deliveries import UnsettledDeliveries
from obsvc.observer.state.holdings import Holdings
from obsvc.process import failpoints
from obsvc.process.batches import batched
from obsvc.process.clock import Clock
from obsvc.process.outage_log import OutageLog
from obsvc.process.repeating import repeat

LOG = logging.getLogger(__name__)

#: Most refs in one request: one transaction that locks as many partitions, well below a second on each database.
BATCH = 500

#: Seconds between two searches for overdue deliveries, a small part of the smallest sensible ``mark_after``.
INTERVAL = 0.5

#: Seconds until a ref is marked whose look may wait long: many are then marked in one request, and none for which a
#: look came sooner than expected.
LATER_AFTER = 1.0

#: Seconds until a request that failed is made again.
PAUSE = 1.0


class Marker:
    """mark_after: seconds.  due: called for a ref of ours that is marked and has no look due."""

    def __init__(
        self,
        *,
        engine: MarksApi,
        member: MemberId,
        holdings: Holdings,
        deliveries: UnsettledDeliveries,
        due: Callable[[Ref], None],
        mark_after: float,
        clock: Clock,
    ) -> None:
        self._engine = engine
        self._member = member
        self._holdings = holdings
        self._deliveries = deliveries
        self._due = due
        self._mark_after = mark_after
        self._clock = clock
        self._lock = threading.Lock()
        self._soon: dict[Ref, None] = {}
        self._later: dict[Ref, float] = {}  # since when, oldest first
        self._wake = threading.Event()
        self._outage = OutageLog(LOG, "look marks can't be stored")

    def mark_soon(self, refs: Iterable[Ref]) -> None:
        """Mark ``refs`` as soon as possible."""
        with self._lock:
            self._soon.update(dict.fromkeys(refs))
        self._wake.set()

    def mark_later(self, ref: Ref) -> None:
        """A delivery for ``ref`` may wait long for its look: mark the ref in a moment, if the delivery still waits."""
        with self._lock:
            self._later.setdefault(ref, self._clock.monotonic())

    @property
    def pending(self) -> int:
        """Refs to be marked soon that are not marked yet."""
        return len(self._soon)

    def mark(self, refs: Iterable[Ref]) -> None:
        """Mark ``refs``, and return when that is done; raises ObsvcError when the engine can't (they are tried
        again by the loop then)."""
        rest = list(dict.fromkeys(refs))
        self.mark_soon(rest)
        for batch in batched(rest, BATCH):
            self._mark(batch, "handed_over")

    def run(self, stop: threading.Event) -> None:
        """Mark what is due to be marked until ``stop`` is set."""
        def mark_all() -> float:
            while self.mark_batch():
                pass
            return INTERVAL

        repeat(stop, mark_all, on_failure=self._outage.failed, pause=PAUSE, wake=self._wake)

    def mark_batch(self) -> bool:
        """Mark one batch; True when there may be more."""
        with self._lock:
            batch = list(self._soon)[:BATCH]
        if batch:
            self._mark(batch, "handed_over")
            return True
        batch = self._waited_long_enough()
        if batch:
            self._mark(batch, "put_off")
            return True
        batch = self._deliveries.overdue(self._mark_after, BATCH)
        if batch:
            self._mark(batch, "unsettled")
        return len(batch) == BATCH

    def _waited_long_enough(self) -> list[Ref]:
        """At most a batch of the refs that :meth:`mark_later` was told of and that deliveries still wait for.

        A request that fails is not repeated for them: they become overdue in time.
        """
        before = self._clock.monotonic() - LATER_AFTER
        found: list[Ref] = []
        with self._lock:
            while self._later and len(found) < BATCH:
                ref, since = next(iter(self._later.items()))
                if since > before:
                    break
                del self._later[ref]
                if self._deliveries.waits_for(ref):
                    found.append(ref)
        return found

    def _mark(self, refs: Sequence[Ref], reason: str) -> None:
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
                self._soon.pop(ref, None)
        for ref, mark in zip(refs, reply.marks, strict=True):
            if mark is not None:
                metrics.MARKS.labels(reason).inc()
                if self._holdings.marked(ref, mark):
                    self._due(ref)
        self._deliveries.marked(refs, asked)

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
            self._soon.pop(refs[0], None)
        self._deliveries.dismiss(refs)

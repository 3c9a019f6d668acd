"""Look marks: what this member can't settle in time, or leaves behind, is written down at the engine.

A mark says "this ref must be looked at" to whoever owns it now or later.  Its sources: deliveries unsettled for longer
than ``mark_after`` (found by the loop); refs that others ask to have marked
(:class:`obsvc.observer.state.mark_requests.MarkRequests`), where a partition was lost with looks still due in it, or a
look may wait for longer than a delivery should; and a hand-over, which waits for its marks (:meth:`Marker.mark`).  With
the engine away nothing is lost: the deliveries stay unacknowledged, and what was to be marked soon is tried again.

:meth:`Marker.run` is the body of one :class:`~obsvc.process.threads.Loop`; the other methods may be called from any
thread.
"""
from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from typing import Protocol

from obsvc import metrics
from obsvc.engine_client.contract import MarksApi
from obsvc.engine_client.reports import MarkRequest
from obsvc.exceptions import InvalidInput
from obsvc.model import MemberId, Ref
from obsvc.observer.state.deliveries import UnsettledDeliveries
from obsvc.observer.state.holdings import Holdings
from obsvc.observer.state.mark_requests import MarkRequests
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

#: Seconds until a request that failed is made again.
PAUSE = 1.0


class MarkListener(Protocol):
    """Who is told of stored marks."""

    def marked(self, ref: Ref) -> None:
        """A mark for ``ref``, which is observed here, is stored, and no look at it is due."""


class Marker:
    """mark_after: seconds that a delivery may be unsettled."""

    def __init__(
        self,
        *,
        engine: MarksApi,
        member: MemberId,
        holdings: Holdings,
        deliveries: UnsettledDeliveries,
        requests: MarkRequests,
        listener: MarkListener,
        mark_after: float,
        clock: Clock,
    ) -> None:
        self._engine = engine
        self._member = member
        self._holdings = holdings
        self._deliveries = deliveries
        self._requests = requests
        self._listener = listener
        self._mark_after = mark_after
        self._clock = clock
        self._outage = OutageLog(LOG, "look marks can't be stored")

    def mark(self, refs: Iterable[Ref]) -> None:
        """Mark ``refs``, and return when that is done; raises ObsvcError when the engine can't (the loop tries them
        again then)."""
        rest = list(dict.fromkeys(refs))
        self._requests.mark_soon(rest)
        for batch in batched(rest, BATCH):
            self._mark(batch, "handed_over")

    def mark_pending(self) -> None:
        """Mark all that waits to be marked; raises ObsvcError when the engine can't."""
        while self._requests.pending and self.mark_batch():
            pass

    def run(self, stop: threading.Event) -> None:
        """Mark what is to be marked, or overdue, until ``stop`` is set."""
        def mark_all() -> float:
            while self.mark_batch():
                pass
            return INTERVAL

        repeat(stop, mark_all, on_failure=self._outage.failed, pause=PAUSE, wake=self._requests.wanted_soon)

    def mark_batch(self) -> bool:
        """Mark one batch; True when there may be more."""
        batch = self._requests.soon(BATCH)
        if batch:
            self._mark(batch, "handed_over")
            return True
        batch = self._requests.take_ripe(BATCH)
        if batch:
            self._mark(batch, "put_off")
            return True
        batch = self._deliveries.overdue(self._mark_after, BATCH)
        if batch:
            self._mark(batch, "unsettled")
        return len(batch) == BATCH

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
        self._requests.done(refs)
        for ref, mark in zip(refs, reply.marks, strict=True):
            if mark is not None:
                metrics.MARKS.labels(reason).inc()
                if self._holdings.marked(ref, mark):
                    self._listener.marked(ref)
        self._deliveries.marked(refs, asked)

    def _refused(self, refs: Sequence[Ref], reason: str, error: InvalidInput) -> None:
        """Halve a batch that the engine won't read, until the one ref stands alone.

        A name that can't be sent can't be observed either: no look is needed for it.
        """
        if len(refs) > 1:
            middle = len(refs) // 2
            self._mark(refs[:middle], reason)
            self._mark(refs[middle:], reason)
            return
        LOG.error("%a is not marked, the engine can't read its name: %s", str(refs[0]), error)
        self._requests.done(refs)
        self._deliveries.dismiss(refs)

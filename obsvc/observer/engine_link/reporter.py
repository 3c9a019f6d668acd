"""What was seen goes to the engine: in batches, again until it answers, the newest of each ref while it is away.

Promises:

* a batch that got no answer is sent again *as it was*, with the same sequence numbers: the engine takes an equal
  (generation, sequence) for the same report;
* while reports wait, a newer report of a ref takes the place of an older one that was not sent yet; never of one
  that is under way;
* one report that the engine will not read never holds up the others: its batch is halved until it stands alone;
* each report's ``on_outcome`` is called exactly once: with the engine's outcome, or with None when the report was
  given up (a newer one of its ref took its place, the engine can't read it, or its partition was withdrawn).  Only
  a reporter that is stopped with reports waiting leaves calls out.

:meth:`Reporter.submit` may be called from any thread and never blocks; ``on_outcome`` is called on the reporter's
thread, or, for a report given up at a call of ``submit`` or ``withdraw``, on the caller's.  It must not block.
"""
from __future__ import annotations

import logging
import random
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from obsvc import metrics
from obsvc.engine_client.contract import ReportsApi
from obsvc.engine_client.reports import Report, ReportOutcome, ReportRequest
from obsvc.exceptions import InvalidInput, ObsvcError, Unavailable
from obsvc.model import Generation, MemberId, PartitionId, Ref
from obsvc.process import failpoints
from obsvc.process.backoff import Backoff
from obsvc.process.clock import Clock, SystemClock
from obsvc.process.threads import Loop

LOG = logging.getLogger(__name__)

#: Seconds until a batch without an answer is sent again: the first time, and at most.  Half a second: an engine
#: that restarts is back within a few.
BACKOFF = Backoff(0.5, 10.0)

OnOutcome = Callable[[ReportOutcome | None], None]


class _Submitted(NamedTuple):
    """A report and whom to tell its outcome."""

    report: Report
    on_outcome: OnOutcome | None
    since: float


_Batch = tuple[_Submitted, ...]


class Reporter:
    """engine: any thread may call it.  batch: most reports in a request.  age: seconds that a report waits for
    others.  limit: reports waiting at which :attr:`full` is true."""

    def __init__(
        self,
        engine: ReportsApi,
        member: MemberId,
        *,
        clock: Clock | None = None,
        batch: int = 100,
        age: float = 0.05,
        limit: int = 20_000,
        rng: random.Random | None = None,
    ) -> None:
        self._engine = engine
        self._member = member
        self._clock = clock or SystemClock()
        self._batch, self._age, self._limit = batch, age, limit
        self._rng = rng or random.Random()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        #: newest report not sent yet, by ref, oldest first.
        self._waiting: OrderedDict[Ref, _Submitted] = OrderedDict()
        #: batches to be sent again as they were, or halved; the first is under way.
        self._under_way: list[_Batch] = []
        self._failures = 0
        self._again_at = 0.0
        self.last_error: str | None = None
        self._loop = Loop("reporter", self._run)

    def start(self) -> Reporter:
        self._loop.start()
        return self

    def submit(self, report: Report, on_outcome: OnOutcome | None = None) -> None:
        """Have ``report`` sent; its sequence was taken before its fetch began."""
        with self._changed:
            known = self._waiting.get(report.ref)
            if known is not None and known.report.sequence > report.sequence:
                given_up: _Submitted | None = _Submitted(report, on_outcome, known.since)
            else:
                given_up = known
                since = known.since if known is not None else self._clock.monotonic()
                self._waiting[report.ref] = _Submitted(report, on_outcome, since)
                if len(self._waiting) == 1 or len(self._waiting) >= self._batch:
                    self._changed.notify_all()
            metrics.REPORT_BACKLOG.set(self._size())
        if given_up is not None:
            self._tell(given_up, None)

    def withdraw(self, partition: PartitionId, generation: Generation) -> int:
        """Drop what waits for a partition that was lost; what is under way is judged stale by the engine."""
        with self._changed:
            gone = [submitted for submitted in self._waiting.values()
                    if submitted.report.partition == partition and submitted.report.generation <= generation]
            for submitted in gone:
                del self._waiting[submitted.report.ref]
            self._changed.notify_all()
        for submitted in gone:
            self._tell(submitted, None)
        return len(gone)

    @property
    def full(self) -> bool:
        """True while so much waits that nothing more should be taken in."""
        with self._lock:
            return self._size() >= self._limit

    @property
    def backlog(self) -> int:
        """Reports not answered yet."""
        with self._lock:
            return self._size()

    def stop(self, timeout: float = 5.0) -> None:
        """End the thread; what waits is not sent."""
        self._loop.stop()
        with self._changed:
            self._changed.notify_all()
        self._loop.join(timeout)

    # -- the reporter's thread -----------------------------------------------------------------------------------

    def _run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            wait = self.step()
            if wait > 0:
                with self._changed:
                    if not stop.is_set():
                        self._changed.wait(min(wait, self._wait(), 1.0))

    def step(self) -> float:
        """Send one batch if one is to be sent; returns the seconds until there may be one (0: at once).

        For the reporter's thread, or for a test in its place.
        """
        with self._lock:
            wait = self._wait()
            if wait > 0:
                return wait
            if not self._under_way:
                size = min(len(self._waiting), self._batch)
                self._under_way.append(tuple(self._waiting.popitem(last=False)[1] for _ in range(size)))
            batch = self._under_way[0]
        with metrics.REPORT_REQUESTS_UNDER_WAY.track_inprogress():
            self._send(batch)
        with self._changed:
            metrics.REPORT_BACKLOG.set(self._size())
            self._changed.notify_all()
            return self._wait()

    def _wait(self) -> float:
        """Seconds until something is to be sent; inf while there is nothing.  Under the lock."""
        now = self._clock.monotonic()
        if self._under_way:
            return max(0.0, self._again_at - now)
        if not self._waiting:
            return float("inf")
        if len(self._waiting) >= self._batch:
            return 0.0
        oldest = next(iter(self._waiting.values())).since
        return max(0.0, oldest + self._age - now)

    def _send(self, batch: _Batch) -> None:
        failpoints.hit("report.before")
        try:
            reply = self._engine.report(ReportRequest(self._member, tuple(submitted.report for submitted in batch)))
            failpoints.hit("report.after")
            if len(reply.outcomes) != len(batch):
                raise Unavailable(f"expected {len(batch)} outcomes, got {len(reply.outcomes)}: another engine's?")
        except InvalidInput as error:
            self._refused(batch, error)
            return
        except ObsvcError as error:  # its outcome is unknown, or the engine is not fit for it now: the same again
            self._unanswered(batch, error)
            return
        with self._lock:
            self._under_way.pop(0)
            self._failures = 0
            self.last_error = None
        for submitted, outcome in zip(batch, reply.outcomes, strict=True):
            metrics.REPORTS.labels(outcome.verdict.value).inc()
            self._tell(submitted, outcome)

    def _unanswered(self, batch: _Batch, error: ObsvcError) -> None:
        with self._lock:
            self._failures += 1
            delay = BACKOFF.delay(self._failures, self._rng.uniform)
            self._again_at = self._clock.monotonic() + delay
            self.last_error = error.message
        LOG.warning("%d reports got no answer (try %d, again in %.1f s): %s", len(batch), self._failures, delay,
                    error.message)

    def _refused(self, batch: _Batch, error: InvalidInput) -> None:
        """Halve a batch that the engine won't read, until the one report stands alone; drop that."""
        middle = len(batch) // 2
        with self._lock:
            self._under_way[:1] = [part for part in (batch[:middle], batch[middle:]) if part] if middle else []
            self._again_at = 0.0
        if not middle:
            report = batch[0].report
            LOG.error("%s: report %d (partition %d, generation %d) is dropped, the engine can't read it: %s",
                      report.ref, report.sequence, report.partition, report.generation, error.message)
            self._tell(batch[0], None)

    def _tell(self, submitted: _Submitted, outcome: ReportOutcome | None) -> None:
        if submitted.on_outcome is None:
            return
        try:
            submitted.on_outcome(outcome)
        except Exception:  # an error with one report must not keep the others from being told
            report = submitted.report
            LOG.exception("%s: the outcome of report %d could not be taken", report.ref, report.sequence)

    def _size(self) -> int:
        return len(self._waiting) + sum(len(batch) for batch in self._under_way)

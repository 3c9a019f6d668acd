"""What a look has seen goes to the reporter, and what follows from the engine's answer.

A look is over in the work queue when its report was handed to the reporter.  What must wait for the engine's answer
(settling deliveries, clearing marks, the poll for what is still wanted) is done by :meth:`LookReports.answered`.  So
with the engine away looks go on, and the reporter keeps the newest of each ref.

Any thread may call; :meth:`LookReports.answered` is called on the reporter's thread and does not block.
"""
from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import msgspec

from obsvc.engine_client.reports import Report, ReportOutcome, Verdict
from obsvc.model import Cause, Generation, PartitionId, Ref, Snapshot
from obsvc.observer.fetching.result import FetchResult
from obsvc.observer.looks.history import LookHistory
from obsvc.observer.looks.policy import LookPolicy
from obsvc.observer.looks.schedule import LookSchedule
from obsvc.observer.looks.values import Decision
from obsvc.observer.queue.entry import DueLook
from obsvc.observer.state.deliveries import UnsettledDeliveries
from obsvc.observer.state.holdings import Holdings
from obsvc.observer.state.mark_requests import MarkRequests
from obsvc.observer.state.sequence import Sequence
from obsvc.observer.state.values import AfterReport, Task

LOG = logging.getLogger(__name__)


class ReportSink(Protocol):
    """Sends reports (:class:`obsvc.observer.engine_link.reporter.Reporter`)."""

    def submit(self, report: Report, on_outcome: Callable[[ReportOutcome | None], None]) -> None:
        """Have ``report`` sent; ``on_outcome`` is called once, with None when it was given up."""


class StaleListener(Protocol):
    """Is told of refused reports (:class:`obsvc.partitioning.ownership.Ownership`)."""

    def stale(self, partition: PartitionId, generation: Generation) -> None:
        """A report of the partition under ``generation`` was refused: another member owns it."""


@dataclass(frozen=True)
class PendingReport:
    """One look whose report is not answered yet."""

    look: DueLook
    task: Task
    fetched: FetchResult
    decision: Decision


class LookReports:
    """reporter: sends the reports.  marks, ownership: told of what is refused."""

    def __init__(
        self,
        *,
        policy: LookPolicy,
        holdings: Holdings,
        deliveries: UnsettledDeliveries,
        schedule: LookSchedule,
        reporter: ReportSink,
        marks: MarkRequests,
        ownership: StaleListener,
        history: LookHistory,
    ) -> None:
        self._policy = policy
        self._holdings = holdings
        self._deliveries = deliveries
        self._schedule = schedule
        self._reporter = reporter
        self._marks = marks
        self._ownership = ownership
        self._history = history
        self._sequence = Sequence()
        self._changed = threading.Condition()
        self._unanswered: dict[int, PendingReport] = {}  # by sequence

    # -- to the reporter

    def next_sequence(self) -> int:
        """The sequence of a report; taken *before* its request is sent."""
        return self._sequence.next()

    def submit(self, pending: PendingReport, snapshot: Snapshot, sequence: int) -> None:
        """Report ``snapshot``, the decision of ``pending``; what it claims to have seen (mark, generation) is what was
        known when its look began."""
        task = pending.task
        with self._changed:
            self._unanswered[sequence] = pending
        report = Report(
            task.ref, task.partition, task.generation, sequence, snapshot, pending.look.cause, mark=task.observed.mark
        )
        self._reporter.submit(report, lambda outcome: self.answered(report, outcome))

    def submit_payload(self, pending: PendingReport) -> None:
        """Report what a trusted payload said (:mod:`.trusted_payloads`): no look began with it, so it clears no mark.
        The caller holds the ref in the queue, and ends that after this."""
        task = replace(pending.task, observed=msgspec.structs.replace(pending.task.observed, mark=None))
        decision = pending.decision
        if decision.report is not None:
            self.submit(replace(pending, task=task), decision.report, self.next_sequence())
        if decision.next is not None:
            self._schedule.follow_up(task.ref, decision.next)

    # -- from the engine

    def answered(self, report: Report, outcome: ReportOutcome | None) -> None:
        """The engine's answer to ``report`` is here; None: it was given up.

        Given up is a report whose newer one is sent instead (its answer will do), whose partition was lost (whoever
        lost it marks what is due), or which the engine can't read (what waits for it is marked when it is overdue).
        """
        with self._changed:
            pending = self._unanswered.pop(report.sequence, None)
        try:
            if pending is not None and outcome is not None:
                self._after_verdict(pending, report.snapshot, outcome)
        finally:
            with self._changed:
                self._changed.notify_all()

    def wait_answered(self, concerns: Callable[[Ref], bool], timeout: float) -> bool:
        """Wait until no report that ``concerns`` says yes to is unanswered; True when that came about."""

        def all_answered() -> bool:
            return not any(concerns(pending.task.ref) for pending in self._unanswered.values())

        with self._changed:
            return self._changed.wait_for(all_answered, timeout)

    def _after_verdict(self, pending: PendingReport, snapshot: Snapshot, outcome: ReportOutcome) -> None:
        task = pending.task
        self._history.answered(task, pending.fetched, outcome)
        if outcome.verdict is Verdict.STALE_GENERATION:
            self._refused(task)
            return
        after = self._holdings.reported(task, outcome, snapshot)
        self._settle(pending)
        if after is None:
            if outcome.verdict is Verdict.NOT_OBSERVED:
                self._schedule.unobserved([task.ref])
            return
        next_look = pending.decision.next
        by_payload = pending.look.cause is Cause.PAYLOAD
        if not by_payload and (next_look is None or next_look.cause is Cause.POLLED):
            self._holdings.requests_answered(task)
        if next_look is None and outcome.verdict in (Verdict.ACCEPTED, Verdict.UNCHANGED):
            self._poll(task, outcome, after)
        if after.newer_mark:
            self._schedule.marked(task.ref)

    def _settle(self, pending: PendingReport) -> None:
        """The engine's copy is at least as new as what was seen, whatever the verdict: the deliveries that this answers
        are settled."""
        ref, began_at = pending.task.ref, pending.fetched.began_at
        if pending.look.cause is Cause.PAYLOAD:
            self._deliveries.payload_reported(ref, pending.look.since)
            return
        self._holdings.report_answered(ref, began_at)
        self._deliveries.looked(ref, began_at)
        self._schedule.looked(ref)

    def _refused(self, task: Task) -> None:
        """We do not own the partition any more: its owner shall look, and our Ownership shall know."""
        LOG.warning("%s partition %d generation %d: the report was refused as stale; the ref is marked",
                    task.ref, task.partition, task.generation)
        self._marks.mark_soon([task.ref])
        self._ownership.stale(task.partition, task.generation)

    def _poll(self, task: Task, outcome: ReportOutcome, after: AfterReport) -> None:
        """Poll for what the engine still waits for, where no look is to follow anyway."""
        if after.observations_changed:
            outcome = msgspec.structs.replace(outcome, wanted=after.observed.wanted, deadline=after.observed.deadline)
        poll = self._holdings.update_look(task.ref, lambda state: self._policy.after_report(state, outcome))
        if poll is not None:
            self._schedule.follow_up(task.ref, poll)

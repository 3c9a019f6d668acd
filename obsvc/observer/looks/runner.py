"""From a look that is due to its report, and what follows from both (DESIGN 3).

The sequence is taken before the request is sent, and what a report claims to have seen (mark, generation) is what was
known then.  A look ends in the work queue when its report was handed to the reporter; what must wait for the engine's
answer (settling deliveries, clearing marks, the poll for what is still wanted) is done by :meth:`LookRunner.answered`.
So with the engine away looks go on, and the reporter keeps the newest of each ref.

:meth:`LookRunner.run` is the body of each fetch thread's Loop; :meth:`LookRunner.answered` is called on the reporter's
thread and does not block.
"""
from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import msgspec

from obsvc import metrics
from obsvc.engine_client.reports import Report, ReportOutcome, Verdict
from obsvc.model import Cause, Generation, PartitionId, Ref, Snapshot
from obsvc.observer.engine_link.sequence import Sequence as Counter
from obsvc.observer.fetching.absence import AbsenceWatch
from obsvc.observer.fetching.result import FetchOutcome, FetchResult
from obsvc.observer.looks import policy, trail
from obsvc.observer.looks.recall import Recall
from obsvc.observer.looks.schedule import LookSchedule
from obsvc.observer.queue.work_queue import DueLook, WorkQueue
from obsvc.observer.state.deliveries import UnsettledDeliveries
from obsvc.observer.state.holdings import AfterReport, Holdings, LookState, Task
from obsvc.process import failpoints
from obsvc.process.clock import Clock

LOG = logging.getLogger(__name__)

#: Verdicts after which the engine's copy is at least as new as what the look saw.
_SETTLING = frozenset({Verdict.ACCEPTED, Verdict.UNCHANGED, Verdict.SUPERSEDED, Verdict.NOT_OBSERVED})


#: Refs noted as to be looked at alone; forgotten altogether beyond, which costs one needless list for each.
ALONE_KEPT = 10_000


@dataclass(frozen=True)
class Seen:
    """One look whose report is under way."""

    look: DueLook
    task: Task
    fetched: FetchResult
    decision: policy.Decision


@dataclass(frozen=True)
class Begun:
    """One look whose request is sent now: all that its report will claim was taken before."""

    look: DueLook
    task: Task
    sequence: int


class Together(Protocol):
    """Requests for several refs at once (:class:`obsvc.observer.fetching.fetcher.Fetcher`)."""

    def together(self, ref: Ref) -> int: ...

    def fetch_together(self, refs: Sequence[Ref]) -> dict[Ref, FetchResult]: ...


class LookRunner:
    """Makes the looks that the queue says are due.

    fetch: one request.  together: requests for several refs at once; None: there are none.  submit: hands a report
    to the reporter.  mark_soon: has refs marked at the engine.  stale: is told of a partition whose reports are
    refused.  wall: the engine's clock as well as this member knows it.  recall: counts what was found without a
    notification.  note: keeps the trail of each ref.
    """

    def __init__(
        self,
        settings: policy.LookSettings,
        *,
        holdings: Holdings,
        queue: WorkQueue,
        schedule: LookSchedule,
        deliveries: UnsettledDeliveries,
        absences: AbsenceWatch,
        lane_of: Callable[[Ref], object],
        fetch: Callable[[Ref], FetchResult],
        submit: Callable[[Report, Callable[[ReportOutcome | None], None]], None],
        mark_soon: Callable[[Iterable[Ref]], None],
        stale: Callable[[PartitionId, Generation], None],
        wall: Callable[[], float],
        clock: Clock,
        together: Together | None = None,
        recall: Recall | None = None,
        note: Callable[[Ref, str, str], None] = lambda ref, what, text: None,
        rng: random.Random | None = None,
    ) -> None:
        self._settings = settings
        self._holdings = holdings
        self._queue = queue
        self._schedule = schedule
        self._deliveries = deliveries
        self._absences = absences
        self._lane_of = lane_of
        self._fetch = fetch
        self._together = together
        self._recall = recall
        self._note = note
        self._alone: set[Ref] = set()  # a list did not have them: the next look asks for each by itself
        self._submit = submit
        self._mark_soon = mark_soon
        self._stale = stale
        self._wall = wall
        self._clock = clock
        self._rng = rng or random.Random()
        self._sequence = Counter()
        self._reported = threading.Condition()
        self._unanswered: dict[int, Seen] = {}  # by sequence

    # -- one look

    def run(self, stop: threading.Event) -> None:
        """Make looks until ``stop`` is set."""
        while not stop.is_set():
            look = self._queue.get(timeout=1.0)
            if look is None:
                continue
            try:
                self.run_one(look)
            except Exception:  # this look's trouble is not its thread's: others wait for that
                delay = self._queue.retry(look)
                LOG.exception("%s: the look failed; the next one in %.1f s", look.ref, delay)

    def run_one(self, look: DueLook) -> None:
        """Fetch ``work``'s ref, decide, and report or do what follows without a report.

        Where its API lists by ids, what else is due of its type is fetched and ended with it.
        """
        others = self._others(look)
        if others:
            self._look_together([look, *others])
            return
        self._alone.discard(look.ref)
        begun = self._begin(look)
        if begun is not None:
            failpoints.hit("fetch.before")
            fetched = self._fetch(look.ref)
            failpoints.hit("fetch.after")
            self._conclude(begun, fetched)

    def _others(self, look: DueLook) -> list[DueLook]:
        """What shares the request of ``work``."""
        if self._together is None or look.attempt > 1 or look.ref in self._alone:
            return []
        most = self._together.together(look.ref) - 1
        return self._queue.get_with(look, most, lambda ref: ref not in self._alone) if most > 0 else []

    def _look_together(self, looks: list[DueLook]) -> None:
        """One request for all; what its list does not have, or what goes wrong here, is looked at alone at once."""
        begun = {one.look.ref: one for one in map(self._begin, looks) if one is not None}
        try:
            fetched = self._together.fetch_together(tuple(begun)) if begun and self._together is not None else {}
        except Exception:
            LOG.exception("%d looks together failed; each is made alone", len(begun))
            fetched = {}
        for ref, one in begun.items():
            if ref not in fetched:
                if len(self._alone) >= ALONE_KEPT:
                    self._alone.clear()
                self._alone.add(ref)
                self._queue.put_back(one.look, delay=0.0)
                continue
            try:
                self._conclude(one, fetched[ref])
            except Exception:  # one look's trouble is not the others'
                delay = self._queue.retry(one.look)
                LOG.exception("%s: the look failed; the next one in %.1f s", ref, delay)

    def _begin(self, look: DueLook) -> Begun | None:
        """What the report of a look that begins now may claim; None, with the look ended, where it is not ours."""
        task = self._holdings.task(look.ref, begins=self._clock.monotonic())
        if task is None:  # lost or handed over: whoever did that marked it
            self._queue.done(look)
            return None
        if self._recall is not None:
            self._recall.begun(look.ref, look.cause, task.observed.mark_reason)
        self._note(look.ref, "look", trail.begun(look, task))
        return Begun(look, task, self._sequence.next())

    def _conclude(self, begun: Begun, fetched: FetchResult) -> None:
        """Decide what ``fetched`` means, report it, and end the look."""
        look, task = begun.look, begun.task
        metrics.LOOKS.labels(look.ref.resource_type, look.cause.value).inc()
        decision = self._decide(look, fetched)
        self._note(look.ref, "seen", trail.seen(fetched, decision))
        if decision is None:
            self._queue.done(look)
        elif decision.retry:
            delay = self._queue.retry(look, after=fetched.retry_after)
            LOG.info("%s partition %d generation %d: %s; next look in %.1f s",
                     look.ref, task.partition, task.generation, decision.why, delay)
        elif decision.report is None:
            LOG.debug("%s partition %d generation %d: %s", look.ref, task.partition, task.generation, decision.why)
            self._end(look, decision)
        else:
            self._report(Seen(look, task, fetched, decision), decision.report, begun.sequence)
            self._end(look, decision)

    def _decide(self, look: DueLook, fetched: FetchResult) -> policy.Decision | None:
        """The policy's decision, its state taken over; None when the ref is no longer ours."""
        decisions: list[policy.Decision] = []
        mass_absence = False

        def change(state: LookState) -> LookState:
            moment = policy.Moment(self._clock.monotonic(), self._wall(), mass_absence)
            decisions.append(policy.after_fetch(state, look, fetched, moment, self._settings, self._rng))
            return decisions[-1].state

        if fetched.outcome in (FetchOutcome.FOUND, FetchOutcome.ABSENT):
            task = self._holdings.task(look.ref)
            expected = task is not None and policy.expects_absence(task.look, look)
            mass_absence = self._absences.note(
                self._lane_of(look.ref), look.ref, self._clock.monotonic(),
                absent=fetched.outcome is FetchOutcome.ABSENT, expected=expected,
            )
        self._holdings.update_look(look.ref, change)
        return decisions[-1] if decisions else None

    def _report(self, seen: Seen, snapshot: Snapshot, sequence: int) -> None:
        task = seen.task
        with self._reported:
            self._unanswered[sequence] = seen
        report = Report(
            task.ref, task.partition, task.generation, sequence, snapshot, seen.look.cause, mark=task.observed.mark
        )
        self._submit(report, lambda outcome: self.answered(report, outcome))

    def _end(self, look: DueLook, decision: policy.Decision) -> None:
        """Ask for the look that follows, and end this one."""
        if decision.next is not None:
            following = decision.next
            self._queue.add_after(look.ref, following.delay, following.cause, gathers=following.gathers,
                                  postponable=following.postponable)
        self._queue.done(look, shows=lambda announced: policy.answered(decision.state, announced),
                         under_way=policy.is_under_way(decision.state))

    # -- its report

    def tell(self, task: Task, look: DueLook, told: FetchResult, decision: policy.Decision) -> None:
        """Report what the payload of a notification told (:mod:`.trusted_payloads`), which began nothing: it
        clears no mark.  Its caller holds the ref in the queue, and ends that after this."""
        task = replace(task, observed=msgspec.structs.replace(task.observed, mark=None))
        if decision.report is not None:
            self._report(Seen(look, task, told, decision), decision.report, self._sequence.next())
        if decision.next is not None:
            following = decision.next
            self._queue.add_after(look.ref, following.delay, following.cause, postponable=following.postponable)

    def answered(self, report: Report, outcome: ReportOutcome | None) -> None:
        """The engine's answer to ``report`` is here; None: it was given up.

        Given up is a report whose newer one is sent instead (its answer will do), whose partition was lost (whoever
        lost it marks what it owes), or which the engine can't read (what waits for it is marked when it is overdue).
        """
        with self._reported:
            seen = self._unanswered.pop(report.sequence, None)
        try:
            if seen is not None and outcome is not None:
                self._judged(seen, report.snapshot, outcome)
        finally:
            with self._reported:
                self._reported.notify_all()

    def wait_answered(self, concerns: Callable[[Ref], bool], timeout: float) -> bool:
        """Wait until no report that ``concerns`` says yes to is unanswered; True when that came about."""

        def free() -> bool:
            return not any(concerns(seen.task.ref) for seen in self._unanswered.values())

        with self._reported:
            return self._reported.wait_for(free, timeout)

    def _judged(self, seen: Seen, snapshot: Snapshot, outcome: ReportOutcome) -> None:
        task = seen.task
        self._note(task.ref, "verdict", trail.judged(task, outcome))
        if outcome.verdict is Verdict.STALE_GENERATION:
            self._refused(task)
            return
        if self._recall is not None and outcome.verdict in (Verdict.ACCEPTED, Verdict.UNCHANGED):
            changed = outcome.verdict is Verdict.ACCEPTED and task.observed.last is not None
            self._recall.reported(task.ref, seen.fetched.began_at, changed=changed)
        after = self._holdings.reported(task, outcome, snapshot)
        told = seen.look.cause is Cause.PAYLOAD
        if told and outcome.verdict in _SETTLING:
            self._deliveries.payload_reported(task.ref, seen.look.since)
        elif outcome.verdict in _SETTLING:
            self._holdings.report_answered(task.ref, seen.fetched.began_at)
            self._deliveries.looked(task.ref, seen.fetched.began_at)
            self._schedule.looked(task.ref)
        if after is None:
            if outcome.verdict is Verdict.NOT_OBSERVED:
                self._schedule.unobserved([task.ref])
            return
        following = seen.decision.next
        if not told and (following is None or following.cause is Cause.POLLED):
            self._holdings.requests_answered(task)
        if following is None and outcome.verdict in (Verdict.ACCEPTED, Verdict.UNCHANGED):
            self._poll(task, outcome, after)
        if after.newer_mark:
            self._schedule.marked(task.ref)

    def _refused(self, task: Task) -> None:
        """We do not own the partition any more: somebody else shall look, and Ownership shall know."""
        LOG.warning("%s partition %d generation %d: the report was refused as stale; the ref is marked",
                    task.ref, task.partition, task.generation)
        self._mark_soon([task.ref])
        self._stale(task.partition, task.generation)

    def _poll(self, task: Task, outcome: ReportOutcome, after: AfterReport) -> None:
        """Poll for what the engine still waits for, where no look is to follow anyway."""
        if after.observations_changed:
            outcome = msgspec.structs.replace(outcome, wanted=after.observed.wanted, deadline=after.observed.deadline)
        polls: list[policy.NextLook | None] = [None]

        def change(state: LookState) -> LookState:
            moment = policy.Moment(self._clock.monotonic(), self._wall())
            state, polls[0] = policy.after_report(state, outcome, moment, self._settings, self._rng)
            return state

        self._holdings.update_look(task.ref, change)
        if polls[0] is not None:
            self._queue.add_after(task.ref, polls[0].delay, polls[0].cause, postponable=polls[0].postponable)

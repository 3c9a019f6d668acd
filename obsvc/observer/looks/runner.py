"""From a look that is due to what it has seen.

The sequence is taken before the request is sent, and what a report claims to have seen (mark, generation) is what was
known then.  A look ends in the work queue when its report was handed over; what follows from the engine's answer is
:mod:`.reports`'.

:meth:`LookRunner.run` is the body of each fetch thread's Loop.
"""
from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from obsvc import metrics
from obsvc.model import Ref
from obsvc.observer.fetching.absence import AbsenceWatch
from obsvc.observer.fetching.gate import ServiceLane
from obsvc.observer.fetching.result import FetchOutcome, FetchResult
from obsvc.observer.looks.announcements import answered, expects_absence, is_under_way
from obsvc.observer.looks.history import LookHistory
from obsvc.observer.looks.policy import LookPolicy
from obsvc.observer.looks.reports import LookReports, PendingReport
from obsvc.observer.looks.schedule import LookSchedule
from obsvc.observer.looks.values import Decision
from obsvc.observer.queue.work_queue import DueLook, WorkQueue
from obsvc.observer.state.holdings import Holdings
from obsvc.observer.state.look_state import LookState
from obsvc.observer.state.values import Task
from obsvc.process import failpoints

LOG = logging.getLogger(__name__)

#: Refs noted as to be looked at alone; forgotten altogether beyond, which costs one needless list for each.
ALONE_KEPT = 10_000

#: Seconds that a thread waits for a look before it asks whether it is to stop.
GET_TIMEOUT = 1.0


class RefFetcher(Protocol):
    """Makes the requests (:class:`obsvc.observer.fetching.fetcher.Fetcher`)."""

    def lane_of(self, ref: Ref) -> ServiceLane:
        """What the ref shares its fate with: its region and service."""

    def fetch(self, ref: Ref) -> FetchResult:
        """One request for one ref."""

    def most_together(self, ref: Ref) -> int:
        """How many refs of this type and region may share one request; 1: none."""

    def fetch_many(self, refs: Sequence[Ref]) -> dict[Ref, FetchResult]:
        """One request for all of ``refs``; what it says nothing of is left out."""


@dataclass(frozen=True)
class BegunLook:
    """One look whose request is sent now: all that its report will claim was taken before."""

    look: DueLook
    task: Task
    sequence: int


class LookRunner:
    """Makes the looks that the queue says are due."""

    def __init__(
        self,
        *,
        policy: LookPolicy,
        queue: WorkQueue,
        holdings: Holdings,
        fetcher: RefFetcher,
        absences: AbsenceWatch,
        schedule: LookSchedule,
        reports: LookReports,
        history: LookHistory,
    ) -> None:
        self._policy = policy
        self._queue = queue
        self._holdings = holdings
        self._fetcher = fetcher
        self._absences = absences
        self._schedule = schedule
        self._reports = reports
        self._history = history
        self._alone: set[Ref] = set()  # a list did not have them: the next look asks for each by itself

    def run(self, stop: threading.Event) -> None:
        """Make looks until ``stop`` is set."""
        while not stop.is_set():
            look = self._queue.get(timeout=GET_TIMEOUT)
            if look is None:
                continue
            try:
                self.run_one(look)
            except Exception:  # this look's trouble is not its thread's: others wait for that
                LOG.exception("%s: the look failed; the next one in %.1f s", look.ref, self._queue.retry(look))

    def run_one(self, look: DueLook) -> None:
        """Fetch ``look``'s ref, decide, and report or do what follows without a report.

        Where its API lists by ids, what else is due of its type is fetched and ended with it.
        """
        others = self._others(look)
        if others:
            self._run_many([look, *others])
            return
        self._alone.discard(look.ref)
        begun = self._begin(look)
        if begun is not None:
            failpoints.hit("fetch.before")
            fetched = self._fetcher.fetch(look.ref)
            failpoints.hit("fetch.after")
            self._conclude(begun, fetched)

    def _others(self, look: DueLook) -> list[DueLook]:
        """The due looks that share the request of ``look``."""
        if look.attempt > 1 or look.ref in self._alone:
            return []
        most = self._fetcher.most_together(look.ref) - 1
        return self._queue.get_with(look, most, lambda ref: ref not in self._alone) if most > 0 else []

    def _run_many(self, looks: list[DueLook]) -> None:
        """One request for all; what its list does not have, or what goes wrong here, is looked at alone at once."""
        begun_looks = [begun for begun in map(self._begin, looks) if begun is not None]
        results: dict[Ref, FetchResult] = {}
        if begun_looks:
            try:
                results = self._fetcher.fetch_many(tuple(begun.look.ref for begun in begun_looks))
            except Exception:
                LOG.exception("%d looks together failed; each is made alone", len(begun_looks))
        for begun in begun_looks:
            fetched = results.get(begun.look.ref)
            if fetched is None:
                self._make_alone(begun.look)
                continue
            try:
                self._conclude(begun, fetched)
            except Exception:  # one look's trouble is not the others'
                LOG.exception("%s: the look failed; the next one in %.1f s", begun.look.ref,
                              self._queue.retry(begun.look))

    def _make_alone(self, look: DueLook) -> None:
        """Look at its ref again at once, by a request of its own."""
        if len(self._alone) >= ALONE_KEPT:
            self._alone.clear()
        self._alone.add(look.ref)
        self._queue.put_back(look, delay=0.0)

    def _begin(self, look: DueLook) -> BegunLook | None:
        """What the report of a look that begins now may claim; None, with the look ended, where it is not ours."""
        task = self._holdings.task(look.ref, begins=self._policy.moment().now)
        if task is None:  # lost or handed over: whoever did that marked it
            self._queue.done(look)
            return None
        self._history.begun(look, task)
        return BegunLook(look, task, self._reports.next_sequence())

    def _conclude(self, begun: BegunLook, fetched: FetchResult) -> None:
        """Decide what ``fetched`` means, report it, and end the look."""
        look, task = begun.look, begun.task
        metrics.LOOKS.labels(look.ref.resource_type, look.cause.value).inc()
        decision = self._decide(look, fetched)
        self._history.fetched(fetched, decision)
        if decision is None:
            self._queue.done(look)
        elif decision.retry:
            delay = self._queue.retry(look, after=fetched.retry_after)
            LOG.info("%s partition %d generation %d: %s; next look in %.1f s",
                     look.ref, task.partition, task.generation, decision.why, delay)
        else:
            if decision.report is None:
                LOG.debug("%s partition %d generation %d: %s", look.ref, task.partition, task.generation, decision.why)
            else:
                self._reports.submit(PendingReport(look, task, fetched, decision), decision.report, begun.sequence)
            self._end(look, decision)

    def _decide(self, look: DueLook, fetched: FetchResult) -> Decision | None:
        """The policy's decision, its state taken over; None when the ref is no longer ours."""
        mass_absence = self._absence_is_unusual(look, fetched)

        def decide(state: LookState) -> tuple[LookState, Decision]:
            decision = self._policy.after_fetch(state, look, fetched, mass_absence=mass_absence)
            return decision.state, decision

        return self._holdings.update_look(look.ref, decide)

    def _absence_is_unusual(self, look: DueLook, fetched: FetchResult) -> bool:
        """Note whether the ref was there; True while an unusual share of its service's refs is not."""
        if fetched.outcome not in (FetchOutcome.FOUND, FetchOutcome.ABSENT):
            return False
        task = self._holdings.task(look.ref)
        return self._absences.note(
            self._fetcher.lane_of(look.ref), look.ref, self._policy.moment().now,
            absent=fetched.outcome is FetchOutcome.ABSENT,
            expected=task is not None and expects_absence(task.look, look),
        )

    def _end(self, look: DueLook, decision: Decision) -> None:
        """Ask for the look that follows, and end this one."""
        if decision.next is not None:
            self._schedule.follow_up(look.ref, decision.next)
        self._queue.done(look, shows=lambda announced: answered(decision.state, announced),
                         under_way=is_under_way(decision.state))

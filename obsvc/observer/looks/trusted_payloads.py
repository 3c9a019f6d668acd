"""Payloads that are taken at their word (``[catalog] trust_payload``): a notification in place of a look.

Off by default.  A payload is taken for the snapshot only where nothing could be lost by it: it is whole, what is known
of the ref was seen by a look of this member (or said by a payload after it) and is older by the service's own count of
changes, and no look is due or under way.  Anything else gets its look as ever; so a start, a mark, a gap and a takeover
are answered by looks alone, and a goal is met only after one (the report names no mark).  A deletion is confirmed by
GET, and the project is the API's: a payload that names another is not taken.

What is older than what is known, or the same, is reported as known: that the delivery is settled says that the engine
has it.

Any thread may call; nothing blocks on the network.
"""
from __future__ import annotations

import enum
from dataclasses import replace

import msgspec

from obsvc import metrics
from obsvc.model import Cause, Condition, PayloadState, Ref, Snapshot
from obsvc.observer.fetching.result import FetchOutcome, FetchResult
from obsvc.observer.looks.announcements import differs
from obsvc.observer.looks.policy import LookPolicy
from obsvc.observer.looks.recall import Recall
from obsvc.observer.looks.reports import LookReports, PendingReport
from obsvc.observer.looks.values import Decision
from obsvc.observer.queue.work_queue import DueLook, WorkQueue
from obsvc.observer.state.deliveries import Delivery, UnsettledDeliveries
from obsvc.observer.state.holdings import Holdings
from obsvc.observer.state.look_state import NOTHING_TO_SETTLE, LookState
from obsvc.observer.state.values import Task
from obsvc.process.clock import Clock


class PayloadFate(enum.StrEnum):
    """What becomes of a payload: the first three are reported, all others ask for a look."""

    TAKEN = "taken"  #: it is newer than what is known
    KNOWN = "known"  #: it says again what is known
    STALE = "stale"  #: it is older than what is known
    INCOMPLETE = "incomplete"  #: it does not do for a snapshot
    NOTHING_KNOWN = "nothing_known"  #: there is nothing to compare it with
    NO_CONDITION = "no_condition"  #: a deletion, or a status that the catalogue does not know
    OTHER_PROJECT = "other_project"  #: it names another project than the API did
    SAME_ORDER = "same_order"  #: it says something else than what is known, and is no newer
    BUSY = "busy"  #: a look is due or under way anyway


_REPORTED = frozenset({PayloadFate.TAKEN, PayloadFate.KNOWN, PayloadFate.STALE})


def judge(payload: PayloadState, state: LookState) -> PayloadFate:
    """What becomes of ``payload``, ``state`` being what is known."""
    after, last = payload.snapshot, state.last
    if after is None or payload.order is None:
        return PayloadFate.INCOMPLETE
    if last is None or state.order is None or not last.exists or state.absent_since is not None:
        return PayloadFate.NOTHING_KNOWN
    if not after.exists or after.condition is Condition.UNKNOWN:
        return PayloadFate.NO_CONDITION
    if after.project_id != last.project_id:
        return PayloadFate.OTHER_PROJECT
    if payload.order < state.order:
        return PayloadFate.STALE
    if payload.order > state.order:
        return PayloadFate.TAKEN
    return PayloadFate.SAME_ORDER if _differ(last, after) else PayloadFate.KNOWN


def _differ(last: Snapshot, after: Snapshot) -> bool:
    """Whether they say different things of the resource (a time is written in more than one way)."""
    return differs(msgspec.structs.replace(last, updated_at=None), msgspec.structs.replace(after, updated_at=None))


class TrustedPayloads:
    """recall: is told of each ref whose payload was taken."""

    def __init__(
        self,
        *,
        policy: LookPolicy,
        queue: WorkQueue,
        holdings: Holdings,
        deliveries: UnsettledDeliveries,
        reports: LookReports,
        recall: Recall,
        clock: Clock,
    ) -> None:
        self._policy = policy
        self._queue = queue
        self._holdings = holdings
        self._deliveries = deliveries
        self._reports = reports
        self._recall = recall
        self._clock = clock

    def take(self, ref: Ref, payload: PayloadState, delivery: Delivery) -> bool:
        """Report what ``payload`` says, and settle ``delivery`` when the engine has it; False where a look is
        needed."""
        fate = self._take(ref, payload, delivery)
        metrics.TRUSTED_PAYLOADS.labels(ref.resource_type, fate.value).inc()
        return fate in _REPORTED

    def _take(self, ref: Ref, payload: PayloadState, delivery: Delivery) -> PayloadFate:
        task = self._holdings.task(ref)
        fate = PayloadFate.BUSY if task is None else judge(payload, task.look)
        if fate not in _REPORTED:
            return fate
        # A look that waits, is under way, or whose report is not answered has begun with more than we know.
        if self._holdings.awaits_look(ref) or not self._queue.replace_poll(ref):
            return PayloadFate.BUSY
        try:
            return self._report(ref, payload, delivery)
        finally:
            self._queue.done(ref)

    def _report(self, ref: Ref, payload: PayloadState, delivery: Delivery) -> PayloadFate:
        """Of a ref that is not looked at meanwhile."""
        task = self._holdings.task(ref)
        taken = None if task is None else self._holdings.update_look(ref, lambda state: self._decide(payload, state))
        if task is None or taken is None:
            return PayloadFate.BUSY
        fate, decision = taken
        # Registered before it is reported: a report answered before the registration would settle nothing.
        self._deliveries.register(delivery, [ref], by_payload=True)
        self._recall.notified(ref)
        self._reports.submit_payload(self._pending(task, delivery, decision))
        return fate

    def _decide(self, payload: PayloadState,
                state: LookState) -> tuple[LookState, tuple[PayloadFate, Decision] | None]:
        """The state after ``payload``, its fate and what follows; None where it is not to be reported."""
        fate = judge(payload, state)
        if fate not in _REPORTED:
            return state, None
        if fate is PayloadFate.TAKEN and payload.snapshot is not None:
            snapshot = msgspec.structs.replace(payload.snapshot, fetched_at=self._clock.time())
            state = replace(state, last=snapshot, order=payload.order, settle=NOTHING_TO_SETTLE, polls=0)
        assert state.last is not None  # judged against it
        decision = self._policy.after_payload(state, state.last)
        return decision.state, (fate, decision)

    def _pending(self, task: Task, delivery: Delivery, decision: Decision) -> PendingReport:
        """As if a look had shown what the payload says."""
        fetched = FetchResult(task.ref, FetchOutcome.FOUND, self._clock.monotonic(), self._clock.time(),
                              decision.report)
        return PendingReport(DueLook(task.ref, Cause.PAYLOAD, delivery.arrived), task, fetched, decision)

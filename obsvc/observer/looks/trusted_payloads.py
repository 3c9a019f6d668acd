"""Payloads that are taken at their word (``[catalog] trust_payload``): a notification in place of a look.

Off by default.  A payload is taken for the snapshot only where nothing could be lost by it: it is whole, what is known
of the ref was seen by a look of this member (or told after it) and is older by the service's own count of changes, and
no look is due or under way.  Anything else gets its look as ever; so a start, a mark, a gap and a takeover are answered
by looks alone, and a goal is met only after one (the report names no mark).  A deletion is confirmed by GET, and the
project is the API's: a payload that names another is not taken.

What is older than what is known, or the same, is reported as known: that the delivery is settled says that the engine
has it.

Any thread may call; nothing blocks on the network.
"""
from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import msgspec

from obsvc import metrics
from obsvc.model import Cause, Condition, PayloadState, Ref, Snapshot
from obsvc.observer.fetching.result import FetchOutcome, FetchResult
from obsvc.observer.looks import policy
from obsvc.observer.looks.runner import LookRunner
from obsvc.observer.queue.work_queue import DueLook, WorkQueue
from obsvc.observer.state.deliveries import Delivery, UnsettledDeliveries
from obsvc.observer.state.holdings import Holdings
from obsvc.process.clock import Clock

#: What becomes of a payload; all but these ask for a look.
TAKEN, KNOWN, STALE = "taken", "known", "stale"
_REPORTED = frozenset({TAKEN, KNOWN, STALE})


def judge(told: PayloadState, state: policy.LookState) -> str:
    """One word for what becomes of ``told``, ``state`` being what is known: TAKEN, KNOWN, STALE, or why a look is
    needed."""
    after, last = told.snapshot, state.last
    if after is None or told.order is None:
        return "incomplete"
    if last is None or state.order is None or not last.exists or state.absent_since is not None:
        return "nothing_known"
    if not after.exists or after.condition is Condition.UNKNOWN:
        return "no_condition"
    if after.project_id != last.project_id:
        return "other_project"
    if told.order < state.order:
        return STALE
    if told.order > state.order:
        return TAKEN
    return "same_order" if _differ(last, after) else KNOWN


def _differ(last: Snapshot, after: Snapshot) -> bool:
    """Whether they say different things of the resource (a time is written in more than one way)."""
    return policy.differs(msgspec.structs.replace(last, updated_at=None),
                         msgspec.structs.replace(after, updated_at=None))


class TrustedPayloads:
    """heard: told of each ref that a notification spoke of.  wall: the engine's clock as well as it is known."""

    def __init__(
        self,
        settings: policy.LookSettings,
        *,
        holdings: Holdings,
        queue: WorkQueue,
        deliveries: UnsettledDeliveries,
        look_runner: LookRunner,
        heard: Callable[[Ref], None],
        wall: Callable[[], float],
        clock: Clock,
        rng: random.Random | None = None,
    ) -> None:
        self._settings = settings
        self._holdings = holdings
        self._queue = queue
        self._deliveries = deliveries
        self._look_runner = look_runner
        self._heard = heard
        self._wall = wall
        self._clock = clock
        self._rng = rng or random.Random()

    def take(self, ref: Ref, told: PayloadState, delivery: Delivery) -> bool:
        """Report what is ``told``, and settle ``delivery`` when the engine has it; False where a look is needed."""
        outcome = self._taken(ref, told, delivery)
        metrics.TRUSTED_PAYLOADS.labels(ref.resource_type, outcome).inc()
        return outcome in _REPORTED

    def _taken(self, ref: Ref, told: PayloadState, delivery: Delivery) -> str:
        task = self._holdings.task(ref)
        outcome = "busy" if task is None else judge(told, task.look)
        if outcome not in _REPORTED:
            return outcome
        # A look that waits, is under way, or whose report is not answered has begun with more than we know.
        if self._holdings.awaits_look(ref) or not self._queue.replace_poll(ref):
            return "busy"
        try:
            return self._tell(ref, told, delivery)
        finally:
            self._queue.done(ref)

    def _tell(self, ref: Ref, told: PayloadState, delivery: Delivery) -> str:
        """Of a ref at which nobody looks meanwhile."""
        task = self._holdings.task(ref)
        found: list[tuple[str, policy.Decision]] = []

        def change(state: policy.LookState) -> policy.LookState:
            outcome = judge(told, state)
            if outcome not in _REPORTED:
                return state
            if outcome == TAKEN:
                assert told.snapshot is not None
                seen = msgspec.structs.replace(told.snapshot, fetched_at=self._clock.time())
                state = replace(state, last=seen, order=told.order, settle=policy.NOTHING_TO_SETTLE, polls=0)
            assert state.last is not None
            moment = policy.Moment(self._clock.monotonic(), self._wall())
            decision = policy.follow(state, state.last, moment, self._settings, self._rng)
            found.append((outcome, decision))
            return decision.state

        if task is None or not self._holdings.update_look(ref, change) or not found:
            return "busy"
        outcome, decision = found[0]
        # Registered before it is reported: a report answered before the registration would settle nothing.
        self._deliveries.register(delivery, [ref], by_payload=True)
        self._heard(ref)
        fetched = FetchResult(ref, FetchOutcome.FOUND, self._clock.monotonic(), self._clock.time(), decision.report)
        self._look_runner.tell(task, DueLook(ref, Cause.PAYLOAD, delivery.arrived), fetched, decision)
        return outcome

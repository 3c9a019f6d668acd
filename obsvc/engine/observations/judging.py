"""Pure decisions about reports: which verdict, what changed, and what it means for each goal.

Nothing here knows a database or a clock; every function may be called from any thread.
"""
from __future__ import annotations

from collections.abc import Iterable

import msgspec

from obsvc.engine.observations.deltas import DeltaDraft, TouchedObservation
from obsvc.engine_client.observations import GoalProgress, ObservationStatus
from obsvc.engine_client.reports import Report, Verdict
from obsvc.model import Condition, Generation, Snapshot, Version

#: Of several observations' standings the weightiest names the delta's.
_WEIGHT = (GoalProgress.NONE, GoalProgress.TOWARDS, GoalProgress.MET, GoalProgress.DRIFT, GoalProgress.FAILED)


class Known(msgspec.Struct, frozen=True):
    """What the engine holds of a ref: the last report written, and the highest mark that one has named.

    snapshot: None before the first report.  verdict, version: of that last report.
    """

    generation: Generation
    sequence: int
    snapshot: Snapshot | None
    verdict: Verdict | None = None
    version: Version | None = None
    looked: int = 0


class Watch(msgspec.Struct, frozen=True):
    """The part of an observation that decides about reports.  start_mark: the look mark that its start set."""

    observation_id: str
    goal: Condition | None
    status: ObservationStatus
    start_mark: int
    stack_id: str | None = None
    node_id: str | None = None


class Judgement(msgspec.Struct, frozen=True):
    """verdict; repeated: an equal report was written before (nothing is written now); draft: of the delta."""

    verdict: Verdict
    repeated: bool = False
    draft: DeltaDraft | None = None


def gone(snapshot: Snapshot) -> bool:
    """Whether the service says that there is no such resource any more."""
    return not snapshot.exists or snapshot.condition is Condition.DELETED


def satisfies(snapshot: Snapshot, goal: Condition) -> bool:
    """Whether ``snapshot`` meets ``goal``: ``deleted`` by absence, ``active`` only with nothing under way."""
    if goal is Condition.DELETED:
        return gone(snapshot)
    if gone(snapshot) or snapshot.condition is not goal:
        return False
    return snapshot.settled or goal is not Condition.ACTIVE


def failed(snapshot: Snapshot, goal: Condition) -> bool:
    """Whether ``goal`` will not be met by itself any more: the resource is in error, or gone."""
    if satisfies(snapshot, goal):
        return False
    return gone(snapshot) or snapshot.condition is Condition.ERROR


def differences(before: Snapshot | None, after: Snapshot) -> tuple[bool, tuple[str, ...]]:
    """``(differs, changed)``: whether anything that counts differs, and the names of the attributes that do."""
    if before is None:
        return True, tuple(sorted(after.attributes))
    changed: tuple[str, ...] = ()
    if before.attributes != after.attributes:
        names = before.attributes.keys() | after.attributes.keys()
        absent = object()
        changed = tuple(
            sorted(name for name in names if before.attributes.get(name, absent) != after.attributes.get(name, absent))
        )
    if gone(before) and gone(after):
        return before.condition is not after.condition or before.exists != after.exists, ()
    return bool(changed) or _counts(before) != _counts(after), changed


def _counts(snapshot: Snapshot) -> tuple[object, ...]:
    return (
        snapshot.exists, snapshot.condition, snapshot.status, snapshot.settled, snapshot.project_id, snapshot.name
    )


def order(known: Known, generation: Generation, sequence: int) -> int:
    """Negative: the report is older than what is known; 0: it is that report; positive: newer."""
    mine, other = (generation, sequence), (known.generation, known.sequence)
    return (mine > other) - (mine < other)


def evaluate(watch: Watch, known: Known, report: Report) -> TouchedObservation:
    """What a newer report means for one observation.

    A goal is met (or failed) only by a look that began after the observation did: one that names the mark of its
    start, or that follows such a look.  Otherwise a fetch under way at the start would answer for it with old news.
    """
    before, after, goal = known.snapshot, report.snapshot, watch.goal
    counted_before = known.looked >= watch.start_mark
    counts = counted_before or (report.mark is not None and report.mark >= watch.start_mark)
    status, standing = watch.status, GoalProgress.NONE
    if goal is None:
        pass
    elif status is ObservationStatus.WAITING:
        standing = GoalProgress.TOWARDS
        if counts and satisfies(after, goal):
            status, standing = ObservationStatus.MET, GoalProgress.MET
        elif counts and failed(after, goal):
            news = before is None or not counted_before or not failed(before, goal)
            standing = GoalProgress.FAILED if news or _state_changed(before, after) else GoalProgress.TOWARDS
    elif status is ObservationStatus.MET:
        was = before is not None and satisfies(before, goal)
        now = satisfies(after, goal)
        if was != now or not now:
            standing = GoalProgress.MET if now else GoalProgress.DRIFT
    return TouchedObservation(
        watch.observation_id, watch.stack_id, watch.node_id, goal, watch.status, status, standing
    )


def _state_changed(before: Snapshot | None, after: Snapshot) -> bool:
    return before is None or _counts(before) != _counts(after)


def judge(report: Report, known: Known | None, watches: Iterable[Watch], *, granted: bool, member: str) -> Judgement:
    """The verdict on one report, and the draft of its delta where one is to be made.

    granted: whether the partition is granted to the reporter under the report's generation.
    known: None where nobody observes the ref.
    """
    if not granted:
        return Judgement(Verdict.STALE_GENERATION)
    if known is None:
        return Judgement(Verdict.NOT_OBSERVED)
    age = order(known, report.generation, report.sequence)
    if age < 0:
        return Judgement(Verdict.SUPERSEDED)
    if age == 0:
        return Judgement(known.verdict or Verdict.UNCHANGED, repeated=True)
    touched = tuple([evaluate(watch, known, report) for watch in watches])
    differs, changed = differences(known.snapshot, report.snapshot)
    if not differs and not any(
        observation.before_status is not observation.after_status or observation.standing is GoalProgress.FAILED
        for observation in touched
    ):
        return Judgement(Verdict.UNCHANGED)
    draft = DeltaDraft(
        ref=report.ref, before=known.snapshot, after=report.snapshot, project_id=_project(known, report.snapshot),
        standing=touched[0].standing if len(touched) == 1 else _weightiest(touched),
        changed=changed, observations=touched, member=member, generation=report.generation, cause=report.cause,
    )
    return Judgement(Verdict.ACCEPTED, draft=draft)


def _weightiest(touched: Iterable[TouchedObservation]) -> GoalProgress:
    return max((observation.standing for observation in touched), key=_WEIGHT.index, default=GoalProgress.NONE)


def _project(known: Known, after: Snapshot) -> str | None:
    """The owner as the API named it; a resource that is gone keeps the one it had."""
    if after.project_id is None and gone(after) and known.snapshot is not None:
        return known.snapshot.project_id
    return after.project_id

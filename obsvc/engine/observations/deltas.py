"""What a report changed, on its way from judgement to the feed: values only."""
from __future__ import annotations

import msgspec

from obsvc.engine_client.observations import GoalProgress, ObservationStatus
from obsvc.model import Cause, Condition, Generation, Ref, Snapshot


class TouchedObservation(msgspec.Struct, frozen=True):
    """One observation of a ref, before and after a report.

    standing: how the report stands to this observation alone.  The statuses are equal where the report changed
    the resource but not what is waited for.
    """

    observation_id: str
    stack_id: str | None
    node_id: str | None
    goal: Condition | None
    before_status: ObservationStatus
    after_status: ObservationStatus
    standing: GoalProgress = GoalProgress.NONE


class DeltaDraft(msgspec.Struct, frozen=True):
    """A delta that has no version yet.  before: None where nothing was known.  standing: of all observations
    taken together.  changed: names of compared attributes that differ, sorted.  observations: every one of the ref."""

    ref: Ref
    before: Snapshot | None
    after: Snapshot
    project_id: str | None
    standing: GoalProgress
    changed: tuple[str, ...] = ()
    observations: tuple[TouchedObservation, ...] = ()
    member: str | None = None
    generation: Generation | None = None
    cause: Cause | None = None

"""The values that :mod:`obsvc.observer.state.holdings` takes and gives: pure, frozen where they leave it."""
from __future__ import annotations

import enum
from dataclasses import dataclass, field

from obsvc.engine_client.ownership import Grant, ObservedRef
from obsvc.model import Generation, PartitionId, Ref
from obsvc.observer.state.look_state import LookState


class RefStatus(enum.Enum):
    """What a ref is to this member now."""

    NOT_OWNED = enum.auto()
    LOADING = enum.auto()  #: owned; whether it is observed is not known yet
    NOT_OBSERVED = enum.auto()
    OBSERVED = enum.auto()
    HANDING_OVER = enum.auto()  #: still ours, but no new work is begun


@dataclass(frozen=True)
class Task:
    """What a fetch must know of its ref when it begins: ``observed``, ``look`` and ``looks_requested`` as
    they stood then."""

    ref: Ref
    partition: PartitionId
    generation: Generation
    observed: ObservedRef
    look: LookState
    looks_requested: int


@dataclass(frozen=True)
class AppliedChanges:
    """What changed in a partition.

    new: refs not held before.  widened: held before, with a goal or a deadline that was not waited for before.
    marked: held before, with a newer mark.  gone: held before and no longer observed.
    """

    new: list[ObservedRef] = field(default_factory=list)
    widened: list[ObservedRef] = field(default_factory=list)
    marked: list[ObservedRef] = field(default_factory=list)
    gone: list[Ref] = field(default_factory=list)


@dataclass(frozen=True)
class CompletedList:
    """A list that is complete now.

    first: whether this is the first time under this grant.  dirty, dirty_unobserved: what was notified while the
    list was loading.
    """

    grant: Grant
    first: bool
    applied: AppliedChanges = field(default_factory=AppliedChanges)
    dirty: list[Ref] = field(default_factory=list)
    dirty_unobserved: list[Ref] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class LookTimes:
    """Monotonic times.  began: when the newest look at a ref began.  answered: when the newest began of those whose
    reports the engine has answered."""

    began: float = float("-inf")
    answered: float = float("-inf")


@dataclass(frozen=True)
class AfterReport:
    """A ref after its report.

    newer_mark: a mark newer than the one reported waits.  observations_changed: its observations changed while the
    fetch was under way.
    """

    observed: ObservedRef
    newer_mark: bool
    observations_changed: bool

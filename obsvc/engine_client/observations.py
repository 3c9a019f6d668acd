"""Messages about observations, resources and the changes feed: what the public API is made of."""
from __future__ import annotations

import enum

import msgspec

from obsvc.engine_client.ownership import MemberRecord, PartitionRecord
from obsvc.model import Condition, Generation, PartitionId, Ref, Snapshot, Version


class ObservationStatus(enum.StrEnum):
    WATCHING = "watching"  #: no goal: every change is recorded
    WAITING = "waiting"  #: the goal is not reached yet
    MET = "met"  #: the goal was reached; changes are still recorded
    EXPIRED = "expired"  #: the deadline passed first (after one last look)


class StartItem(msgspec.Struct, frozen=True, omit_defaults=True):
    """Observe ``ref``.  timeout: seconds from now to the deadline, None for no deadline.
    project_id: who asks (tenancy of the observation, never of the resource)."""

    ref: Ref
    goal: Condition | None = None
    timeout: float | None = None
    labels: dict[str, str] = {}
    project_id: str | None = None


class StartRequest(msgspec.Struct, frozen=True):
    items: tuple[StartItem, ...]


class Observation(msgspec.Struct, frozen=True, omit_defaults=True):
    """A standing request to watch one ref.  selected: selectors may want it.

    Starting the same (ref, goal, project, stack) again returns the
    same observation with its deadline and labels renewed."""

    observation_id: str
    ref: Ref
    status: ObservationStatus
    started_at: float
    goal: Condition | None = None
    deadline: float | None = None
    labels: dict[str, str] = {}
    project_id: str | None = None
    stack_id: str | None = None
    node_id: str | None = None
    met_at: float | None = None
    selected: bool = False


class StartReply(msgspec.Struct, frozen=True):
    observations: tuple[Observation, ...]


class StopRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """By ids.  ``project_id`` set: only that project's; others count as missing.

    Those of stacks end with their stack: Conflict for one among the ids; with ``partly`` the reply names them, and the
    others are stopped."""

    observation_ids: tuple[str, ...]
    project_id: str | None = None
    partly: bool = False


class StopReply(msgspec.Struct, frozen=True):
    stopped: tuple[str, ...]
    missing: tuple[str, ...] = ()
    of_stacks: tuple[str, ...] = ()


class ObservationsRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page, by observation id; ``marker`` is the last id of the page before.

    label: its name and value.  condition: as the resource was last seen.  member: the name of its partition's owner.
    """

    resource_type: str | None = None
    resource_id: str | None = None
    region: str | None = None
    project_id: str | None = None
    stack_id: str | None = None
    observation_id: str | None = None
    label: tuple[str, str] | None = None
    condition: Condition | None = None
    member: str | None = None
    marker: str | None = None
    limit: int = 100


class ObservationsPage(msgspec.Struct, frozen=True):
    observations: tuple[Observation, ...]


class Resource(msgspec.Struct, frozen=True, omit_defaults=True):
    """The engine's copy of one observed ref.  version: of its last delta; 0 before the first."""

    ref: Ref
    partition: PartitionId
    version: Version
    snapshot: Snapshot | None = None
    generation: Generation | None = None
    reported_by: str | None = None
    reported_at: float | None = None
    mark: int | None = None
    observations: int = 0


class ResourceRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Read one resource; with ``wait`` > 0 wait until its version exceeds ``since`` or, with ``until``,
    until its condition is that one (or error or deleted); answers what there is when the time is over."""

    ref: Ref
    wait: float = 0.0
    since: int | None = None
    until: Condition | None = None

    def answered_by(self, resource: Resource) -> bool:
        """Whether ``resource`` is what is waited for."""
        if self.until is None:
            return resource.version > (self.since or 0)
        if resource.snapshot is None or not (self.since is None or resource.version > self.since):
            return False
        ends = (self.until, Condition.ERROR, Condition.DELETED)
        return not resource.snapshot.exists or resource.snapshot.condition in ends


class ResourcesRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of the engine's copies, in an order of its own; ``marker``: that of the page before.

    project_id: of the snapshot, so what nobody has looked at yet is of no project.  stack_id: observed for that stack.
    since: only what has changed after this version.  label, labelled_by: as of ChangesRequest;
    a page may have fewer then, the marker says whether it is the last.
    """

    resource_type: str | None = None
    resource_id: str | None = None
    region: str | None = None
    condition: Condition | None = None
    project_id: str | None = None
    stack_id: str | None = None
    label: tuple[str, str] | None = None
    labelled_by: str | None = None
    since: int | None = None
    marker: str | None = None
    limit: int = 100


class ReadRequest(msgspec.Struct, frozen=True):
    """These of them that are observed, in any order; at most 1000 refs."""

    refs: tuple[Ref, ...]


class FindRequest(msgspec.Struct, frozen=True):
    """Every observed ref with this type and id, in any region."""

    resource_type: str
    resource_id: str


class ResourcesReply(msgspec.Struct, frozen=True):
    resources: tuple[Resource, ...]


class ResourcesPage(msgspec.Struct, frozen=True):
    """version: of the changes feed, read before the page's rows: who follows from the first page's version misses
    nothing.  marker: for the next page; None: this was the last."""

    resources: tuple[Resource, ...]
    version: Version
    marker: str | None = None


class GoalProgress(enum.StrEnum):
    """How a delta stands to the goal of the observations."""

    NONE = "none"  #: no goal
    TOWARDS = "towards"  #: a goal is still waited for
    MET = "met"  #: this change met a goal
    DRIFT = "drift"  #: a goal that had been met is not met any more
    FAILED = "failed"  #: the resource went to error (or vanished) while a goal was waited for


class Delta(msgspec.Struct, frozen=True, omit_defaults=True):
    """A difference that one accepted report made.  changed: names of attributes that differ."""

    version: Version
    at: float
    ref: Ref
    condition: Condition
    before_condition: Condition
    standing: GoalProgress
    status: str | None = None
    before_status: str | None = None
    settled: bool = True
    changed: tuple[str, ...] = ()
    project_id: str | None = None
    stack_id: str | None = None
    member: str | None = None
    generation: Generation | None = None
    cause: str | None = None
    fetched_at: float | None = None


class ChangesRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Deltas after ``since``, oldest first; ``wait``: seconds to wait for the first one.

    since None: after the newest there is, whose version an answer without deltas names as ``next``.

    label: name and value; of what is observed with it when the request is answered.  labelled_by: only by observations
    of this project.  After many deltas without the label the answer may come with none of them before the time is
    over: ``next`` has moved on."""

    since: int | None = 0
    wait: float = 0.0
    limit: int = 500
    resource_type: str | None = None
    resource_id: str | None = None
    project_id: str | None = None
    stack_id: str | None = None
    label: tuple[str, str] | None = None
    labelled_by: str | None = None


class ChangesPage(msgspec.Struct, frozen=True):
    """next: pass it as ``since``; it moves on over deltas that the filter left out."""

    deltas: tuple[Delta, ...]
    next: Version


class MembersReply(msgspec.Struct, frozen=True):
    members: tuple[MemberRecord, ...]
    engine_time: float


class PartitionsRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    partitions: tuple[PartitionId, ...] | None = None


class PartitionsReply(msgspec.Struct, frozen=True):
    partitions: tuple[PartitionRecord, ...]



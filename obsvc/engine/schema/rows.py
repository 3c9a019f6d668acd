"""Rows as values, one class a set of columns that is read together.

A class has its columns in the order in which a query selects them, so a row of SQLAlchemy is taken over whole
(``PartitionRow._make(row)``), which costs less than one look at a column of SQLAlchemy's own row.  What a column means
stands in :mod:`obsvc.engine.schema.core`.  Those that a single module reads stand there.
"""
from __future__ import annotations

from typing import NamedTuple, Protocol

from obsvc.model import Generation, PartitionId, Ref


class RefColumns(Protocol):
    """A row of any table that names a ref by its three parts."""

    @property
    def region(self) -> str: ...
    @property
    def resource_type(self) -> str: ...
    @property
    def resource_id(self) -> str: ...


class Fence(Protocol):
    """What of a partition's row a write is checked against."""

    @property
    def partition_id(self) -> PartitionId: ...
    @property
    def generation(self) -> Generation: ...
    @property
    def owner_name(self) -> str | None: ...
    @property
    def owner_incarnation(self) -> str | None: ...


class Deployment(NamedTuple):
    """The one row of ``deployment``, in the table's order."""

    id: int
    database_id: str
    partitions: int
    created_at: float


class LockedPartition(NamedTuple):
    """What is read of a partition whenever it is locked."""

    partition_id: PartitionId
    generation: Generation
    owner_name: str | None
    owner_incarnation: str | None
    observation_version: int


class PartitionRow(NamedTuple):
    """A whole row of ``partition_state``, in the table's order."""

    partition_id: PartitionId
    generation: Generation
    owner_name: str | None
    owner_incarnation: str | None
    claim_id: str | None
    since: float | None
    why: str | None
    previous_name: str | None
    previous_incarnation: str | None
    previous_released: bool
    previous_caught_up: bool
    previous_last_beat_at: float | None
    asked_by: str | None
    asked_at: float | None
    asked_again_at: float | None
    observation_version: int
    pruned_version: int


class MemberRow(NamedTuple):
    """A whole row of ``member``, in the table's order."""

    name: str
    incarnation: str
    beat: str
    state: str
    caught_up: bool
    first_beat_at: float
    last_beat_at: float


class ResourceRow(NamedTuple):
    """A whole row of ``resource``, in the table's order."""

    ref_key: str
    region: str
    resource_type: str
    resource_id: str
    partition_id: PartitionId
    started_at: float
    version: int
    condition: str
    project_id: str | None
    snapshot: str | None
    attributes: str | None
    generation: int
    sequence: int
    verdict: str | None
    verdict_version: int | None
    reported_by: str | None
    reported_at: float | None
    mark: int | None
    mark_reason: str | None
    looked: int

    @property
    def ref(self) -> Ref:
        return Ref(self.region, self.resource_type, self.resource_id)


class ObservationRow(NamedTuple):
    """A whole row of ``observation``, and the parts of its ref."""

    observation_id: str
    ref_key: str
    goal: str | None
    status: str
    started_at: float
    deadline: float | None
    labels: str
    project_id: str | None
    stack_id: str | None
    node_id: str | None
    met_at: float | None
    start_mark: int
    last_look_mark: int | None
    selected: bool
    region: str
    resource_type: str
    resource_id: str

    @property
    def ref(self) -> Ref:
        return Ref(self.region, self.resource_type, self.resource_id)

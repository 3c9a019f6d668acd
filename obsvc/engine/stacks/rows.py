"""Rows of stacks, nodes and jobs as values, and the JSON in their columns.

Each has its table's columns in the table's order, so a row is taken over whole (:meth:`StackRow._make`), which costs
less than one look at a column of SQLAlchemy's own row.  What each column means stands in
:mod:`obsvc.engine.schema.stacks`.
"""
from __future__ import annotations

from typing import Any, NamedTuple, TypedDict

import msgspec
import sqlalchemy as sa

from obsvc.engine.database.store import Transaction
from obsvc.engine.schema.stacks import JobStatus, Phase, job, node, stack
from obsvc.engine_client.jobs import Action
from obsvc.engine_client.stacks import NodeStatus, StackAction, StackStatus
from obsvc.model import Condition, Ref

_object = msgspec.json.Decoder(dict[str, Any]).decode


class StackRow(NamedTuple):
    stack_id: str
    name: str
    project_key: str
    live_name: str | None
    project_id: str | None
    region: str | None
    status: StackStatus
    status_reason: str
    action: StackAction
    traversal: str
    created_at: float
    updated_at: float
    timeout: float | None
    deadline: float | None
    on_drift: str
    template: str
    parameters: str
    total: int
    finished: int
    failed: int
    drifted: int
    goal: int
    phase: Phase
    leftover: int
    disable_rollback: bool
    halted: bool
    progressed_at: float
    last_event_id: int


class StackChanges(TypedDict, total=False):
    """Columns of a stack that change while it is locked."""

    live_name: str | None
    status: StackStatus
    status_reason: str
    action: StackAction
    traversal: str
    timeout: float | None
    deadline: float | None
    template: str
    parameters: str
    total: int
    finished: int
    failed: int
    drifted: int
    goal: int
    phase: Phase
    leftover: int
    disable_rollback: bool
    halted: bool
    progressed_at: float
    last_event_id: int


class NodeRow(NamedTuple):
    node_id: str
    stack_id: str
    position: int
    name: str
    slot: str
    type: str
    goal: int | None
    obsolete: bool
    properties: str
    applied: str | None
    doubtful: bool
    retain: bool
    carried: bool
    action: Action
    status: NodeStatus
    status_reason: str
    unmet: int
    marker: str
    builds: int
    sweeps: int
    job_id: str | None
    region: str | None
    resource_type: str | None
    resource_id: str | None
    attributes: str
    drift: str | None
    timeout: float | None
    scheduled_at: float | None
    observing_at: float | None
    completed_at: float | None

    @property
    def ref(self) -> Ref | None:
        """The copy's resource in the cloud, once it is known."""
        if self.region is None or self.resource_type is None or self.resource_id is None:
            return None
        return Ref(self.region, self.resource_type, self.resource_id)

    @property
    def wanted_condition(self) -> Condition:
        """What the resource is to be for the node's action to be complete."""
        return Condition.DELETED if self.action is Action.DELETE else Condition.ACTIVE

    @property
    def deletion_under_way(self) -> bool:
        """Whether the cloud deletes the copy: that has no way back, whatever the stack is to be."""
        return self.action is Action.DELETE and self.status is NodeStatus.OBSERVING


class NodeChanges(TypedDict, total=False):
    """Columns of one node that change while its stack is locked."""

    name: str
    goal: int
    obsolete: bool
    applied: str
    doubtful: bool
    carried: bool
    action: Action
    status: NodeStatus
    status_reason: str
    region: str
    resource_type: str
    resource_id: str
    attributes: str
    drift: str | None
    timeout: float
    observing_at: float
    completed_at: float


class JobRow(NamedTuple):
    job_id: str
    stack_id: str
    node_id: str
    action: Action
    type: str
    status: JobStatus
    available_at: float | None
    attempt: int
    failures: int
    lease_token: str | None
    lease_until: float | None
    worker: str | None
    properties: str
    resource_id: str | None
    error: str | None
    created_at: float
    finished_at: float | None

    @property
    def is_open(self) -> bool:
        """Whether a worker has it, or may still get it."""
        return self.status in (JobStatus.READY, JobStatus.LEASED)

    def leased_at(self, now: float) -> bool:
        """Whether a worker's lease holds at ``now`` (seconds since the epoch)."""
        return self.status is JobStatus.LEASED and self.lease_until is not None and self.lease_until > now


def stack_rows(tx: Transaction, query: sa.Select[Any]) -> list[StackRow]:
    """What a query for whole stacks (``sa.select(stack)``) finds."""
    return [StackRow._make(row) for row in tx.execute(query).all()]


def node_rows(tx: Transaction, query: sa.Select[Any]) -> list[NodeRow]:
    """What a query for whole nodes finds."""
    return [NodeRow._make(row) for row in tx.execute(query).all()]


def job_rows(tx: Transaction, query: sa.Select[Any]) -> list[JobRow]:
    """What a query for whole jobs finds."""
    return [JobRow._make(row) for row in tx.execute(query).all()]


def stack_row(tx: Transaction, stack_id: str) -> StackRow | None:
    """The stack's row, not locked; None without one."""
    rows = stack_rows(tx, sa.select(stack).where(stack.c.stack_id == stack_id))
    return rows[0] if rows else None


def node_row(tx: Transaction, node_id: str) -> NodeRow | None:
    """The node's row, None without one."""
    rows = node_rows(tx, sa.select(node).where(node.c.node_id == node_id))
    return rows[0] if rows else None


def existing_node(tx: Transaction, node_id: str) -> NodeRow:
    """The row of a node that must be there: its job is, or its stack is locked and has it."""
    row = node_row(tx, node_id)
    if row is None:
        raise LookupError(f"expected the node {node_id} to be in the database, found none")
    return row


def job_row(tx: Transaction, job_id: str, *, lock: bool = False) -> JobRow | None:
    """The job's row, None without one."""
    query = sa.select(job).where(job.c.job_id == job_id)
    rows = job_rows(tx, query.with_for_update() if lock else query)
    return rows[0] if rows else None


def from_json(text: str | None) -> dict[str, Any]:
    """The JSON object of a column; an empty one for none."""
    return _object(text) if text else {}


def parameters_of(row: StackRow, values: dict[str, Any] | None = None) -> dict[str, Any]:
    """The stack's parameters (or ``values`` in their place) with the pseudo parameters."""
    return (from_json(row.parameters) if values is None else values) | {
        "OS::stack_name": row.name, "OS::stack_id": row.stack_id, "OS::project_id": row.project_id or "",
    }

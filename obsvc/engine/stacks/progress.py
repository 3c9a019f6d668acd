"""Moves the nodes of stacks by what was observed: a report's deltas, and deadlines that have passed.

Called by the engine's own transactions with the partitions and refs locked; locks the stacks concerned.  A finished
node costs O(its dependents).
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from obsvc.engine.database.rows import to_json
from obsvc.engine.database.store import Transaction
from obsvc.engine.observations import watches
from obsvc.engine.observations.deltas import DeltaDraft, TouchedObservation
from obsvc.engine.observations.records import load_head
from obsvc.engine.schema import core
from obsvc.engine.schema.stacks import node
from obsvc.engine.stacks.locking import locked_all
from obsvc.engine.stacks.rows import NodeChanges, NodeRow, from_json, node_row, node_rows
from obsvc.engine.stacks.traversal import Traversal
from obsvc.engine_client.jobs import Action
from obsvc.engine_client.observations import GoalProgress
from obsvc.engine_client.stacks import NodeStatus
from obsvc.model import Condition, Ref, Snapshot


def apply(tx: Transaction, drafts: Iterable[DeltaDraft]) -> None:
    """Move the nodes of every stack that one of these deltas concerns."""
    by_stack: dict[str, list[tuple[DeltaDraft, TouchedObservation]]] = {}
    for draft in drafts:
        for observation in draft.observations:
            if observation.stack_id is not None and observation.node_id is not None:
                by_stack.setdefault(observation.stack_id, []).append((draft, observation))
    with locked_all(tx, by_stack) as traversals:
        for traversal in traversals:
            for draft, observation in by_stack[traversal.stack_id]:
                _apply_delta(traversal, draft, observation)


def time_out(tx: Transaction, touched: Sequence[TouchedObservation]) -> None:
    """The deadlines of these observations have passed, and the last look after them has met no goal."""
    by_stack: dict[str, list[TouchedObservation]] = {}
    for observation in touched:
        if observation.stack_id is not None and observation.node_id is not None:
            by_stack.setdefault(observation.stack_id, []).append(observation)
    with locked_all(tx, by_stack) as traversals:
        for traversal in traversals:
            for observation in by_stack[traversal.stack_id]:
                _time_out(traversal, observation)


def _node_of(tx: Transaction, observation: TouchedObservation) -> NodeRow | None:
    """The observation's node; None where it is gone, or waits for something else by now."""
    row = None if observation.node_id is None else node_row(tx, observation.node_id)
    return row if row is not None and observation.goal is row.wanted_condition else None


def _time_out(traversal: Traversal, observation: TouchedObservation) -> None:
    tx, row = traversal.tx, _node_of(traversal.tx, observation)
    if row is not None and row.status is NodeStatus.OBSERVING:
        seconds = tx.now - (row.observing_at or tx.now)
        traversal.node_failed(
            row, f"timed out after {seconds:.0f} s waiting for {observation.goal}; last seen {_last_seen(tx, row)}"
        )


def _apply_delta(traversal: Traversal, draft: DeltaDraft, observation: TouchedObservation) -> None:
    row = _node_of(traversal.tx, observation)
    if row is None or row.ref != draft.ref:
        return
    if row.action is Action.DELETE:
        if row.status is NodeStatus.OBSERVING:
            _apply_delta_to_deleting(traversal, row, draft, observation)
    elif row.status is NodeStatus.OBSERVING:
        if observation.standing is GoalProgress.MET:
            traversal.node_completed(row, facts(draft.after))
        elif observation.standing is GoalProgress.FAILED:
            traversal.build_failed(row, _why(draft.after))
    elif row.status is NodeStatus.COMPLETE:
        _apply_delta_to_complete(traversal, row, draft, observation)
    elif draft.after.exists:  # not its turn yet: nodes that refer to it must not read outdated attributes
        traversal.update_node(row.node_id, attributes=to_json(facts(draft.after)))


def _apply_delta_to_deleting(
    traversal: Traversal, row: NodeRow, draft: DeltaDraft, observation: TouchedObservation
) -> None:
    if observation.standing is GoalProgress.MET:
        # Its partition is locked already: the report was about this very ref.
        stop_node_observations(traversal.tx, row.stack_id, row.node_id)
        traversal.node_deleted(row)
    elif observation.standing is GoalProgress.FAILED and draft.after.status != from_json(row.attributes).get("status"):
        # A resource that was in error before its deletion began stays so until it is gone: that is no failure.
        traversal.node_failed(row, _why(draft.after))


def _apply_delta_to_complete(
    traversal: Traversal, row: NodeRow, draft: DeltaDraft, observation: TouchedObservation
) -> None:
    values: NodeChanges = {}
    if draft.after.exists:
        values["attributes"] = to_json(facts(draft.after))
    if row.obsolete:
        pass  # no longer part of the goal
    elif observation.standing is GoalProgress.DRIFT:
        drift = _why(draft.after)
        if drift != row.drift:
            values["drift"] = drift
            traversal.set(drifted=traversal.row.drifted + (row.drift is None))
            traversal.event("stack.drift", row, reason=drift)
            traversal.emit("drift", priority="WARN", node=row.name, drift=drift, **_named(draft.ref))
    elif row.drift is not None and observation.standing is GoalProgress.MET:
        values["drift"] = None
        traversal.set(drifted=traversal.row.drifted - 1)
        traversal.event("stack.drift.end", row)
        traversal.emit("drift", node=row.name, drift=None, **_named(draft.ref))
    if values:
        traversal.update_node(row.node_id, **values)


def facts(snapshot: Snapshot) -> dict[str, Any]:
    """What ``get_attr`` may read: the catalogue's attributes, with the name, status and project beside them."""
    own = {"name": snapshot.name, "status": snapshot.status, "project_id": snapshot.project_id}
    return {**own, **snapshot.attributes}


def stop_node_observations(tx: Transaction, stack_id: str, node_id: str, *, but: Iterable[str] = ()) -> None:
    """Stop the observations of a node (other than ``but``, ids); takes their partitions' locks."""
    kept = set(but)
    ids = [observation.observation_id for observation in watches.of_node(tx, stack_id, node_id)
           if observation.observation_id not in kept]
    if ids:
        watches.stop(tx, ids)


def _named(ref: Ref) -> dict[str, str]:
    return {"region": ref.region, "resource_type": ref.resource_type, "resource_id": ref.resource_id}


def _why(snapshot: Snapshot) -> str:
    if not snapshot.exists or snapshot.condition is Condition.DELETED:
        return "the resource is gone"
    stands = f"the resource is {snapshot.status or snapshot.condition}"
    return f"{stands}: {snapshot.status_reason}" if snapshot.status_reason else stands


def _last_seen(tx: Transaction, row: NodeRow) -> str:
    if row.ref is None:
        return "nowhere"
    resource = tx.execute(
        sa.select(core.resource.c.snapshot).where(core.resource.c.ref_key == core.ref_key(row.ref))).one_or_none()
    snapshot = None if resource is None else load_head(resource.snapshot)
    if snapshot is None:
        return "never"
    return str(snapshot.status or snapshot.condition) if snapshot.exists else "gone"


def nodes_under_way(tx: Transaction, stack_id: str, limit: int = 20) -> list[dict[str, Any]]:
    """The nodes under way in a stack: what each waits for, since when, and its ref; at most ``limit``."""
    rows = node_rows(
        tx, sa.select(node)
        .where(node.c.stack_id == stack_id, node.c.status.in_([NodeStatus.SCHEDULED, NodeStatus.OBSERVING]))
        .order_by(node.c.scheduled_at, node.c.position).limit(limit)
    )
    return [
        {
            "node": row.name, "type": row.type, "region": row.region, "resource_type": row.resource_type,
            "resource_id": row.resource_id,
            "waits_for": f"a worker to {row.action} it" if row.status is NodeStatus.SCHEDULED
            else str(row.wanted_condition),
            "since": row.scheduled_at if row.status is NodeStatus.SCHEDULED else row.observing_at,
            "last_seen": _last_seen(tx, row),
        }
        for row in rows
    ]

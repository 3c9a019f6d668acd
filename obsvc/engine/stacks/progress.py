"""From what was seen to what follows: a report's deltas, and passed deadlines, move the nodes of stacks.

Called by the engine's own transactions with the partitions and refs locked; locks the stacks concerned.  A finished
node costs O(its dependents).
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from obsvc.engine.database.store import Transaction
from obsvc.engine.observations import watches
from obsvc.engine.observations.deltas import DeltaDraft, TouchedObservation
from obsvc.engine.schema import core
from obsvc.engine.schema.stacks import node
from obsvc.engine.stacks.locking import locked_all
from obsvc.engine.stacks.traversal import Traversal, decode, encode
from obsvc.engine_client.jobs import Action
from obsvc.engine_client.observations import GoalProgress
from obsvc.engine_client.stacks import NodeStatus
from obsvc.model import Condition, Ref, Snapshot


def apply(tx: Transaction, drafts: Iterable[DeltaDraft]) -> None:
    """Move on every stack that one of these deltas concerns."""
    news: dict[str, list[tuple[DeltaDraft, TouchedObservation]]] = {}
    for draft in drafts:
        for touched in draft.observations:
            if touched.stack_id is not None and touched.node_id is not None:
                news.setdefault(touched.stack_id, []).append((draft, touched))
    with locked_all(tx, news) as traversals:
        for traversal in traversals:
            for draft, touched in news[traversal.stack_id]:
                _apply_delta(traversal, draft, touched)


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


def _time_out(traversal: Traversal, observation: TouchedObservation) -> None:
    tx, row = traversal.tx, traversal.node(observation.node_id)
    if row is not None and row.status == NodeStatus.OBSERVING and observation.goal == _goal(row):
        seconds = tx.now - (row.observing_at or tx.now)
        traversal.node_failed(
            row, f"timed out after {seconds:.0f} s waiting for {observation.goal}; last seen {_last_seen(tx, row)}"
        )


def _apply_delta(traversal: Traversal, draft: DeltaDraft, touched: TouchedObservation) -> None:
    row = traversal.node(touched.node_id)
    if row is None or touched.goal != _goal(row) or _ref(row) != draft.ref:
        return
    if row.action == Action.DELETE:
        if row.status == NodeStatus.OBSERVING:
            _apply_delta_to_deleting(traversal, row, draft, touched)
    elif row.status == NodeStatus.OBSERVING:
        if touched.standing is GoalProgress.MET:
            traversal.node_completed(row, facts(draft.after))
        elif touched.standing is GoalProgress.FAILED:
            traversal.build_failed(row, _why(draft.after))
    elif row.status == NodeStatus.COMPLETE:
        _apply_delta_to_complete(traversal, row, draft, touched)
    elif draft.after.exists:  # its turn is still to come: whoever refers to it must not read what was
        traversal.update_node(row.node_id, attributes=encode(facts(draft.after)))


def _apply_delta_to_deleting(traversal: Traversal, row: Any, draft: DeltaDraft, touched: TouchedObservation) -> None:
    if touched.standing is GoalProgress.MET:
        # Its partition is locked already: the report was about this very ref.
        stop_node_observations(traversal.tx, row.stack_id, row.node_id)
        traversal.node_deleted(row)
    elif touched.standing is GoalProgress.FAILED and draft.after.status != decode(row.attributes).get("status"):
        # A resource that was in error before its deletion began stays so until it is gone: that is no failure.
        traversal.node_failed(row, _why(draft.after))


def _apply_delta_to_complete(traversal: Traversal, row: Any, draft: DeltaDraft, touched: TouchedObservation) -> None:
    values: dict[str, Any] = {}
    if draft.after.exists:
        values["attributes"] = encode(facts(draft.after))
    if row.obsolete:
        pass  # nobody's goal any more
    elif touched.standing is GoalProgress.DRIFT:
        drift = _why(draft.after)
        if drift != row.drift:
            values["drift"] = drift
            traversal.set(drifted=traversal.value("drifted") + (row.drift is None))
            traversal.event("stack.drift", row, reason=drift)
            traversal.emit("drift", priority="WARN", node=row.name, drift=drift, **_named(draft.ref))
    elif row.drift is not None and touched.standing is GoalProgress.MET:
        values["drift"] = None
        traversal.set(drifted=traversal.value("drifted") - 1)
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
    known = watches.of_node(tx, stack_id, node_id)
    ids = [one.observation_id for one in known if one.observation_id not in kept]
    if ids:
        watches.stop(tx, ids)


def _goal(row: Any) -> Condition:
    return Condition.DELETED if row.action == Action.DELETE else Condition.ACTIVE


def _ref(row: Any) -> Ref | None:
    return None if row.resource_id is None else Ref(row.region, row.resource_type, row.resource_id)


def _named(ref: Ref) -> Mapping[str, str]:
    return {"region": ref.region, "resource_type": ref.resource_type, "resource_id": ref.resource_id}


def _why(snapshot: Snapshot) -> str:
    if not snapshot.exists or snapshot.condition is Condition.DELETED:
        return "the resource is gone"
    stands = f"the resource is {snapshot.status or snapshot.condition}"
    return f"{stands}: {snapshot.status_reason}" if snapshot.status_reason else stands


def _last_seen(tx: Transaction, row: Any) -> str:
    ref = _ref(row)
    if ref is None:
        return "nowhere"
    text = tx.execute(
        sa.select(core.resource.c.snapshot).where(core.resource.c.ref_key == core.ref_key(ref))
    ).scalar_one_or_none()
    if text is None:
        return "never"
    snapshot = msgspec.json.decode(text, type=Snapshot)
    return str(snapshot.status or snapshot.condition) if snapshot.exists else "gone"


def nodes_under_way(tx: Transaction, stack_id: str, limit: int = 20) -> list[dict[str, Any]]:
    """The nodes under way in a stack: what each waits for, since when, and its ref; at most ``limit``."""
    rows = tx.execute(
        sa.select(node)
        .where(node.c.stack_id == stack_id, node.c.status.in_([NodeStatus.SCHEDULED, NodeStatus.OBSERVING]))
        .order_by(node.c.scheduled_at, node.c.position).limit(limit)
    )
    return [
        {
            "node": row.name, "type": row.type, "region": row.region, "resource_type": row.resource_type,
            "resource_id": row.resource_id,
            "waits_for": str(_goal(row)) if row.status == NodeStatus.OBSERVING else f"a worker to {row.action} it",
            "since": row.observing_at if row.status == NodeStatus.OBSERVING else row.scheduled_at,
            "last_seen": _last_seen(tx, row),
        }
        for row in rows
    ]

"""How a stack, whatever it does, is deleted.  The stack's row is locked.

Creates and updates that no worker has begun are withdrawn; one that a worker has leased is left to end (or to lapse),
and its node takes part afterwards.  A node that was never begun costs no request; one whose create was begun without a
known result is deleted by its marker.
"""
from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from obsvc.engine.database.store import Transaction
from obsvc.engine.schema.stacks import edge, node
from obsvc.engine.stacks.rows import NodeRow, node_rows
from obsvc.engine.stacks.stack_jobs import withdraw_jobs
from obsvc.engine.stacks.traversal import Traversal
from obsvc.engine_client.jobs import Action
from obsvc.engine_client.stacks import NodeStatus, StackAction


def start_delete(traversal: Traversal) -> None:
    """Begin a deletion, or begin a failed one again."""
    tx = traversal.tx
    busy = withdraw_jobs(traversal)
    rows = node_rows(tx, sa.select(node).where(node.c.stack_id == traversal.stack_id).order_by(node.c.position))
    remaining = [row for row in rows if row.status is not NodeStatus.DELETED]
    traversal.begin(StackAction.DELETE, total=len(rows), finished=len(rows) - len(remaining))
    traversal.set(drifted=0)
    unmet = _users(tx, traversal.stack_id, {row.node_id for row in remaining})
    changes = []
    for row in remaining:
        goes_on = row.node_id in busy or row.deletion_under_way
        changes.append({
            "of_node": row.node_id, "new_unmet": unmet[row.node_id],
            "new_status": row.status if goes_on else NodeStatus.WAITING,
            "new_action": row.action if goes_on else Action.DELETE,
            "new_carried": goes_on and row.action is not Action.DELETE,
        })
    if changes:
        tx.execute(
            sa.update(node).where(node.c.node_id == sa.bindparam("of_node")).values(drift=None, **{
                name: sa.bindparam(f"new_{name}") for name in ("unmet", "status", "action", "carried")}),
            changes,
        )
    traversal.begin_deletes(_ready(tx, traversal.stack_id))


def _users(tx: Transaction, stack_id: str, remaining: Iterable[str]) -> dict[str, int]:
    """Of each of these nodes, how many of the others were made with it, and must be gone first."""
    users = dict.fromkeys(remaining, 0)
    for row in tx.execute(
        sa.select(edge.c.node_id, edge.c.requires).join(node, node.c.node_id == edge.c.node_id)
        .where(node.c.stack_id == stack_id, edge.c.actual.is_(True))
    ):
        if row.node_id in users and row.requires in users:
            users[row.requires] += 1
    return users


def _ready(tx: Transaction, stack_id: str) -> list[NodeRow]:
    return node_rows(tx, sa.select(node).where(
        node.c.stack_id == stack_id, node.c.status == NodeStatus.WAITING, node.c.unmet == 0,
        node.c.action == Action.DELETE,
    ).order_by(node.c.position.desc()))

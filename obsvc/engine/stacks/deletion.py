"""The turn of a stack from whatever it does to its deletion.  The stack's row is locked.

Creates and updates that no worker has begun are taken back; one that a worker has leased is left to end (or to
lapse), and its node takes part afterwards.  A node that was never begun costs no request; one whose create was begun
without a known result is deleted by its marker.
"""
from __future__ import annotations

import sqlalchemy as sa

from obsvc.engine.schema.stacks import edge, node
from obsvc.engine.stacks.open_jobs import withdraw_jobs
from obsvc.engine.stacks.traversal import Traversal
from obsvc.engine_client.jobs import Action
from obsvc.engine_client.stacks import NodeStatus, StackAction


def start_delete(traversal: Traversal) -> None:
    """Begin a deletion, or begin a failed one again."""
    tx = traversal.tx
    held = withdraw_jobs(traversal)
    rows = tx.execute(
        sa.select(node).where(node.c.stack_id == traversal.stack_id).order_by(node.c.position)
    ).all()
    alive = {row.node_id for row in rows if row.status != NodeStatus.DELETED}
    traversal.begin(StackAction.DELETE, total=len(rows), finished=len(rows) - len(alive))
    traversal.set(drifted=0)
    unmet = dict.fromkeys(alive, 0)
    for one, required in tx.execute(
        sa.select(edge.c.node_id, edge.c.requires).join(node, node.c.node_id == edge.c.node_id)
        .where(node.c.stack_id == traversal.stack_id, edge.c.actual.is_(True))
    ):
        if one in alive and required in alive:
            unmet[required] += 1
    changes = []
    for row in rows:
        if row.node_id not in alive:
            continue
        goes_on = row.node_id in held or (row.action == Action.DELETE and row.status == NodeStatus.OBSERVING)
        changes.append({
            "which": row.node_id, "waits": unmet[row.node_id],
            "becomes": row.status if goes_on else NodeStatus.WAITING.value,
            "does": row.action if goes_on else Action.DELETE.value,
            "carries": goes_on and row.action != Action.DELETE,
        })
    if changes:
        tx.execute(
            sa.update(node).where(node.c.node_id == sa.bindparam("which")).values(
                unmet=sa.bindparam("waits"), status=sa.bindparam("becomes"), action=sa.bindparam("does"),
                carried=sa.bindparam("carries"), drift=None),
            changes,
        )
    ready = sa.select(node).where(
        node.c.stack_id == traversal.stack_id, node.c.status == NodeStatus.WAITING, node.c.unmet == 0,
        node.c.action == Action.DELETE,
    )
    traversal.begin_deletes(tx.execute(ready.order_by(node.c.position.desc())).all())

"""The turn of a stack from whatever it does to its deletion.  The stack's row is locked.

Creates and updates that no worker has begun are taken back; one that a worker has leased is left to end (or to
lapse), and its node takes part afterwards.  A node that was never begun costs no request; one whose create was begun
without a known result is deleted by its marker.
"""
from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from obsvc.engine import due
from obsvc.engine.schema.stacks import edge, job, node
from obsvc.engine.traversal import JOB_DEADLINE, JOB_LEASE, JobStatus, Traversal
from obsvc.engine_client.jobs import Action
from obsvc.engine_client.stacks import NodeStatus


def start_delete(traversal: Traversal) -> None:
    """Begin a deletion (or begin a failed one again); the caller saves the traversal."""
    tx = traversal.tx
    kept = _take_back(traversal)
    rows = tx.execute(
        sa.select(node).where(node.c.stack_id == traversal.stack_id).order_by(node.c.position)
    ).all()
    alive = {row.node_id for row in rows if row.status != NodeStatus.DELETED}
    traversal.begin(Action.DELETE, total=len(rows), finished=len(rows) - len(alive))
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
        under_way = row.node_id in kept or (
            row.action == Action.DELETE and row.status in (NodeStatus.SCHEDULED, NodeStatus.OBSERVING)
        )
        changes.append({
            "which": row.node_id, "waits": unmet[row.node_id],
            "becomes": row.status if under_way else NodeStatus.WAITING.value,
            "does": row.action if under_way else Action.DELETE.value,
        })
    if changes:
        tx.execute(
            sa.update(node).where(node.c.node_id == sa.bindparam("which")).values(
                unmet=sa.bindparam("waits"), status=sa.bindparam("becomes"), action=sa.bindparam("does"), drift=None),
            changes,
        )
    ready = sa.select(node).where(
        node.c.stack_id == traversal.stack_id, node.c.status == NodeStatus.WAITING, node.c.unmet == 0,
        node.c.action == Action.DELETE,
    )
    traversal.begin_deletes(tx.execute(ready.order_by(node.c.position.desc())).all())


def _take_back(traversal: Traversal) -> set[str]:
    """Close the open jobs but deletions to workers; the nodes of those that are leased, and go on."""
    tx = traversal.tx
    kept = set()
    for row in open_jobs(traversal):
        if row.action == Action.DELETE:
            continue
        if row.status == JobStatus.LEASED and row.lease_until > tx.now:
            kept.add(row.node_id)
            tx.execute(sa.update(job).where(job.c.job_id == row.job_id).values(available_at=None))
            due.schedule(tx, JOB_LEASE, row.job_id, row.lease_until)
        else:
            cancel(traversal, row)
    return kept


def open_jobs(traversal: Traversal) -> list[Any]:
    """The jobs of the stack that may still be run, locked."""
    query = sa.select(job).where(
        job.c.stack_id == traversal.stack_id, job.c.status.in_([JobStatus.READY, JobStatus.LEASED])
    )
    return list(traversal.tx.execute(query.order_by(job.c.job_id).with_for_update()))


def cancel(traversal: Traversal, row: Any) -> None:
    """Take a job back from the workers; an answer under its lease is refused from now on."""
    tx = traversal.tx
    tx.execute(
        sa.update(job).where(job.c.job_id == row.job_id)
        .values(status=JobStatus.CANCELLED, available_at=None, finished_at=tx.now)
    )
    due.cancel(tx, JOB_DEADLINE, row.job_id)
    due.cancel(tx, JOB_LEASE, row.job_id)

"""The sweep by marker: finds what a create has made that nobody recorded, and deletes it.

A worker that is stopped between the confirmation of its attempt and its create may come back at any time, and an
answer that never came proves nothing: so a create that was attempted more than once, or ended without a result, is
suspect.  Its marker is looked for by a job of its own: after a lease's time, then after growing pauses, until the
retention is over.  The recorded copy is kept, every other goes.  The row of a copy that is gone stays that long.

A sweep belongs to no traversal: it moves no node, and no traversal waits for it.
"""
from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence

import sqlalchemy as sa

from obsvc.engine.database import due
from obsvc.engine.database.rows import chunks
from obsvc.engine.database.store import Transaction
from obsvc.engine.schema.stacks import JobStatus, edge, job, node, stack
from obsvc.engine.schema.stacks import due as due_table
from obsvc.engine.stacks.locked_stack import JOB_DEADLINE, JOB_LEASE
from obsvc.engine.stacks.rows import JobRow, existing_node, job_row, node_row
from obsvc.engine_client.jobs import Action
from obsvc.engine_client.stacks import NodeStatus

MARKER_SWEEP = "marker_sweep"


def sweep_later(tx: Transaction, node_id: str) -> None:
    """A create of this node may have made a copy that nobody knows of, or may do so yet."""
    due.schedule(tx, MARKER_SWEEP, node_id, tx.now + tx.settings.job_lease)


def sweep_now(tx: Transaction, job_id: str) -> None:
    """A create's result was refused: there is, most likely, a copy too many."""
    row = job_row(tx, job_id)
    if row is not None and row.action is Action.CREATE:
        due.schedule(tx, MARKER_SWEEP, row.node_id, tx.now)


def forget_nodes(tx: Transaction, node_ids: Collection[str]) -> None:
    """Forget copies of which nothing is left; the rows of those that are suspect stay, as deleted ones."""
    if not node_ids:
        return
    forgotten = sorted(node_ids)
    suspect: set[str] = set()
    for chunk in chunks(forgotten):
        suspect |= set(tx.execute(
            sa.select(due_table.c.key).where(due_table.c.kind == MARKER_SWEEP, due_table.c.key.in_(chunk))).scalars())
        tx.execute(sa.delete(edge).where(edge.c.node_id.in_(chunk)))
        tx.execute(sa.delete(edge).where(edge.c.requires.in_(chunk)))
    if suspect:
        tx.execute(
            sa.update(node).where(node.c.node_id == sa.bindparam("of_node")).values(
                status=NodeStatus.DELETED, obsolete=True, name=sa.bindparam("new_name")),
            [{"of_node": node_id, "new_name": f"(gone) {node_id}"} for node_id in sorted(suspect)])
    _forget_rows(tx, [node_id for node_id in forgotten if node_id not in suspect])


def _forget_rows(tx: Transaction, node_ids: Sequence[str]) -> None:
    for chunk in chunks(node_ids):
        tx.execute(sa.delete(job).where(job.c.node_id.in_(chunk)))
        tx.execute(sa.delete(node).where(node.c.node_id.in_(chunk)))


@due.handler(MARKER_SWEEP)
def _make_sweep(tx: Transaction, node_id: str) -> None:
    """Make the job, unless a create for this marker is still open: what it makes is not recorded yet."""
    stack_id = tx.execute(sa.select(node.c.stack_id).where(node.c.node_id == node_id)).scalar()
    if stack_id is None:
        return
    tx.execute(sa.select(stack.c.stack_id).where(stack.c.stack_id == stack_id).with_for_update())
    row = node_row(tx, node_id)
    if row is None:
        return
    open_job = tx.execute(sa.select(job.c.job_id).where(
        job.c.node_id == node_id, job.c.action.in_([Action.CREATE, Action.SWEEP]),
        job.c.status.in_([JobStatus.READY, JobStatus.LEASED]))).first()
    due.schedule(tx, MARKER_SWEEP, node_id, tx.now + tx.settings.job_lease)
    if open_job is not None:
        return
    # What it was created with: its name is what a listing can be filtered by.
    made_with = tx.execute(sa.select(job.c.properties).where(
        job.c.node_id == node_id, job.c.action == Action.CREATE).order_by(job.c.created_at.desc()).limit(1)).scalar()
    job_id = str(uuid.uuid4())
    tx.execute(sa.insert(job).values(
        job_id=job_id, stack_id=stack_id, node_id=node_id, action=Action.SWEEP, type=row.type, status=JobStatus.READY,
        available_at=tx.now, attempt=0, failures=0, properties=made_with or "{}", resource_id=row.resource_id,
        created_at=tx.now,
    ))
    due.schedule(tx, JOB_DEADLINE, job_id, tx.now + tx.settings.node_timeout)
    tx.touch("job")


def sweep_ended(tx: Transaction, row: JobRow) -> None:
    """A sweep has ended, well or not: the next after a longer pause, until the retention is over.

    The stack's row is locked, and the job's."""
    for kind in (JOB_DEADLINE, JOB_LEASE):
        due.cancel(tx, kind, row.job_id)
    tx.execute(sa.delete(job).where(job.c.job_id == row.job_id))
    swept = existing_node(tx, row.node_id)
    pause = tx.settings.marker_sweep_pause * 2 ** swept.sweeps
    if pause <= tx.settings.retention:
        tx.execute(sa.update(node).where(node.c.node_id == row.node_id).values(sweeps=swept.sweeps + 1))
        due.schedule(tx, MARKER_SWEEP, row.node_id, tx.now + pause)
        return
    due.cancel(tx, MARKER_SWEEP, row.node_id)
    if swept.obsolete and swept.status is NodeStatus.DELETED:
        _forget_rows(tx, [row.node_id])

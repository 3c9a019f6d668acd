"""The jobs of a stack that may still be run, when something else is wanted.  The stack's row is locked."""
from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from obsvc.engine.database import due
from obsvc.engine.schema.stacks import job, node
from obsvc.engine.stacks.marker_sweeps import sweep_later
from obsvc.engine.stacks.traversal import JOB_DEADLINE, JOB_LEASE, JobStatus, Traversal
from obsvc.engine_client.jobs import Action


def open_jobs(traversal: Traversal) -> list[Any]:
    """The jobs of the stack's nodes that may still be run, locked."""
    query = sa.select(job).where(
        job.c.stack_id == traversal.stack_id, job.c.status.in_([JobStatus.READY, JobStatus.LEASED]),
        job.c.action != Action.SWEEP,
    )
    return list(traversal.tx.execute(query.order_by(job.c.job_id).with_for_update()))


def withdraw_jobs(traversal: Traversal) -> set[str]:
    """Close the open jobs that no worker has; ids of the nodes whose jobs go on.

    A create or update goes on while its lease holds, and is not offered again after it.  A deletion that a worker
    once had goes on to its end.
    """
    tx = traversal.tx
    held = set()
    for row in open_jobs(traversal):
        leased = row.status == JobStatus.LEASED and row.lease_until > tx.now
        if row.action == Action.DELETE:
            goes_on = row.attempt > 0
        else:
            goes_on = leased
            if leased:
                tx.execute(sa.update(job).where(job.c.job_id == row.job_id).values(available_at=None))
                due.schedule(tx, JOB_LEASE, row.job_id, row.lease_until)
        if goes_on:
            held.add(row.node_id)
        else:
            cancel_job(traversal, row)
    return held


def cancel_job(traversal: Traversal, row: Any) -> None:
    """Take a job back from the workers; an answer under its lease is refused from now on."""
    tx = traversal.tx
    tx.execute(
        sa.update(job).where(job.c.job_id == row.job_id)
        .values(status=JobStatus.CANCELLED, available_at=None, finished_at=tx.now)
    )
    if row.action == Action.CREATE and row.attempt:
        sweep_later(tx, row)
    if row.action == Action.UPDATE and row.attempt:
        tx.execute(sa.update(node).where(node.c.node_id == row.node_id).values(doubtful=True))
    due.cancel(tx, JOB_DEADLINE, row.job_id)
    due.cancel(tx, JOB_LEASE, row.job_id)

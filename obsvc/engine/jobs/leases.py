"""Jobs under leases: which are open to workers, who has one, and until when.

A job is open to workers while ``available_at`` has come: at once, after a retry's pause, or when its lease lapsed.
Lock order: (partitions, refs,) stack, job, due; a claim locks nothing but jobs, and passes over locked ones.
"""
from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from obsvc import metrics
from obsvc.engine.database import due
from obsvc.engine.database.store import Transaction
from obsvc.engine.schema.stacks import JobStatus, job, node, stack
from obsvc.engine.settings import EngineSettings
from obsvc.engine.stacks import marker_sweeps
from obsvc.engine.stacks.locked_stack import JOB_DEADLINE, JOB_LEASE
from obsvc.engine.stacks.locking import locked
from obsvc.engine.stacks.rows import JobRow, from_json, job_row, job_rows
from obsvc.engine.stacks.traversal import Traversal
from obsvc.engine_client import jobs
from obsvc.engine_client.jobs import Action
from obsvc.exceptions import Conflict, NotFound

#: A delete has this many times the attempts of a create: services refuse one while another resource still lets go.
DELETE_PATIENCE = 2


def is_open_job(tx: Transaction, request: jobs.JobClaimRequest) -> bool:
    """Whether there is a job that the worker may have; locks nothing."""
    return bool(request.types) and tx.execute(_open_jobs(tx, request, 1).with_only_columns(job.c.job_id)).first() \
        is not None


def lease(tx: Transaction, request: jobs.JobClaimRequest, limit: int) -> tuple[jobs.Job, ...]:
    """Lease up to ``limit`` open jobs to the worker, those open longest first."""
    leased = []
    until = tx.now + tx.settings.job_lease
    for row in job_rows(tx, _open_jobs(tx, request, limit).with_for_update(skip_locked=True)):
        if row.attempt >= attempts_of(tx.settings, row.action):
            # Its last lease lapsed; failing its node takes the stack's lock, which would be out of order here.
            tx.execute(sa.update(job).where(job.c.job_id == row.job_id).values(available_at=None))
            due.schedule(tx, JOB_LEASE, row.job_id, tx.now)
            continue
        token = str(uuid.uuid4())
        tx.execute(sa.update(job).where(job.c.job_id == row.job_id).values(
            status=JobStatus.LEASED, lease_token=token, lease_until=until, available_at=until,
            worker=request.worker[:255], attempt=row.attempt + 1,
        ))
        due.schedule(tx, JOB_LEASE, row.job_id, until)
        if row.status is JobStatus.LEASED and row.action is Action.CREATE:
            marker_sweeps.sweep_later(tx, row.node_id)  # its last lease lapsed
        leased.append(_as_job(tx, row, token))
        metrics.JOBS.labels(action=row.action, outcome=JobStatus.LEASED).inc()
    return tuple(leased)


def extend(tx: Transaction, request: jobs.JobLease) -> float:
    """Extend the lease; until when (seconds since the epoch).  Conflict where it is not, or no longer, this one."""
    row = existing_job(tx, request.job_id, lock=True)
    check_lease(row, request.lease_token)
    if tx.now >= deadline_of(tx, row):
        raise Conflict(f"job {row.job_id}: the {tx.settings.node_timeout:.0f} s that a node has are over; drop the job")
    until = tx.now + tx.settings.job_lease
    values: dict[str, Any] = {"lease_until": until}
    if row.available_at is not None:  # None: its stack is being deleted, nobody else may have it
        values["available_at"] = until
    tx.execute(sa.update(job).where(job.c.job_id == row.job_id).values(**values))
    due.schedule(tx, JOB_LEASE, row.job_id, until)
    return until


def attempts_of(settings: EngineSettings, action: Action) -> int:
    """How many leases a job of ``action`` may have."""
    return settings.job_attempts * (DELETE_PATIENCE if action is Action.DELETE else 1)


def deadline_of(tx: Transaction, row: JobRow) -> float:
    """Until when the action must have been started (seconds since the epoch)."""
    return row.created_at + tx.settings.node_timeout


def existing_job(tx: Transaction, job_id: str, *, lock: bool) -> JobRow:
    """The job's row; NotFound without one."""
    row = job_row(tx, job_id, lock=lock)
    if row is None:
        raise NotFound(f"expected the id of a job, got {job_id}: there is none (any more)")
    return row


def check_lease(row: JobRow, token: str) -> None:
    """Conflict unless the job is leased under this token."""
    if row.status is not JobStatus.LEASED or row.lease_token != token:
        raise Conflict(
            f"job {row.job_id} is not leased under this token: it is {row.status}, leased last to {row.worker}; "
            "drop the job and claim another"
        )


@contextlib.contextmanager
def locked_job(tx: Transaction, row: JobRow) -> Iterator[tuple[Traversal, JobRow]]:
    """The job's stack, then the job, both locked; the row again, as it is now."""
    with locked(tx, row.stack_id) as traversal:
        yield traversal, existing_job(tx, row.job_id, lock=True)


def finish(tx: Transaction, row: JobRow, status: JobStatus, *, error: str | None = None) -> None:
    """Nobody may have the job any more."""
    values = {} if error is None else {"error": error}
    tx.execute(
        sa.update(job).where(job.c.job_id == row.job_id).values(
            status=status, available_at=None, finished_at=tx.now, **values)
    )
    due.cancel(tx, JOB_DEADLINE, row.job_id)
    due.cancel(tx, JOB_LEASE, row.job_id)
    metrics.JOBS.labels(action=row.action, outcome=status).inc()


def end_sweep(tx: Transaction, row: JobRow) -> None:
    """End a sweep by marker, which belongs to no traversal; no effect where it has ended already."""
    with locked(tx, row.stack_id):
        if job_row(tx, row.job_id, lock=True) is not None:
            marker_sweeps.sweep_ended(tx, row)


def _open_jobs(tx: Transaction, request: jobs.JobClaimRequest, limit: int) -> sa.Select[Any]:
    query = sa.select(job).where(job.c.available_at <= tx.now, job.c.type.in_(request.types))
    if not request.sweeps:
        query = query.where(job.c.action != Action.SWEEP)
    return query.order_by(job.c.available_at).limit(limit)


def _as_job(tx: Transaction, row: JobRow, token: str) -> jobs.Job:
    about = tx.execute(
        sa.select(node.c.name, node.c.marker, node.c.applied, node.c.region.label("node_region"),
                  stack.c.name.label("stack_name"), stack.c.region, stack.c.project_id)
        .join(stack, stack.c.stack_id == node.c.stack_id).where(node.c.node_id == row.node_id)
    ).one()
    return jobs.Job(
        job_id=row.job_id, lease_token=token, lease_seconds=tx.settings.job_lease, action=row.action,
        type=row.type, node_id=row.node_id, node_name=about.name, stack_id=row.stack_id, stack_name=about.stack_name,
        attempt=row.attempt + 1, marker=about.marker, properties=from_json(row.properties),
        resource_id=row.resource_id, before=from_json(about.applied) if row.action is Action.UPDATE else {},
        region=about.node_region or about.region, project_id=about.project_id,
    )

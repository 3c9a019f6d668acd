"""Due work about jobs: retries whose pause is over, leases that lapsed, and jobs that were not done in time."""
from __future__ import annotations

import sqlalchemy as sa

from obsvc import metrics
from obsvc.engine.database import due
from obsvc.engine.database.store import Transaction
from obsvc.engine.jobs.leases import attempts_of, deadline_of, end_sweep, finish, locked_job
from obsvc.engine.jobs.results import is_superseded
from obsvc.engine.schema.stacks import JobStatus, job
from obsvc.engine.stacks import marker_sweeps
from obsvc.engine.stacks.locked_stack import JOB_DEADLINE, JOB_LEASE, JOB_RETRY
from obsvc.engine.stacks.rows import JobRow, job_row
from obsvc.engine.stacks.traversal import Traversal
from obsvc.engine_client.jobs import Action


@due.handler(JOB_RETRY)
def _retry_is_due(tx: Transaction, job_id: str) -> None:
    """Wake the workers: nothing else changes when a pause is over."""
    tx.touch("job")


@due.handler(JOB_LEASE)
def _lease_is_over(tx: Transaction, job_id: str) -> None:
    """A lease lapsed: offer the job again, or end it where its attempts are used up or its stack is deleted."""
    row = job_row(tx, job_id)
    if row is None or row.status is not JobStatus.LEASED:
        return
    if row.action is Action.SWEEP and not row.leased_at(tx.now):
        end_sweep(tx, row)
        return
    with locked_job(tx, row) as (traversal, row):
        if row.status is not JobStatus.LEASED or row.lease_until is None:
            return
        if row.lease_until > tx.now:
            due.schedule(tx, JOB_LEASE, job_id, row.lease_until)
            return
        reason = f"worker {row.worker} did not answer within its lease"
        metrics.JOBS.labels(action=row.action, outcome="lapsed").inc()
        node = traversal.node(row.node_id)
        used_up = row.attempt >= attempts_of(tx.settings, row.action) or tx.now >= deadline_of(tx, row)
        if used_up or traversal.row.halted or is_superseded(node, row):
            _end_unanswered(traversal, row, f"{reason} (attempt {row.attempt})")
        else:
            traversal.event("node.lease_lapsed", node, reason=reason)
            tx.touch("job")


@due.handler(JOB_DEADLINE)
def _job_is_late(tx: Transaction, job_id: str) -> None:
    """A job that was not done within its node's time ends, whatever it waits for: a worker that there is not, a pause
    that a service asked for, a plugin that hangs.  A lease that holds is awaited, but not renewed any more: its create
    may be on its way to the cloud."""
    row = job_row(tx, job_id)
    if row is None or not row.is_open:
        return
    if row.action is Action.SWEEP:
        end_sweep(tx, row)
        return
    with locked_job(tx, row) as (traversal, row):
        if not row.is_open:
            return
        deadline = deadline_of(tx, row)
        lease_until = row.lease_until if row.status is JobStatus.LEASED else None
        again_at = max(deadline, lease_until or 0.0)
        if again_at > tx.now:
            if tx.now >= deadline:
                tx.execute(sa.update(job).where(job.c.job_id == job_id).values(available_at=None))
            due.schedule(tx, JOB_DEADLINE, job_id, again_at)
            return
        _end_unanswered(traversal, row, _why_late(row, tx.now - row.created_at))


def _why_late(row: JobRow, seconds: float) -> str:
    timed_out = f"timed out after {seconds:.0f} s"
    if row.status is JobStatus.LEASED:
        return f"{timed_out}: worker {row.worker} did not answer (attempt {row.attempt})"
    if row.attempt:
        return f"{timed_out} and {row.attempt} attempts: {row.error}"
    return f"{timed_out}: no worker took the job; is one running that has a plugin for {row.type}?"


def _end_unanswered(traversal: Traversal, row: JobRow, reason: str) -> None:
    """End a job whose worker gave no answer in time, and what that means for its node."""
    node = traversal.node(row.node_id)
    status = JobStatus.CANCELLED if is_superseded(node, row) else JobStatus.FAILED
    if row.action is Action.CREATE and row.attempt:
        marker_sweeps.sweep_later(traversal.tx, row.node_id)
    finish(traversal.tx, row, status, error=reason)
    traversal.node_failed(node, reason)

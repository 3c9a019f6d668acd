"""What workers answer: an action was started, can't be made in place, or could not be started.

Each answer is taken once: the same one again has no second effect, one under another lease is refused.
"""
from __future__ import annotations

import sqlalchemy as sa

from obsvc import metrics
from obsvc.engine.database import due
from obsvc.engine.database.store import Transaction
from obsvc.engine.jobs.leases import attempts_of, check_lease, end_sweep, existing_job, finish, locked_job
from obsvc.engine.observations import watches
from obsvc.engine.schema.stacks import JobStatus, job
from obsvc.engine.stacks import marker_sweeps
from obsvc.engine.stacks.locked_stack import JOB_LEASE, JOB_RETRY
from obsvc.engine.stacks.progress import stop_node_observations
from obsvc.engine.stacks.rows import JobRow, NodeRow
from obsvc.engine.stacks.traversal import Traversal
from obsvc.engine_client import jobs
from obsvc.engine_client.jobs import Action
from obsvc.engine_client.observations import StartItem
from obsvc.engine_client.stacks import NodeStatus
from obsvc.exceptions import InvalidInput
from obsvc.model import Condition, Ref
from obsvc.process import failpoints


def complete(tx: Transaction, request: jobs.JobDone) -> None:
    """The action was started, and its resource is to be observed; or there is nothing to delete any more."""
    row = existing_job(tx, request.job_id, lock=False)
    if _completed_already(row, request.lease_token):
        return
    check_lease(row, request.lease_token)
    if row.action is Action.SWEEP:
        end_sweep(tx, row)
        return
    deletes = row.action is Action.DELETE
    ref = None if request.gone and deletes else request.ref
    if ref is None and not (request.gone and deletes):
        raise InvalidInput(f"job {row.job_id} ({row.action}): expected the ref of its resource, got none")
    timeout = min(request.timeout or tx.settings.node_timeout, tx.settings.node_timeout)
    if ref is None:
        stop_node_observations(tx, row.stack_id, row.node_id)
    else:
        goal = Condition.DELETED if deletes else request.goal
        started = watches.start(
            tx, [StartItem(ref=ref, goal=goal, timeout=timeout)], stack_id=row.stack_id, node_id=row.node_id)
        if deletes:
            stop_node_observations(
                tx, row.stack_id, row.node_id, but=[observation.observation_id for observation in started])
    with locked_job(tx, row) as (traversal, row):
        if _completed_already(row, request.lease_token):
            return
        check_lease(row, request.lease_token)
        finish(tx, row, JobStatus.DONE)
        if ref is None:
            traversal.node_deleted(traversal.node(row.node_id))
        else:
            _observe_node(traversal, row, ref, timeout)
    failpoints.hit("job.result.commit")


def _observe_node(traversal: Traversal, row: JobRow, ref: Ref, timeout: float) -> None:
    """The job's action was started: its node waits for what observers see of ``ref``."""
    tx, node = traversal.tx, traversal.node(row.node_id)
    traversal.update_node(
        row.node_id, region=ref.region, resource_type=ref.resource_type, resource_id=ref.resource_id,
        status=NodeStatus.OBSERVING, observing_at=tx.now, timeout=timeout,
    )
    traversal.set(progressed_at=tx.now)
    traversal.event("node.observing", node, resource_id=ref.resource_id)
    if row.action is not Action.DELETE:
        traversal.update_node(row.node_id, applied=row.properties, doubtful=False)
        if node.carried and (traversal.deleting or node.obsolete):
            traversal.rejoin(traversal.node(row.node_id))  # it need not be ready to be deleted


def replace(tx: Transaction, request: jobs.JobReplace) -> None:
    """The update can't be made in place: another copy is to take the resource's place."""
    row = existing_job(tx, request.job_id, lock=False)
    if _completed_already(row, request.lease_token):
        return
    with locked_job(tx, row) as (traversal, row):
        if _completed_already(row, request.lease_token):
            return
        check_lease(row, request.lease_token)
        if row.action is not Action.UPDATE:
            raise InvalidInput(f"job {row.job_id} ({row.action}): expected an update to be answered by a replacement")
        finish(tx, row, JobStatus.DONE)
        node = traversal.node(row.node_id)
        if node.carried:
            traversal.rejoin(node)
        elif traversal.row.halted:
            traversal.node_failed(node, "stopped before it was replaced")
        else:
            why = f"{', '.join(request.properties)} can't be changed in place"
            traversal.begin_forward([traversal.replace(node, why)])


def fail(tx: Transaction, request: jobs.JobFailed) -> None:
    """The action could not be started: retry it later, or fail its node."""
    row = existing_job(tx, request.job_id, lock=False)
    if _failed_already(row, request.lease_token):
        return
    if row.action is Action.SWEEP:
        check_lease(row, request.lease_token)
        end_sweep(tx, row)
        return
    with locked_job(tx, row) as (traversal, row):
        if _failed_already(row, request.lease_token):
            return
        check_lease(row, request.lease_token)
        if row.action is Action.CREATE and request.retriable:
            marker_sweeps.sweep_later(tx, row.node_id)  # a request that timed out may still be carried out
        node = traversal.node(row.node_id)
        may_help = _may_help(request, row, node)
        if traversal.row.halted or is_superseded(node, row):
            finish(tx, row, JobStatus.FAILED, error=request.error)
            traversal.node_failed(node, request.error)
        elif may_help and row.attempt < attempts_of(tx.settings, row.action):
            _retry(tx, row, request)
            traversal.event("node.retry", node, reason=request.error)
        else:
            finish(tx, row, JobStatus.FAILED, error=request.error)
            used_up = f" (after {row.attempt} attempts)" if may_help else ""
            traversal.node_failed(node, request.error + used_up)


def is_superseded(node: NodeRow, row: JobRow) -> bool:
    """Whether the job makes or changes something for a goal that the stack no longer has."""
    return node.carried and row.action is not Action.DELETE


def _completed_already(row: JobRow, token: str) -> bool:
    """Whether this very lease has completed its job already."""
    return row.status is JobStatus.DONE and row.lease_token == token


def _failed_already(row: JobRow, token: str) -> bool:
    """Whether this very lease has failed its job already."""
    return row.status in (JobStatus.READY, JobStatus.FAILED) and row.lease_token == token


def _may_help(request: jobs.JobFailed, row: JobRow, node: NodeRow) -> bool:
    """Whether another attempt may help.  A resource deleted before it was ever complete may still be building, and
    services refuse that with 400 (cinder) as well as 409: it passes."""
    return request.retriable or (row.action is Action.DELETE and node.completed_at is None)


def _retry(tx: Transaction, row: JobRow, request: jobs.JobFailed) -> None:
    at = tx.now + max(tx.settings.retry_pause(row.failures), request.retry_after or 0.0)
    tx.execute(sa.update(job).where(job.c.job_id == row.job_id).values(
        status=JobStatus.READY, available_at=at, failures=row.failures + 1, error=request.error,
    ))
    due.cancel(tx, JOB_LEASE, row.job_id)
    due.schedule(tx, JOB_RETRY, row.job_id, at)
    metrics.JOBS.labels(action=row.action, outcome="retry").inc()

"""What workers ask of the engine: jobs with leases.

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
from obsvc.engine.database.store import Store, Transaction
from obsvc.engine.database.waiters import Waiters
from obsvc.engine.observations import watches
from obsvc.engine.schema.stacks import job, node, stack
from obsvc.engine.settings import EngineSettings
from obsvc.engine.stacks import marker_sweeps
from obsvc.engine.stacks.locking import locked
from obsvc.engine.stacks.progress import stop_node_observations
from obsvc.engine.stacks.traversal import JOB_DEADLINE, JOB_LEASE, JOB_RETRY, JobStatus, Traversal, decode
from obsvc.engine_client import jobs
from obsvc.engine_client.contract import Empty
from obsvc.engine_client.jobs import Action
from obsvc.engine_client.observations import StartItem
from obsvc.engine_client.stacks import NodeStatus
from obsvc.exceptions import Conflict, InvalidInput, NotFound
from obsvc.model import Condition
from obsvc.process import failpoints

#: A delete has this many times the attempts of a create: services refuse one while another resource still lets go.
DELETE_PATIENCE = 2

#: Jobs in one answer.
CLAIM_LIMIT = 100


class JobOperations:
    """What workers ask; safe from any thread."""

    def __init__(self, store: Store, waiters: Waiters) -> None:
        self._store = store
        self._waiters = waiters

    def claim_jobs(self, request: jobs.JobClaimRequest) -> jobs.JobClaimReply:
        """Lease jobs; waits up to ``request.wait`` seconds for the first."""
        limit = max(1, min(request.limit, CLAIM_LIMIT))

        def check() -> tuple[jobs.Job, ...] | None:
            if not request.types or not self._store.read(lambda tx: _open(tx, request, 1, lock=False)):
                return None
            leased = self._store.run(lambda tx: _lease(tx, request, limit)) or None
            failpoints.hit("job.lease.after")
            return leased

        found = self._waiters.wait({"job"}, check, request.wait) if request.wait > 0 else check()
        return jobs.JobClaimReply(found or ())

    def renew_job(self, request: jobs.JobLease) -> jobs.LeaseReply:
        """Extend the lease; Conflict where it is not (or no longer) this one."""
        return jobs.LeaseReply(self._store.run(lambda tx: _extend(tx, request)))

    def confirm_attempt(self, request: jobs.JobLease) -> jobs.LeaseReply:
        """As :meth:`renew_job`: called just before the cloud is told, so that a lapsed worker stops there."""
        return self.renew_job(request)

    def complete_job(self, request: jobs.JobDone) -> Empty:
        """The action was started: record its resource and observe it, in one transaction."""
        failpoints.hit("job.result.before")
        try:
            self._store.run(lambda tx: _complete(tx, request))
        except Conflict:
            self._store.run(lambda tx: marker_sweeps.sweep_now(tx, request.job_id))
            raise
        failpoints.hit("job.result.after")
        return Empty()

    def replace_job(self, request: jobs.JobReplace) -> Empty:
        """The update can't be made in place: another copy is to take the resource's place."""
        self._store.run(lambda tx: _replace(tx, request))
        return Empty()

    def fail_job(self, request: jobs.JobFailed) -> Empty:
        """The action could not be started: retry it later, or fail its node."""
        self._store.run(lambda tx: _fail(tx, request))
        return Empty()


def _open(tx: Transaction, request: jobs.JobClaimRequest, limit: int, *, lock: bool) -> list[sa.Row]:
    query = sa.select(job).where(job.c.available_at <= tx.now, job.c.type.in_(request.types))
    if not request.sweeps:
        query = query.where(job.c.action != Action.SWEEP)
    query = query.order_by(job.c.available_at).limit(limit)
    return list(tx.execute(query.with_for_update(skip_locked=True) if lock else query))


def _lease(tx: Transaction, request: jobs.JobClaimRequest, limit: int) -> tuple[jobs.Job, ...]:
    leased = []
    until = tx.now + tx.settings.job_lease
    for row in _open(tx, request, limit, lock=True):
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
        if row.status == JobStatus.LEASED and row.action == Action.CREATE:
            marker_sweeps.sweep_later(tx, row)  # its last lease lapsed
        leased.append(_as_job(tx, row, token))
        metrics.JOBS.labels(action=row.action, outcome=JobStatus.LEASED).inc()
    return tuple(leased)


def _as_job(tx: Transaction, row: Any, token: str) -> jobs.Job:
    about = tx.execute(
        sa.select(node.c.name, node.c.marker, node.c.applied, node.c.region.label("node_region"),
                  stack.c.name.label("stack_name"), stack.c.region, stack.c.project_id)
        .join(stack, stack.c.stack_id == node.c.stack_id).where(node.c.node_id == row.node_id)
    ).one()
    return jobs.Job(
        job_id=row.job_id, lease_token=token, lease_seconds=tx.settings.job_lease, action=Action(row.action),
        type=row.type, node_id=row.node_id, node_name=about.name, stack_id=row.stack_id, stack_name=about.stack_name,
        attempt=row.attempt + 1, marker=about.marker, properties=decode(row.properties), resource_id=row.resource_id,
        before=decode(about.applied) if row.action == Action.UPDATE else {},
        region=about.node_region or about.region, project_id=about.project_id,
    )


def attempts_of(settings: EngineSettings, action: str) -> int:
    """How many leases a job of ``action`` may have."""
    return settings.job_attempts * (DELETE_PATIENCE if action == Action.DELETE else 1)


def _job(tx: Transaction, job_id: str, *, lock: bool) -> sa.Row:
    query = sa.select(job).where(job.c.job_id == job_id)
    row = tx.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFound(f"expected the id of a job, got {job_id}: there is none (any more)")
    return row


@contextlib.contextmanager
def _locked_job(tx: Transaction, row: Any) -> Iterator[tuple[Traversal, Any]]:
    """The job's stack, then the job, both locked: the row again, as it is now."""
    with locked(tx, row.stack_id) as traversal:
        yield traversal, _job(tx, row.job_id, lock=True)


def _held(row: Any, token: str) -> None:
    if row.status != JobStatus.LEASED or row.lease_token != token:
        raise Conflict(
            f"job {row.job_id} is not leased under this token: it is {row.status}, leased last to {row.worker}; "
            "drop the job and claim another"
        )


def _extend(tx: Transaction, request: jobs.JobLease) -> float:
    row = _job(tx, request.job_id, lock=True)
    _held(row, request.lease_token)
    if tx.now >= _deadline(tx, row):
        raise Conflict(f"job {row.job_id}: the {tx.settings.node_timeout:.0f} s that a node has are over; drop the job")
    until = tx.now + tx.settings.job_lease
    values: dict[str, Any] = {"lease_until": until}
    if row.available_at is not None:  # None: its stack is being deleted, nobody else may have it
        values["available_at"] = until
    tx.execute(sa.update(job).where(job.c.job_id == row.job_id).values(**values))
    due.schedule(tx, JOB_LEASE, row.job_id, until)
    return until


def _deadline(tx: Transaction, row: Any) -> float:
    """Until when the action must have been started."""
    return row.created_at + tx.settings.node_timeout


def _answered(row: Any, token: str) -> bool:
    """Whether this very lease has completed its job already: an answer sent twice has no second effect."""
    return row.status == JobStatus.DONE and row.lease_token == token


def _complete(tx: Transaction, request: jobs.JobDone) -> None:
    row = _job(tx, request.job_id, lock=False)
    if _answered(row, request.lease_token):
        return
    _held(row, request.lease_token)
    if row.action == Action.SWEEP:
        _end_sweep(tx, row)
        return
    if request.ref is None and not (request.gone and row.action == Action.DELETE):
        raise InvalidInput(f"job {row.job_id} ({row.action}): expected the ref of its resource, got none")
    timeout = min(request.timeout or tx.settings.node_timeout, tx.settings.node_timeout)
    gone = request.gone and row.action == Action.DELETE
    if gone:
        stop_node_observations(tx, row.stack_id, row.node_id)
    else:
        goal = Condition.DELETED if row.action == Action.DELETE else request.goal
        started = watches.start(
            tx, [StartItem(ref=request.ref, goal=goal, timeout=timeout)], stack_id=row.stack_id, node_id=row.node_id
        )
        if row.action == Action.DELETE:
            stop_node_observations(tx, row.stack_id, row.node_id, but=[one.observation_id for one in started])
    with _locked_job(tx, row) as (traversal, row):
        if _answered(row, request.lease_token):
            return
        _held(row, request.lease_token)
        _finish(tx, row, JobStatus.DONE)
        _begun(traversal, row, request, gone=gone, timeout=timeout)
    failpoints.hit("job.result.commit")


def _begun(traversal: Traversal, row: Any, request: jobs.JobDone, *, gone: bool, timeout: float) -> None:
    """Move the node of a completed job."""
    tx, node_row = traversal.tx, traversal.node(row.node_id)
    if gone:
        traversal.node_deleted(node_row)
        return
    traversal.update_node(
        row.node_id, region=request.ref.region, resource_type=request.ref.resource_type,
        resource_id=request.ref.resource_id, status=NodeStatus.OBSERVING, observing_at=tx.now, timeout=timeout,
    )
    traversal.set(progressed_at=tx.now)
    traversal.event("node.observing", node_row, resource_id=request.ref.resource_id)
    if row.action != Action.DELETE:
        traversal.update_node(row.node_id, applied=row.properties, doubtful=False)
        if node_row.carried and (traversal.deleting or node_row.obsolete):
            traversal.rejoin(traversal.node(row.node_id))  # it need not be ready to be deleted


def _replace(tx: Transaction, request: jobs.JobReplace) -> None:
    row = _job(tx, request.job_id, lock=False)
    if _answered(row, request.lease_token):
        return
    with _locked_job(tx, row) as (traversal, row):
        if _answered(row, request.lease_token):
            return
        _held(row, request.lease_token)
        if row.action != Action.UPDATE:
            raise InvalidInput(f"job {row.job_id} ({row.action}): expected an update to be answered by a replacement")
        _finish(tx, row, JobStatus.DONE)
        node_row = traversal.node(row.node_id)
        if node_row.carried:
            traversal.rejoin(node_row)
        elif traversal.value("halted"):
            traversal.node_failed(node_row, "stopped before it was replaced")
        else:
            why = f"{', '.join(request.properties)} can't be changed in place"
            traversal.begin_forward([traversal.replace(node_row, why)])


def _finish(tx: Transaction, row: Any, status: str, **values: Any) -> None:
    tx.execute(
        sa.update(job).where(job.c.job_id == row.job_id).values(
            status=status, available_at=None, finished_at=tx.now, **values)
    )
    due.cancel(tx, JOB_DEADLINE, row.job_id)
    due.cancel(tx, JOB_LEASE, row.job_id)
    metrics.JOBS.labels(action=row.action, outcome=status).inc()


def _fail(tx: Transaction, request: jobs.JobFailed) -> None:
    row = _job(tx, request.job_id, lock=False)
    if row.lease_token == request.lease_token and row.status in (JobStatus.READY, JobStatus.FAILED):
        return
    if row.action == Action.SWEEP:
        _held(row, request.lease_token)
        _end_sweep(tx, row)
        return
    with _locked_job(tx, row) as (traversal, row):
        if row.lease_token == request.lease_token and row.status in (JobStatus.READY, JobStatus.FAILED):
            return
        _held(row, request.lease_token)
        if row.action == Action.CREATE and request.retriable:
            marker_sweeps.sweep_later(tx, row)  # a request that timed out may still be carried out
        node_row = traversal.node(row.node_id)
        if traversal.value("halted") or _superseded(node_row, row):
            _finish(tx, row, JobStatus.FAILED, error=request.error)
            traversal.node_failed(node_row, request.error)
        elif _may_help(request, row, node_row) and row.attempt < attempts_of(tx.settings, row.action):
            _retry(tx, row, request)
            traversal.event("node.retry", node_row, reason=request.error)
        else:
            _finish(tx, row, JobStatus.FAILED, error=request.error)
            used_up = f" (after {row.attempt} attempts)" if _may_help(request, row, node_row) else ""
            traversal.node_failed(node_row, request.error + used_up)


def _may_help(request: jobs.JobFailed, row: Any, node_row: Any) -> bool:
    """Whether another attempt may help.  A resource deleted before it was ever complete may still be building, and
    services refuse that with 400 (cinder) as well as 409: it passes."""
    return request.retriable or (row.action == Action.DELETE and node_row.completed_at is None)


def _retry(tx: Transaction, row: Any, request: jobs.JobFailed) -> None:
    at = tx.now + max(tx.settings.retry_pause(row.failures), request.retry_after or 0.0)
    tx.execute(sa.update(job).where(job.c.job_id == row.job_id).values(
        status=JobStatus.READY, available_at=at, failures=row.failures + 1, error=request.error,
    ))
    due.cancel(tx, JOB_LEASE, row.job_id)
    due.schedule(tx, JOB_RETRY, row.job_id, at)
    metrics.JOBS.labels(action=row.action, outcome="retry").inc()


@due.handler(JOB_RETRY)
def _retry_is_due(tx: Transaction, job_id: str) -> None:
    """Wake the workers: nothing else changes when a pause is over."""
    tx.touch("job")


@due.handler(JOB_LEASE)
def _lease_is_over(tx: Transaction, job_id: str) -> None:
    """A lease lapsed: offer the job again, or end it where its attempts are used up or its stack is deleted."""
    row = tx.execute(sa.select(job).where(job.c.job_id == job_id)).one_or_none()
    if row is None or row.status != JobStatus.LEASED:
        return
    if row.action == Action.SWEEP and row.lease_until <= tx.now:
        _end_sweep(tx, row)
        return
    with _locked_job(tx, row) as (traversal, row):
        if row.status != JobStatus.LEASED:
            return
        if row.lease_until > tx.now:
            due.schedule(tx, JOB_LEASE, job_id, row.lease_until)
            return
        reason = f"worker {row.worker} did not answer within its lease"
        metrics.JOBS.labels(action=row.action, outcome="lapsed").inc()
        node_row = traversal.node(row.node_id)
        used_up = row.attempt >= attempts_of(tx.settings, row.action) or tx.now >= _deadline(tx, row)
        if used_up or traversal.value("halted") or _superseded(node_row, row):
            _end_unanswered(traversal, row, f"{reason} (attempt {row.attempt})")
        else:
            traversal.event("node.lease_lapsed", node_row, reason=reason)
            tx.touch("job")


@due.handler(JOB_DEADLINE)
def _job_is_late(tx: Transaction, job_id: str) -> None:
    """A job that was not done within its node's time ends, whatever it waits for: a worker that there is not, a pause
    that a service asked for, a plugin that hangs.  A lease that holds is awaited, but not renewed any more: its create
    may be on its way to the cloud."""
    row = tx.execute(sa.select(job).where(job.c.job_id == job_id)).one_or_none()
    if row is None or row.status not in (JobStatus.READY, JobStatus.LEASED):
        return
    if row.action == Action.SWEEP:
        _end_sweep(tx, row)
        return
    with _locked_job(tx, row) as (traversal, row):
        if row.status not in (JobStatus.READY, JobStatus.LEASED):
            return
        again_at = max(_deadline(tx, row), row.lease_until if row.status == JobStatus.LEASED else 0.0)
        if again_at > tx.now:
            if tx.now >= _deadline(tx, row):
                tx.execute(sa.update(job).where(job.c.job_id == job_id).values(available_at=None))
            due.schedule(tx, JOB_DEADLINE, job_id, again_at)
            return
        waited = f"timed out after {tx.now - row.created_at:.0f} s"
        if row.status == JobStatus.LEASED:
            reason = f"{waited}: worker {row.worker} did not answer (attempt {row.attempt})"
        elif row.attempt:
            reason = f"{waited} and {row.attempt} attempts: {row.error}"
        else:
            reason = f"{waited}: no worker took the job; is one running that has a plugin for {row.type}?"
        _end_unanswered(traversal, row, reason)


def _end_sweep(tx: Transaction, row: Any) -> None:
    with locked(tx, row.stack_id):
        if tx.execute(sa.select(job.c.job_id).where(job.c.job_id == row.job_id).with_for_update()).first() is not None:
            marker_sweeps.sweep_ended(tx, row)


def _superseded(node_row: Any, row: Any) -> bool:
    """Whether the job makes or changes something for a goal that the stack has no more."""
    return node_row.carried and row.action != Action.DELETE


def _end_unanswered(traversal: Traversal, row: Any, reason: str) -> None:
    """End a job whose worker gave no answer in time, and what that means for its node."""
    node_row = traversal.node(row.node_id)
    status = JobStatus.CANCELLED if _superseded(node_row, row) else JobStatus.FAILED
    if row.action == Action.CREATE and row.attempt:
        marker_sweeps.sweep_later(traversal.tx, row)
    _finish(traversal.tx, row, status, error=reason)
    traversal.node_failed(node_row, reason)

"""The jobs of a locked stack: made for workers, and taken back from them.

A stack of 10,000 resources that need nothing of each other begins all of them in the transaction that accepts it, so
jobs are made for many nodes at once: one statement a node would block every other writer for seconds.
"""
from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from obsvc.engine.database import due
from obsvc.engine.database.rows import to_json
from obsvc.engine.schema.stacks import JobStatus, job, node
from obsvc.engine.stacks.locked_stack import JOB_DEADLINE, JOB_LEASE, JOB_RETRY, LockedStack
from obsvc.engine.stacks.marker_sweeps import sweep_later
from obsvc.engine.stacks.rows import JobRow, NodeRow, job_rows
from obsvc.engine_client.jobs import Action
from obsvc.engine_client.stacks import NodeStatus


class NewJob(NamedTuple):
    """What a worker is to do for a node.  failures: how often it has failed already."""

    node: NodeRow
    action: Action
    properties: dict[str, Any] = {}
    failures: int = 0


def begin_jobs(stack: LockedStack, new_jobs: Sequence[NewJob]) -> None:
    """Jobs for workers, and the nodes scheduled; one that failed before is for workers after a pause."""
    if not new_jobs:
        return
    now, settings = stack.tx.now, stack.tx.settings
    jobs, nodes, times = [], [], []
    for new in new_jobs:
        job_id = str(uuid.uuid4())
        at = now + (settings.retry_pause(new.failures - 1) if new.failures else 0.0)
        jobs.append({
            "job_id": job_id, "stack_id": stack.stack_id, "node_id": new.node.node_id, "action": new.action,
            "type": new.node.type, "status": JobStatus.READY, "available_at": at, "attempt": 0,
            "failures": new.failures, "properties": to_json(new.properties), "resource_id": new.node.resource_id,
            "created_at": now,
        })
        nodes.append({"of_node": new.node.node_id, "new_job": job_id, "new_action": new.action})
        times.append((JOB_DEADLINE, job_id, now + settings.node_timeout))
        if new.failures:
            times.append((JOB_RETRY, job_id, at))
        stack.event("node.scheduled", new.node, reason=new.action.value)
    stack.tx.execute(sa.insert(job), jobs)
    stack.tx.execute(
        sa.update(node).where(node.c.node_id == sa.bindparam("of_node")).values(
            job_id=sa.bindparam("new_job"), action=sa.bindparam("new_action"), status=NodeStatus.SCHEDULED,
            status_reason="", scheduled_at=now), nodes)
    due.schedule_all(stack.tx, times)
    stack.set(progressed_at=now)
    stack.tx.touch("job")


def open_jobs(stack: LockedStack) -> list[JobRow]:
    """The jobs of the stack's nodes that may still be run, locked; sweeps by marker belong to no node's action."""
    return job_rows(stack.tx, sa.select(job).where(
        job.c.stack_id == stack.stack_id, job.c.status.in_([JobStatus.READY, JobStatus.LEASED]),
        job.c.action != Action.SWEEP,
    ).order_by(job.c.job_id).with_for_update())


def withdraw_jobs(stack: LockedStack) -> set[str]:
    """Close the open jobs that no worker has; ids of the nodes whose jobs go on.

    A create or update goes on while its lease holds, and is not offered again after it.  A deletion that a worker
    once had goes on to its end.
    """
    tx = stack.tx
    going_on = set()
    for row in open_jobs(stack):
        if row.action is Action.DELETE:
            goes_on = row.attempt > 0
        else:
            goes_on = row.leased_at(tx.now)
            if goes_on and row.lease_until is not None:
                tx.execute(sa.update(job).where(job.c.job_id == row.job_id).values(available_at=None))
                due.schedule(tx, JOB_LEASE, row.job_id, row.lease_until)
        if goes_on:
            going_on.add(row.node_id)
        else:
            cancel_job(stack, row)
    return going_on


def cancel_job(stack: LockedStack, row: JobRow) -> None:
    """Take a job back from the workers; an answer under its lease is refused from now on."""
    tx = stack.tx
    tx.execute(
        sa.update(job).where(job.c.job_id == row.job_id)
        .values(status=JobStatus.CANCELLED, available_at=None, finished_at=tx.now)
    )
    if row.attempt and row.action is Action.CREATE:
        sweep_later(tx, row.node_id)
    if row.attempt and row.action is Action.UPDATE:
        tx.execute(sa.update(node).where(node.c.node_id == row.node_id).values(doubtful=True))
    due.cancel(tx, JOB_DEADLINE, row.job_id)
    due.cancel(tx, JOB_LEASE, row.job_id)

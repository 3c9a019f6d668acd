"""What workers are to do for the nodes of a locked stack, and what a node is to be made with.

A stack of 10,000 resources that need nothing of each other begins all of them in the transaction that accepts it, so
both take many nodes at once: a statement a node would be seconds in which nobody else writes.
"""
from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from obsvc.engine.database import due
from obsvc.engine.database.store import Transaction
from obsvc.engine.schema.stacks import edge, job, node
from obsvc.engine.stacks.locked_stack import JOB_DEADLINE, JOB_RETRY, JobStatus, LockedStack, decode, encode
from obsvc.engine.templates.functions import Facts
from obsvc.engine_client.jobs import Action
from obsvc.engine_client.stacks import NodeStatus
from obsvc.process.batches import batched

#: Nodes of one statement.
AT_ONCE = 500


class NewJob(NamedTuple):
    """What a worker is to do for a node.  failures: how often it has failed already."""

    node_row: Any
    action: Action
    properties: dict[str, Any] = {}
    failures: int = 0


def batches(node_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """As many at a time as one statement takes."""
    return batched(node_ids, AT_ONCE)


def required_facts(tx: Transaction, node_ids: Sequence[str]) -> dict[str, dict[str, Facts]]:
    """For each of these nodes what is known of those that it requires, by name."""
    found: dict[str, dict[str, Facts]] = {node_id: {} for node_id in node_ids}
    for some in batches(node_ids):
        required = tx.execute(
            sa.select(edge.c.node_id, node.c.name, node.c.resource_id, node.c.attributes)
            .join(node, edge.c.requires == node.c.node_id)
            .where(edge.c.node_id.in_(some), edge.c.wanted.is_(True))
        )
        for node_id, name, resource_id, attributes in required:
            found[node_id][name] = Facts(resource_id, decode(attributes))
    return found


def begin_jobs(stack: LockedStack, work: Sequence[NewJob]) -> None:
    """Jobs for workers, and the nodes scheduled; one that failed before is for workers after a pause."""
    if not work:
        return
    now, settings = stack.tx.now, stack.tx.settings
    jobs, nodes, times = [], [], []
    for one in work:
        job_id, row = str(uuid.uuid4()), one.node_row
        at = now + (settings.retry_pause(one.failures - 1) if one.failures else 0.0)
        jobs.append({
            "job_id": job_id, "stack_id": stack.stack_id, "node_id": row.node_id, "action": one.action,
            "type": row.type, "status": JobStatus.READY, "available_at": at, "attempt": 0, "failures": one.failures,
            "properties": encode(one.properties), "resource_id": row.resource_id, "created_at": now,
        })
        nodes.append({"which": row.node_id, "its_job": job_id, "its_action": one.action})
        times.append((JOB_DEADLINE, job_id, now + settings.node_timeout))
        if one.failures:
            times.append((JOB_RETRY, job_id, at))
        stack.event("node.scheduled", row, reason=one.action.value)
    stack.tx.execute(sa.insert(job), jobs)
    stack.tx.execute(
        sa.update(node).where(node.c.node_id == sa.bindparam("which")).values(
            job_id=sa.bindparam("its_job"), action=sa.bindparam("its_action"), status=NodeStatus.SCHEDULED,
            status_reason="", scheduled_at=now), nodes)
    due.schedule_all(stack.tx, times)
    stack.set(progressed_at=now)
    stack.tx.touch("job")

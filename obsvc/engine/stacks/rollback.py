"""Rolling back, stopping, and resuming: what a stack can be asked for without a new goal.  Its row is locked."""
from __future__ import annotations

import sqlalchemy as sa

from obsvc.engine.schema.stacks import JobStatus, goal
from obsvc.engine.stacks.deletion import start_delete
from obsvc.engine.stacks.rows import from_json
from obsvc.engine.stacks.stack_jobs import cancel_job, open_jobs
from obsvc.engine.stacks.traversal import Traversal
from obsvc.engine.stacks.updating import NOTHING, Target, retarget, stored_target
from obsvc.engine_client.stacks import StackAction, StackStatus
from obsvc.exceptions import Conflict


def start_rollback(traversal: Traversal) -> None:
    """Begin to bring the stack back to the last goal that was reached; to nothing where none was."""
    target = _last_reached(traversal)
    retarget(traversal, StackAction.ROLLBACK, target, prefer=target.version)


def roll_back(traversal: Traversal) -> None:
    """As :func:`start_rollback`, where that makes sense.  No effect on a rollback in progress."""
    status = traversal.row.status
    if status is StackStatus.ROLLBACK_IN_PROGRESS:
        return
    if traversal.deleting:
        raise Conflict(f"stack {traversal.row.name!r} is {status}: give it a goal by an update, or let it be deleted")
    if status.endswith("_COMPLETE"):
        raise Conflict(
            f"stack {traversal.row.name!r} is {status}: it is at the last goal that was reached; give it another by "
            "an update"
        )
    start_rollback(traversal)


def stop(traversal: Traversal, reason: str) -> None:
    """Fail what is in progress and begin nothing more; what a worker or the cloud is busy with ends by itself."""
    traversal.set(halted=True)
    traversal.fail(reason)
    for row in open_jobs(traversal):
        if row.status is JobStatus.READY:
            cancel_job(traversal, row)
            traversal.node_failed(traversal.node(row.node_id), "stopped before a worker had begun")


def resume(traversal: Traversal) -> None:
    """Go on with what has failed, to the same goal.  No effect while something is in progress."""
    status = traversal.row.status
    if traversal.in_progress:
        return
    if not status.endswith("_FAILED"):
        raise Conflict(f"stack {traversal.row.name!r} is {status}: expected one that has failed; there is nothing to "
                       "resume")
    if traversal.deleting:
        start_delete(traversal)
        return
    row = traversal.row
    retarget(traversal, row.action, stored_target(row.goal, row.template, from_json(row.parameters)))


def _last_reached(traversal: Traversal) -> Target:
    row = traversal.tx.execute(
        sa.select(goal).where(goal.c.stack_id == traversal.stack_id, goal.c.reached_at.is_not(None))
        .order_by(goal.c.version.desc()).limit(1)
    ).one_or_none()
    if row is None:
        return stored_target(0, NOTHING, {})
    return stored_target(row.version, row.template, from_json(row.parameters))

"""Due work about stacks: progress notifications, the stack's own deadline, and forgetting what is old."""
from __future__ import annotations

import sqlalchemy as sa

from obsvc.engine.database import due
from obsvc.engine.database.store import Transaction
from obsvc.engine.schema.stacks import edge, goal, job, node, stack, stack_event
from obsvc.engine.stacks.locked_stack import (
    NODE_RETAINED,
    STACK_DEADLINE,
    STACK_EVENTS,
    STACK_PROGRESS,
    STACK_RETENTION,
    schedule_events,
)
from obsvc.engine.stacks.locking import locked_if_exists
from obsvc.engine.stacks.progress import nodes_under_way, stop_node_observations
from obsvc.engine.stacks.rollback import stop
from obsvc.engine_client.stacks import StackStatus


@due.handler(STACK_PROGRESS)
def _report_progress(tx: Transaction, stack_id: str) -> None:
    """``obsvc.stack.progress``, or ``obsvc.stack.stalled`` with what it waits for; again after the interval."""
    with locked_if_exists(tx, stack_id) as traversal:
        if traversal is None or not traversal.in_progress:
            return
        waiting = nodes_under_way(tx, stack_id)
        quiet = tx.now - traversal.row.progressed_at
        if quiet >= tx.settings.stalled_after:
            names = ", ".join(node["node"] for node in waiting) or "nothing"
            traversal.event("stack.stalled", reason=f"no progress for {quiet:.0f} s; waiting for {names}")
            traversal.emit("stalled", priority="WARN", seconds_without_progress=quiet, waiting_for=waiting)
        else:
            traversal.event("stack.progress", reason=f"{traversal.row.finished} of {traversal.row.total} nodes")
            traversal.emit("progress", seconds_without_progress=quiet, waiting_for=waiting)
        due.schedule(tx, STACK_PROGRESS, stack_id, tx.now + tx.settings.progress_interval)


@due.handler(STACK_DEADLINE)
def _deadline_passed(tx: Transaction, stack_id: str) -> None:
    """The stack's timeout has passed: it fails, and nothing new is begun; what is under way ends by itself."""
    with locked_if_exists(tx, stack_id) as traversal:
        if traversal is None or not traversal.in_progress or traversal.row.deadline is None:
            return
        if traversal.row.deadline > tx.now:  # the clock was set back meanwhile
            due.schedule(tx, STACK_DEADLINE, stack_id, traversal.row.deadline)
            return
        names = ", ".join(node["node"] for node in nodes_under_way(tx, stack_id)) or "nothing"
        timeout = traversal.row.timeout or 0.0
        stop(traversal, f"timed out after {timeout:.0f} s; it waited for {names}")


@due.handler(NODE_RETAINED)
def _stop_observing_retained(tx: Transaction, key: str) -> None:
    """A retained resource is not observed any more; in its own transaction, as partitions are locked before stacks."""
    stack_id, node_id = key.split("/")
    stop_node_observations(tx, stack_id, node_id)


@due.handler(STACK_EVENTS)
def _forget_events(tx: Transaction, stack_id: str) -> None:
    """Forget events and goals of a stack that are older than the retention: one may live, and drift, for years."""
    if tx.execute(sa.select(stack.c.stack_id).where(stack.c.stack_id == stack_id)).first() is None:
        return
    old = tx.now - tx.settings.retention
    tx.execute(sa.delete(stack_event).where(stack_event.c.stack_id == stack_id, stack_event.c.at < old))
    _forget_goals(tx, stack_id, old)
    schedule_events(tx, stack_id)


def _forget_goals(tx: Transaction, stack_id: str, old: float) -> None:
    """Forget goals that no rollback can need: those before the last that was reached."""
    mine = goal.c.stack_id == stack_id
    reached = tx.execute(sa.select(sa.func.max(goal.c.version)).where(mine, goal.c.reached_at.is_not(None))).scalar()
    if reached is not None:
        tx.execute(sa.delete(goal).where(mine, goal.c.version < reached, goal.c.made_at < old))


@due.handler(STACK_RETENTION)
def _forget_stack(tx: Transaction, stack_id: str) -> None:
    """Forget a deleted stack with all that is kept of it."""
    with locked_if_exists(tx, stack_id) as traversal:
        if traversal is None or traversal.row.status is not StackStatus.DELETE_COMPLETE:
            return
        nodes = sa.select(node.c.node_id).where(node.c.stack_id == stack_id)
        tx.execute(sa.delete(edge).where(edge.c.node_id.in_(nodes)))
        for table in (job, node, stack_event, goal, stack):
            tx.execute(sa.delete(table).where(table.c.stack_id == stack_id))

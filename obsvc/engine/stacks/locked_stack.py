"""The locked row of a stack: its values, its events, the beginning and the end of a traversal.

Lives within one transaction, like :class:`obsvc.engine.stacks.traversal.Traversal`, which moves the nodes.
"""
from __future__ import annotations

import uuid
from typing import Any, Unpack

import sqlalchemy as sa

from obsvc.engine.database import due, outbox
from obsvc.engine.database.store import Transaction
from obsvc.engine.schema.stacks import goal, stack, stack_event
from obsvc.engine.stacks.rows import NodeRow, StackChanges, StackRow
from obsvc.engine_client.stacks import StackAction, StackStatus

IN_PROGRESS = (
    StackStatus.CREATE_IN_PROGRESS, StackStatus.UPDATE_IN_PROGRESS, StackStatus.DELETE_IN_PROGRESS,
    StackStatus.ROLLBACK_IN_PROGRESS,
)

#: Kinds of due work about stacks.
STACK_PROGRESS = "stack_progress"
STACK_DEADLINE = "stack_deadline"
STACK_RETENTION = "stack_retention"
STACK_EVENTS = "stack_events"
NODE_RETAINED = "node_retained"
JOB_LEASE = "job_lease"
JOB_RETRY = "job_retry"
JOB_DEADLINE = "job_deadline"

#: Seconds between two removals of a stack's old events; less where ``[engine] retention`` is less.
EVENTS_INTERVAL = 86400.0


class LockedStack:
    """A locked stack.  ``save`` writes what was gathered; without it events and counters are lost."""

    def __init__(self, tx: Transaction, row: StackRow) -> None:
        self.tx = tx
        #: The stack as it is in this transaction, with what :meth:`set` has changed.
        self.row = row
        self._changed: set[str] = set()
        self._events: list[dict[str, Any]] = []
        #: Set when a creation or update fails: whether the stack may roll back by itself.
        self.may_roll_back = False

    def set(self, **values: Unpack[StackChanges]) -> None:
        """Change columns of the stack."""
        self.row = self.row._replace(**values)
        self._changed.update(values)

    @property
    def stack_id(self) -> str:
        return self.row.stack_id

    @property
    def deleting(self) -> bool:
        return self.row.action is StackAction.DELETE

    @property
    def in_progress(self) -> bool:
        return self.row.status in IN_PROGRESS

    def save(self) -> None:
        """Write the stack's row and the events."""
        if not self._changed and not self._events:
            return
        if self._events:
            self.tx.execute(sa.insert(stack_event), self._events)
            self.set(last_event_id=self.row.last_event_id + len(self._events))
        values = {name: getattr(self.row, name) for name in self._changed}
        self._events, self._changed = [], set()
        self.tx.execute(
            sa.update(stack).where(stack.c.stack_id == self.stack_id).values(updated_at=self.tx.now, **values)
        )
        self.tx.touch("stack")

    # what is said

    def event(
        self, event: str, node: NodeRow | None = None, *, resource_id: str | None = None, reason: str = ""
    ) -> None:
        """Record an event of the stack, or of one of its nodes."""
        self._events.append({
            "stack_id": self.stack_id, "event_id": self.row.last_event_id + len(self._events) + 1, "at": self.tx.now,
            "event": event, "node": node.name if node is not None else None,
            "resource_id": resource_id or (node.resource_id if node is not None else None), "reason": reason,
        })

    def emit(self, what: str, *, priority: str = "INFO", **more: Any) -> None:
        """Emit ``obsvc.stack.<what>`` with what every such notification says."""
        row = self.row
        payload = {
            "stack_id": row.stack_id, "stack_name": row.name, "project_id": row.project_id, "status": row.status,
            "status_reason": row.status_reason, "traversal": row.traversal, "nodes_total": row.total,
            "nodes_finished": row.finished, "nodes_failed": row.failed, **more,
        }
        outbox.put(self.tx, f"obsvc.stack.{what}", payload, priority=priority)

    # a traversal begins and ends

    def begin(self, action: StackAction, *, total: int, finished: int) -> None:
        """Start a new traversal: counters, deadline, progress notifications."""
        timeout = self.row.timeout
        deadline = None if timeout is None else self.tx.now + timeout
        self.set(
            action=action, status=StackStatus(f"{action.upper()}_IN_PROGRESS"), status_reason="", total=total,
            finished=finished, failed=0, halted=False, progressed_at=self.tx.now, deadline=deadline,
            traversal=str(uuid.uuid4()),
        )
        self.event(f"stack.{action}.start")
        self.emit(f"{action}.start")
        due.schedule(self.tx, STACK_PROGRESS, self.stack_id, self.tx.now + self.tx.settings.progress_interval)
        if action is StackAction.CREATE:
            schedule_events(self.tx, self.stack_id)
        if deadline is not None:
            due.schedule(self.tx, STACK_DEADLINE, self.stack_id, deadline)

    def fail(self, reason: str) -> None:
        """The stack can't reach its goal any more; what is independent goes on."""
        if not self.in_progress:
            return
        action = self.row.action
        self.may_roll_back = action in (StackAction.CREATE, StackAction.UPDATE)
        self.set(status=StackStatus(f"{action.upper()}_FAILED"), status_reason=reason)
        self.event(f"stack.{action}.error", reason=reason)
        self.emit(f"{action}.error", priority="ERROR")

    def end(self) -> None:
        """Every node is where it should be: the stack is complete."""
        action = self.row.action
        self.set(status=StackStatus(f"{action.upper()}_COMPLETE"), status_reason="", leftover=0)
        if self.deleting:
            self.set(live_name=None)
            due.schedule(self.tx, STACK_RETENTION, self.stack_id, self.tx.now + self.tx.settings.retention)
        else:
            self.tx.execute(
                sa.update(goal).where(goal.c.stack_id == self.stack_id, goal.c.version == self.row.goal)
                .values(reached_at=self.tx.now)
            )
        self.event(f"stack.{action}.end")
        self.emit(f"{action}.end")
        due.cancel(self.tx, STACK_PROGRESS, self.stack_id)
        due.cancel(self.tx, STACK_DEADLINE, self.stack_id)


def schedule_events(tx: Transaction, stack_id: str) -> None:
    """Have the stack's old events forgotten now and then, for as long as the stack is there."""
    due.schedule(tx, STACK_EVENTS, stack_id, tx.now + min(EVENTS_INTERVAL, tx.settings.retention))

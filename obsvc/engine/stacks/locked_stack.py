"""The locked row of a stack: its values, its events, the beginning and the end of a traversal.

Lives within one transaction, like :class:`obsvc.engine.stacks.traversal.Traversal`, which moves the nodes.
"""
from __future__ import annotations

import uuid
from typing import Any

import msgspec
import sqlalchemy as sa

from obsvc.engine.database import due, outbox
from obsvc.engine.database.store import Transaction
from obsvc.engine.schema.stacks import goal, stack, stack_event
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

#: Seconds between two looks for events of a stack that are too old; less where ``[engine] retention`` is less.
EVENTS_INTERVAL = 86400.0


class JobStatus:
    """Words of ``job.status``."""

    READY = "ready"  #: waits for a worker, or for its next attempt
    LEASED = "leased"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"  #: its stack is being deleted, or ran out of time


def decode(text: str | None) -> dict[str, Any]:
    """A JSON object from a column."""
    return msgspec.json.decode(text) if text else {}


def encode(value: Any) -> str:
    return msgspec.json.encode(value).decode()


class LockedStack:
    """A locked stack.  ``save`` writes what was gathered; without it events and counters are lost."""

    def __init__(self, tx: Transaction, row: sa.Row) -> None:
        self.tx = tx
        self.row = row
        self._values: dict[str, Any] = {}
        self._events: list[dict[str, Any]] = []
        #: Set when a creation or update fails: whether the stack may roll back by itself.
        self.may_roll_back = False

    def value(self, name: str) -> Any:
        """A column of the stack as it stands in this transaction."""
        return self._values[name] if name in self._values else getattr(self.row, name)

    def set(self, **values: Any) -> None:
        self._values.update(values)

    @property
    def stack_id(self) -> str:
        return self.row.stack_id

    @property
    def deleting(self) -> bool:
        return self.value("action") == StackAction.DELETE

    @property
    def in_progress(self) -> bool:
        return self.value("status") in IN_PROGRESS

    def save(self) -> None:
        """Write the stack's row and the events."""
        if not self._values and not self._events:
            return
        if self._events:
            self.tx.execute(sa.insert(stack_event), self._events)
        self.tx.execute(
            sa.update(stack).where(stack.c.stack_id == self.stack_id).values(updated_at=self.tx.now, **self._values)
        )
        self.tx.touch("stack")

    # what is said

    def event(self, event: str, node_row: Any = None, *, resource_id: str | None = None, reason: str = "") -> None:
        """Record an event of the stack, or of one of its nodes."""
        number = self.value("last_event_id") + 1
        self.set(last_event_id=number)
        self._events.append({
            "stack_id": self.stack_id, "event_id": number, "at": self.tx.now, "event": event,
            "node": node_row.name if node_row is not None else None,
            "resource_id": resource_id or (node_row.resource_id if node_row is not None else None), "reason": reason,
        })

    def emit(self, what: str, *, priority: str = "INFO", **more: Any) -> None:
        """Emit ``obsvc.stack.<what>`` with what every such notification says."""
        payload = {
            "stack_id": self.stack_id, "stack_name": self.row.name, "project_id": self.row.project_id,
            "status": self.value("status"), "status_reason": self.value("status_reason"),
            "traversal": self.value("traversal"), "nodes_total": self.value("total"),
            "nodes_finished": self.value("finished"), "nodes_failed": self.value("failed"), **more,
        }
        outbox.put(self.tx, f"obsvc.stack.{what}", payload, priority=priority)

    # a traversal begins and ends

    def begin(self, action: StackAction, *, total: int, finished: int) -> None:
        """Start a new traversal: counters, deadline, progress notifications."""
        timeout = self.value("timeout")
        deadline = None if timeout is None else self.tx.now + timeout
        self.set(
            action=action.value, status=f"{action.upper()}_IN_PROGRESS", status_reason="", total=total,
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
        action = self.value("action")
        self.may_roll_back = action in (StackAction.CREATE, StackAction.UPDATE)
        self.set(status=f"{action.upper()}_FAILED", status_reason=reason)
        self.event(f"stack.{action}.error", reason=reason)
        self.emit(f"{action}.error", priority="ERROR")

    def end(self) -> None:
        """Every node is where it should be: the stack is complete."""
        action = self.value("action")
        self.set(status=f"{action.upper()}_COMPLETE", status_reason="", leftover=0)
        if self.deleting:
            self.set(live_name=None)
            due.schedule(self.tx, STACK_RETENTION, self.stack_id, self.tx.now + self.tx.settings.retention)
        else:
            self.tx.execute(
                sa.update(goal).where(goal.c.stack_id == self.stack_id, goal.c.version == self.value("goal"))
                .values(reached_at=self.tx.now)
            )
        self.event(f"stack.{action}.end")
        self.emit(f"{action}.end")
        due.cancel(self.tx, STACK_PROGRESS, self.stack_id)
        due.cancel(self.tx, STACK_DEADLINE, self.stack_id)


def schedule_events(tx: Transaction, stack_id: str) -> None:
    """Have the stack's old events forgotten, now and then, as long as it is there."""
    due.schedule(tx, STACK_EVENTS, stack_id, tx.now + min(EVENTS_INTERVAL, tx.settings.retention))


def parameters_of(row: Any, text: str | None = None) -> dict[str, Any]:
    """The parameters of a stack's row (or ``text``, newer than the row) with the pseudo parameters."""
    return decode(text or row.parameters) | {
        "OS::stack_name": row.name, "OS::stack_id": row.stack_id, "OS::project_id": row.project_id or "",
    }

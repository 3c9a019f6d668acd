"""One attempt to bring a stack to its goal: what starts, what it costs, what it says.

A :class:`Traversal` is made with the stack's row locked and lives within one transaction.  Everything that moves a
node goes through it: counters move with the node, so a finished node costs O(its dependents); events are numbered
without a gap, since the lock orders them.  Nodes need no lock of their own: the stack's guards them.

Partition locks come before stack locks (DESIGN 4): whoever starts or stops observations in the same transaction
does that before :meth:`Traversal.lock`.  (A node's own ref, when its partition is locked already, is the exception.)
"""
from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable
from typing import Any

import msgspec
import sqlalchemy as sa

from obsvc.engine import due, outbox
from obsvc.engine.functions import Facts
from obsvc.engine.schema.stacks import edge, job, node, stack, stack_event
from obsvc.engine.store import Transaction
from obsvc.engine.template import resolve
from obsvc.engine_client.jobs import Action
from obsvc.engine_client.stacks import NodeStatus, StackStatus
from obsvc.exceptions import InvalidInput

IN_PROGRESS = (StackStatus.CREATE_IN_PROGRESS, StackStatus.DELETE_IN_PROGRESS)

#: Kinds of due work about stacks.
STACK_PROGRESS = "stack_progress"
STACK_DEADLINE = "stack_deadline"
STACK_RETENTION = "stack_retention"
STACK_EVENTS = "stack_events"
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


def lock_stacks(tx: Transaction, stack_ids: Collection[str]) -> list[Traversal]:
    """Lock these stacks, ascending; those that do not exist are left out."""
    rows = tx.execute(
        sa.select(stack).where(stack.c.stack_id.in_(sorted(set(stack_ids)))).order_by(stack.c.stack_id)
        .with_for_update()
    ).all()
    return [Traversal(tx, row) for row in rows]


class Traversal:
    """A locked stack.  ``save`` writes what was gathered; without it events and counters are lost."""

    def __init__(self, tx: Transaction, row: sa.Row) -> None:
        self.tx = tx
        self.row = row
        self._values: dict[str, Any] = {}
        self._events: list[dict[str, Any]] = []

    @classmethod
    def lock(cls, tx: Transaction, stack_id: str) -> Traversal | None:
        found = lock_stacks(tx, [stack_id])
        return found[0] if found else None

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
        return self.value("action") == Action.DELETE

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

    def begin(self, action: Action, *, total: int, finished: int) -> None:
        """Start a new traversal: counters, deadline, progress notifications."""
        timeout = self.row.timeout
        deadline = None if timeout is None else self.tx.now + timeout
        self.set(
            action=action.value, status=f"{action.upper()}_IN_PROGRESS", status_reason="", total=total,
            finished=finished, failed=0, halted=False, progressed_at=self.tx.now, deadline=deadline,
            traversal=str(uuid.uuid4()),
        )
        self.event(f"stack.{action}.start")
        self.emit(f"{action}.start")
        due.schedule(self.tx, STACK_PROGRESS, self.stack_id, self.tx.now + self.tx.settings.progress_interval)
        if action is Action.CREATE:
            schedule_events(self.tx, self.stack_id)
        if deadline is not None:
            due.schedule(self.tx, STACK_DEADLINE, self.stack_id, deadline)

    def fail(self, reason: str) -> None:
        """The stack can't reach its goal any more; what is independent goes on."""
        if not self.in_progress:
            return
        action = self.value("action")
        self.set(status=f"{action.upper()}_FAILED", status_reason=reason)
        self.event(f"stack.{action}.error", reason=reason)
        self.emit(f"{action}.error", priority="ERROR")

    def end_if_finished(self) -> None:
        """When every node is where it should be, the stack is complete."""
        if not self.in_progress or self.value("finished") < self.value("total"):
            return
        action = self.value("action")
        self.set(status=f"{action.upper()}_COMPLETE", status_reason="")
        if self.deleting:
            self.set(live_name=None)
            due.schedule(self.tx, STACK_RETENTION, self.stack_id, self.tx.now + self.tx.settings.retention)
        self.event(f"stack.{action}.end")
        self.emit(f"{action}.end")
        due.cancel(self.tx, STACK_PROGRESS, self.stack_id)
        due.cancel(self.tx, STACK_DEADLINE, self.stack_id)

    # nodes

    def update_node(self, node_id: str, **values: Any) -> None:
        self.tx.execute(sa.update(node).where(node.c.node_id == node_id).values(**values))

    def node(self, node_id: str) -> sa.Row | None:
        return self.tx.execute(sa.select(node).where(node.c.node_id == node_id)).one_or_none()

    def complete(self, node_row: Any, attributes: dict[str, Any]) -> None:
        """The node's goal is met: its dependents may follow."""
        self.update_node(
            node_row.node_id, status=NodeStatus.COMPLETE, status_reason="", completed_at=self.tx.now,
            attributes=encode(attributes),
        )
        self.set(finished=self.value("finished") + 1, progressed_at=self.tx.now)
        self.event("node.complete", node_row)
        for following in self._released(edge.c.node_id, edge.c.requires, node_row.node_id):
            self.begin_create(following)
        self.end_if_finished()

    def failed(self, node_row: Any, reason: str) -> None:
        """The node will not reach its goal; the stack neither."""
        self.update_node(node_row.node_id, status=NodeStatus.FAILED, status_reason=reason)
        self.set(failed=self.value("failed") + 1, progressed_at=self.tx.now)
        self.event("node.failed", node_row, reason=reason)
        self.fail(f"{node_row.name}: {reason}")

    def begin_create(self, node_row: Any) -> None:
        """Everything that the node requires is there: make its job."""
        if self.value("halted") or self.deleting:
            return
        try:
            properties = self._resolved(node_row)
        except InvalidInput as error:
            self.failed(node_row, error.message)
            return
        self._new_job(node_row, Action.CREATE, properties)

    def begin_deletes(self, rows: Iterable[Any]) -> None:
        """Nothing requires these nodes any more: delete them, those that were never begun at once."""
        waiting = list(rows)
        while waiting:
            one = waiting.pop()
            if self.value("halted"):
                return
            if one.resource_id or self._begun(one.node_id):
                self._new_job(one, Action.DELETE, {})
            else:
                waiting.extend(self._gone(one))
        self.end_if_finished()

    def deleted(self, node_row: Any) -> None:
        """The node's resource is gone: what it required may follow."""
        self.begin_deletes(self._gone(node_row))

    def turn_to_delete(self, node_row: Any) -> None:
        """A create that was under way when the deletion began has ended: now the node takes part in it."""
        self.update_node(node_row.node_id, action=Action.DELETE, status=NodeStatus.WAITING)
        if not node_row.unmet:
            fresh = self.node(node_row.node_id)
            self.begin_deletes([fresh])

    def _gone(self, node_row: Any) -> list[sa.Row]:
        self.update_node(
            node_row.node_id, status=NodeStatus.DELETED, status_reason="", completed_at=self.tx.now, drift=None
        )
        self.set(finished=self.value("finished") + 1, progressed_at=self.tx.now)
        self.event("node.deleted", node_row)
        return self._released(edge.c.requires, edge.c.node_id, node_row.node_id)

    def _released(self, following: sa.Column, finished: sa.Column, node_id: str) -> list[sa.Row]:
        """Lower the counters of what waits for ``node_id``; the nodes that wait for nothing more."""
        ids = [row[0] for row in self.tx.execute(sa.select(following).where(finished == node_id))]
        if not ids:
            return []
        self.tx.execute(sa.update(node).where(node.c.node_id.in_(ids)).values(unmet=node.c.unmet - 1))
        return list(self.tx.execute(
            sa.select(node).where(node.c.node_id.in_(ids), node.c.unmet == 0, node.c.status == NodeStatus.WAITING,
                                  node.c.action == self.value("action"))
            .order_by(node.c.position)
        ))

    def _begun(self, node_id: str) -> bool:
        """Whether a worker ever had the node's create: then the cloud may have a copy, whatever came back."""
        return bool(self.tx.execute(
            sa.select(sa.func.max(job.c.attempt)).where(job.c.node_id == node_id, job.c.action == Action.CREATE)
        ).scalar())

    def _resolved(self, node_row: Any) -> dict[str, Any]:
        required = self.tx.execute(
            sa.select(node).join(edge, edge.c.requires == node.c.node_id).where(edge.c.node_id == node_row.node_id)
        )
        facts = {row.name: Facts(row.resource_id, decode(row.attributes)) for row in required}
        properties = resolve(
            decode(node_row.properties), f"resources.{node_row.name}.properties", parameters_of(self.row), facts
        )
        return properties

    def _new_job(self, node_row: Any, action: Action, properties: dict[str, Any]) -> None:
        job_id = str(uuid.uuid4())
        self.tx.execute(sa.insert(job).values(
            job_id=job_id, stack_id=self.stack_id, node_id=node_row.node_id, action=action, type=node_row.type,
            status=JobStatus.READY, available_at=self.tx.now, attempt=0, failures=0, properties=encode(properties),
            resource_id=node_row.resource_id, created_at=self.tx.now,
        ))
        self.update_node(
            node_row.node_id, job_id=job_id, action=action, status=NodeStatus.SCHEDULED, status_reason="",
            scheduled_at=self.tx.now,
        )
        due.schedule(self.tx, JOB_DEADLINE, job_id, self.tx.now + self.tx.settings.node_timeout)
        self.set(progressed_at=self.tx.now)
        self.event("node.scheduled", node_row, reason=action.value)
        self.tx.touch("job")


def schedule_events(tx: Transaction, stack_id: str) -> None:
    """Have the stack's old events forgotten, now and then, as long as it is there."""
    due.schedule(tx, STACK_EVENTS, stack_id, tx.now + min(EVENTS_INTERVAL, tx.settings.retention))


def parameters_of(row: Any) -> dict[str, Any]:
    """The parameters of a stack's row with the pseudo parameters."""
    return decode(row.parameters) | {
        "OS::stack_name": row.name, "OS::stack_id": row.stack_id, "OS::project_id": row.project_id or "",
    }

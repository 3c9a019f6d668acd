"""Stacks whose rows tests write by hand, for what works on rows."""
from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import sqlalchemy as sa

from obsvc.engine.database.store import Store, Transaction
from obsvc.engine.schema.stacks import JobStatus, Phase, due, edge, goal, job, node, stack
from obsvc.engine.stacks.updating import NOTHING
from obsvc.engine_client.jobs import Action
from obsvc.engine_client.stacks import NodeStatus, StackAction, StackStatus
from obsvc.process.clock import ManualClock
from tests.support.engine_store import new_store

STACK = "stack-1"


class StackRows:
    """One stack in a store of its own, in virtual time."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store: Store = new_store(clock=self.clock)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """A transaction that is committed at the end of the block."""
        with self.store.engine.begin() as connection:
            yield Transaction(connection, self.clock.time(), self.store)

    def add_stack(self, stack_id: str = STACK, **columns) -> str:
        now = self.clock.time()
        values = {
            "stack_id": stack_id, "name": stack_id, "project_key": "", "live_name": stack_id,
            "status": StackStatus.CREATE_IN_PROGRESS, "status_reason": "", "action": StackAction.CREATE,
            "traversal": "t", "created_at": now, "updated_at": now, "on_drift": "report", "template": NOTHING,
            "parameters": "{}", "total": 0, "finished": 0, "failed": 0, "drifted": 0, "halted": False, "goal": 1,
            "phase": Phase.FORWARD, "leftover": 0, "progressed_at": now, "last_event_id": 0, "disable_rollback": True,
        }
        with self.transaction() as tx:
            tx.execute(sa.insert(stack).values(**{**values, **columns}))
            tx.execute(sa.insert(goal).values(
                stack_id=stack_id, version=1, template=NOTHING, parameters="{}", made_at=now))
        return stack_id

    def add_node(self, node_id: str, *, stack_id: str = STACK, **columns) -> str:
        values = {
            "node_id": node_id, "stack_id": stack_id, "position": 0, "name": node_id, "slot": node_id, "type": "T",
            "properties": "{}", "action": Action.CREATE, "status": NodeStatus.WAITING, "status_reason": "",
            "unmet": 0, "marker": f"obsvc:{node_id}:1", "attributes": "{}",
        }
        with self.transaction() as tx:
            tx.execute(sa.insert(node).values(**{**values, **columns}))
        return node_id

    def add_job(self, job_id: str, node_id: str, *, stack_id: str = STACK, **columns) -> str:
        now = self.clock.time()
        values = {
            "job_id": job_id, "stack_id": stack_id, "node_id": node_id, "action": Action.CREATE, "type": "T",
            "status": JobStatus.READY, "available_at": now, "attempt": 0, "failures": 0, "properties": "{}",
            "created_at": now,
        }
        with self.transaction() as tx:
            tx.execute(sa.insert(job).values(**{**values, **columns}))
        return job_id

    def add_edges(self, edges: Mapping[tuple[str, str], tuple[bool, bool]]) -> None:
        """edges: (node, required) → (wanted, actual)."""
        with self.transaction() as tx:
            tx.execute(sa.insert(edge), [
                {"node_id": node_id, "requires": required, "wanted": wanted, "actual": actual}
                for (node_id, required), (wanted, actual) in edges.items()])

    def edges(self) -> dict[tuple[str, str], tuple[bool, bool]]:
        with self.transaction() as tx:
            return {(row.node_id, row.requires): (row.wanted, row.actual) for row in tx.execute(sa.select(edge))}

    def due(self, kind: str) -> dict[str, float]:
        """When each key of ``kind`` is due, in seconds from now."""
        with self.transaction() as tx:
            return {row.key: row.at - tx.now for row in tx.execute(sa.select(due).where(due.c.kind == kind))}

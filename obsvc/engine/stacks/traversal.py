"""One attempt to bring a stack to its goal: what starts, what it costs, what it says.

A :class:`Traversal` is made with the stack's row locked and lives within one transaction.  Everything that moves a
node goes through it: counters move with the node, so a finished node costs O(its dependents); events are numbered
without a gap, since the lock orders them.  Nodes need no lock of their own: the stack's guards them.

Partition locks come before stack locks: whoever starts or stops observations in the same transaction does that before
the stack is locked.  (A node's own ref, when its partition is locked already, is the exception.)

A traversal goes forward first: each node of the goal is created, changed, replaced or kept, after what it requires
(edges that are *wanted*).  Only when all of that is done does an update delete what is left over, in the reverse
order of the edges under which it was made (*actual*); so nothing goes that is in use.  A deletion is that second
part alone, for everything.

A new traversal supersedes the one before at any moment.  What a worker or the cloud is still busy with then is
*carried*: how it ends is taken in as a fact about that copy, never as progress; only then does the node take part in
the new traversal (:meth:`Traversal.rejoin`).
"""
from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Unpack

import sqlalchemy as sa

from obsvc.engine.database import due
from obsvc.engine.database.rows import chunks, to_json
from obsvc.engine.database.store import Transaction
from obsvc.engine.observations.judging import failed as has_failed
from obsvc.engine.observations.records import load_head
from obsvc.engine.schema import core
from obsvc.engine.schema.stacks import Phase, edge, job, node
from obsvc.engine.stacks import edges, marker_sweeps
from obsvc.engine.stacks.locked_stack import NODE_RETAINED, LockedStack
from obsvc.engine.stacks.rows import NodeChanges, NodeRow, existing_node, from_json, node_rows, parameters_of
from obsvc.engine.stacks.stack_jobs import NewJob, begin_jobs
from obsvc.engine.templates.functions import Facts
from obsvc.engine.templates.hot import resolve
from obsvc.engine_client.jobs import Action
from obsvc.engine_client.stacks import NodeStatus
from obsvc.exceptions import InvalidInput
from obsvc.model import Condition


def obsolete_name(row: NodeRow) -> str:
    """What a copy is called that is no part of the goal: the goal's copy has the name itself."""
    return f"{row.slot[:220]} (old {row.node_id[:8]})"


def broken_nodes(tx: Transaction, rows: Iterable[NodeRow]) -> set[str]:
    """The nodes among these whose resource is gone, or in error, as far as is known."""
    node_ids = {core.ref_key(row.ref): row.node_id for row in rows if row.ref is not None}
    broken = set()
    for chunk in chunks(list(node_ids)):
        for row in tx.execute(sa.select(core.resource).where(core.resource.c.ref_key.in_(chunk))):
            snapshot = load_head(row.snapshot)
            if snapshot is not None and has_failed(snapshot, Condition.ACTIVE):
                broken.add(node_ids[row.ref_key])
    return broken


def _resolved(row: NodeRow, parameters: dict[str, Any], facts: dict[str, Facts]) -> dict[str, Any]:
    """The node's properties without functions; InvalidInput where one can't be carried out."""
    properties: dict[str, Any] = resolve(
        from_json(row.properties), f"resources.{row.name}.properties", parameters, facts)
    return properties


class Traversal(LockedStack):
    """A locked stack with its nodes, as :func:`obsvc.engine.stacks.locking.locked` gives it."""

    @property
    def cleaning(self) -> bool:
        """Whether what is under way are deletions alone."""
        return self.deleting or self.row.phase is Phase.CLEANUP

    def update_node(self, node_id: str, **values: Unpack[NodeChanges]) -> None:
        self.tx.execute(sa.update(node).where(node.c.node_id == node_id).values(**values))

    def node(self, node_id: str) -> NodeRow:
        """The node's row as it is now; it must be one of this stack's."""
        return existing_node(self.tx, node_id)

    # what ends

    def node_completed(self, row: NodeRow, attributes: dict[str, Any]) -> None:
        """The node's goal is met: its dependents may follow."""
        if row.carried:
            self.update_node(row.node_id, completed_at=self.tx.now, attributes=to_json(attributes))
            self.rejoin(row)
            return
        self.update_node(
            row.node_id, status=NodeStatus.COMPLETE, status_reason="", completed_at=self.tx.now,
            attributes=to_json(attributes), goal=self.row.goal,
        )
        self.event("node.complete", row)
        self.begin_forward(self._done([row.node_id]))

    def node_failed(self, row: NodeRow, reason: str) -> None:
        """The node will not reach its goal; the stack neither."""
        if row.carried:
            self.update_node(row.node_id, doubtful=True)
            self.event("node.ended", row, reason=reason)
            self.rejoin(row)
            return
        self.update_node(row.node_id, status=NodeStatus.FAILED, status_reason=reason, doubtful=True)
        self.set(failed=self.row.failed + 1, progressed_at=self.tx.now)
        self.event("node.failed", row, reason=reason)
        self.fail(f"{row.name}: {reason}")

    def build_failed(self, row: NodeRow, reason: str) -> None:
        """The cloud began to make the resource, and it failed: another copy is made, or the node has failed.

        The copy goes at once, beside the traversal, since nothing was built on it.
        """
        again = row.action is Action.CREATE and not (row.carried or self.row.halted)
        if not again or row.builds >= self.tx.settings.build_attempts:
            builds = f" (after {row.builds} builds)" if again and row.builds > 1 else ""
            self.node_failed(row, reason + builds)
            return
        if self.row.phase is Phase.FIRST:
            self.set(phase=Phase.FORWARD)
        self.event("node.retry", row, reason=reason)
        copy = self.replace(row, reason, builds=row.builds + 1)
        self.update_node(row.node_id, carried=True)
        begin_jobs(self, [NewJob(self.node(row.node_id), Action.DELETE)])
        self.begin_forward([copy])

    def node_deleted(self, row: NodeRow) -> None:
        """The node's resource is gone: what it required may follow."""
        self.begin_deletes(self._gone(row))

    def rejoin(self, row: NodeRow) -> None:
        """What was under way when this traversal began has ended: the node takes part in it from now on."""
        if self.deleting or (row.obsolete and self.cleaning):
            self.update_node(row.node_id, carried=False, action=Action.DELETE, status=NodeStatus.WAITING)
            if not row.unmet:
                self.begin_deletes([self.node(row.node_id)])
        elif row.obsolete:
            self.update_node(row.node_id, carried=False, status=NodeStatus.COMPLETE)
        else:
            self.update_node(row.node_id, carried=False, action=Action.UPDATE, status=NodeStatus.WAITING)
            if not row.unmet:
                self.begin_forward([self.node(row.node_id)])

    def end_if_finished(self) -> None:
        """Forward done: clean up; all done: the stack is complete."""
        if not self.in_progress:
            return
        row = self.row
        if not self.cleaning and row.leftover and row.finished == row.total - row.leftover:
            self._begin_cleanup()
        elif row.finished >= row.total:
            self.end()

    # forward

    def begin_forward(self, rows: Iterable[NodeRow]) -> None:
        """Everything that these nodes require is there: create, change, replace or keep each."""
        ready = list(rows)
        while ready and not (self.row.halted or self.deleting):
            ready = self._step_forward(ready)
        self.end_if_finished()

    def _step_forward(self, rows: Sequence[NodeRow]) -> list[NodeRow]:
        """One step of :meth:`begin_forward`, for all of these at once; what is to begin next."""
        facts = edges.required_facts(self.tx, [row.node_id for row in rows])
        broken = broken_nodes(self.tx, rows)
        parameters = parameters_of(self.row)
        new_jobs: list[NewJob] = []
        kept: list[str] = []
        following: list[NodeRow] = []
        for row in rows:
            try:
                properties = _resolved(row, parameters, facts[row.node_id])
            except InvalidInput as error:
                self.node_failed(row, error.message)
                continue
            if row.action is Action.CREATE:
                new_jobs.append(NewJob(row, Action.CREATE, properties, failures=row.builds - 1))
            elif row.completed_at is None or row.resource_id is None:
                following.append(self.replace(row, "it was never complete"))
            elif row.node_id in broken:
                following.append(self.replace(row, "it is broken"))
            elif not row.doubtful and row.applied is not None and properties == from_json(row.applied):
                kept.append(row.node_id)
            else:
                new_jobs.append(NewJob(row, Action.UPDATE, properties))
        if self.row.phase is not Phase.FIRST:
            edges.make_actual(self.tx, [new.node.node_id for new in new_jobs])
        begin_jobs(self, new_jobs)
        for chunk in chunks(kept):
            self.tx.execute(sa.update(node).where(node.c.node_id.in_(chunk)).values(
                status=NodeStatus.COMPLETE, goal=self.row.goal))
        return following + (self._done(kept) if kept else [])

    def _done(self, node_ids: Sequence[str]) -> list[NodeRow]:
        """These nodes are as the goal has them; the nodes that wait for nothing more."""
        if self.row.phase is not Phase.FIRST:
            edges.drop_unwanted(self.tx, node_ids)
            edges.make_actual(self.tx, node_ids)
        self.set(finished=self.row.finished + len(node_ids), progressed_at=self.tx.now)
        return self._release(edges.dependents(self.tx, node_ids))

    def _release(self, waiting: Counter[str]) -> list[NodeRow]:
        """Lower what each of these nodes waits for by its count; the nodes that wait for nothing more."""
        by_count: dict[int, list[str]] = {}
        for node_id, count in waiting.items():
            by_count.setdefault(count, []).append(node_id)
        of_phase = node.c.action == Action.DELETE if self.cleaning else node.c.action != Action.DELETE
        ready: list[NodeRow] = []
        for count, node_ids in by_count.items():
            for chunk in chunks(node_ids):
                lower = sa.update(node).where(node.c.node_id.in_(chunk)).values(unmet=node.c.unmet - count)
                if self.cleaning and not self.deleting:
                    lower = lower.where(node.c.obsolete.is_(True))
                self.tx.execute(lower)
                ready += node_rows(self.tx, sa.select(node).where(
                    node.c.node_id.in_(chunk), node.c.unmet == 0, node.c.status == NodeStatus.WAITING, of_phase))
        return sorted(ready, key=lambda row: row.position)

    def replace(self, row: NodeRow, why: str, *, builds: int = 1) -> NodeRow:
        """Leave this copy to the cleanup; the row of a new one in its place, which waits for nothing."""
        new_id = str(uuid.uuid4())
        self._retire(row)
        self.tx.execute(sa.insert(node).values(
            node_id=new_id, stack_id=self.stack_id, position=row.position, name=row.slot, slot=row.slot, type=row.type,
            properties=row.properties, action=Action.CREATE, status=NodeStatus.WAITING, retain=row.retain,
            builds=builds, status_reason="", unmet=0, marker=f"obsvc:{new_id}:1", attributes="{}", obsolete=False,
        ))
        edges.hand_over(self.tx, row.node_id, new_id)
        self.event("node.replaced", row, reason=why)
        return self.node(new_id)

    def _retire(self, row: NodeRow) -> None:
        """This copy is no part of the goal any more."""
        self.update_node(
            row.node_id, obsolete=True, drift=None, status=NodeStatus.COMPLETE, name=obsolete_name(row),
        )
        self.set(
            leftover=self.row.leftover + 1, total=self.row.total + 1,
            drifted=self.row.drifted - (row.drift is not None),
        )

    # deletions

    def _begin_cleanup(self) -> None:
        """Everything is as the goal has it: delete what is left over."""
        self.set(phase=Phase.CLEANUP)
        self.event("stack.update.cleanup")
        leftover = (
            node.c.stack_id == self.stack_id, node.c.obsolete.is_(True), node.c.status != NodeStatus.DELETED)
        under_way = node.c.status.in_([NodeStatus.SCHEDULED, NodeStatus.OBSERVING])
        dependent = node.alias()
        users = (
            sa.select(sa.func.count()).select_from(edge.join(dependent, dependent.c.node_id == edge.c.node_id))
            .where(edge.c.requires == node.c.node_id, edge.c.actual.is_(True), dependent.c.obsolete.is_(True))
        )
        counts = self.tx.execute(
            sa.select(node.c.node_id, users.scalar_subquery().label("users")).where(*leftover)).all()
        self.set(leftover=len(counts), total=self.row.finished + len(counts))
        if not counts:
            self.end_if_finished()
            return
        self.tx.execute(
            sa.update(node).where(node.c.node_id == sa.bindparam("of_node")).values(unmet=sa.bindparam("users")),
            [{"of_node": row.node_id, "users": row.users} for row in counts],
        )
        # A deletion that an earlier traversal began is part of this one now; any other action is to end first.
        self.tx.execute(
            sa.update(node).where(*leftover, under_way, node.c.action == Action.DELETE).values(carried=False))
        self.tx.execute(
            sa.update(node).where(*leftover, ~under_way).values(status=NodeStatus.WAITING, action=Action.DELETE))
        ready = sa.select(node).where(*leftover, node.c.unmet == 0, node.c.status == NodeStatus.WAITING)
        self.begin_deletes(node_rows(self.tx, ready.order_by(node.c.position.desc())))

    def begin_deletes(self, rows: Iterable[NodeRow]) -> None:
        """Nothing requires these nodes any more: delete them, those that were never begun at once."""
        ready = list(rows)
        new_jobs: list[NewJob] = []
        while ready and not self.row.halted:
            row = ready.pop()
            if row.retain and row.completed_at is not None:
                due.schedule(self.tx, NODE_RETAINED, f"{self.stack_id}/{row.node_id}", self.tx.now)
                ready.extend(self._gone(row, "node.retained"))
            elif row.resource_id or self._create_begun(row.node_id):
                new_jobs.append(NewJob(row, Action.DELETE))
            else:
                ready.extend(self._gone(row))
        begin_jobs(self, new_jobs)
        if not ready:
            self.end_if_finished()

    def _gone(self, row: NodeRow, event: str = "node.deleted") -> list[NodeRow]:
        """There is nothing of this node any more; the nodes that are to be deleted next."""
        self.update_node(
            row.node_id, status=NodeStatus.DELETED, status_reason="", completed_at=self.tx.now, drift=None,
            carried=False,
        )
        self.set(progressed_at=self.tx.now)
        self.event(event, row)
        following: list[NodeRow] = []
        if self.cleaning:
            self.set(finished=self.row.finished + 1)
            following = self._release(edges.requirements(self.tx, [row.node_id]))
        else:  # an earlier traversal had begun it; what follows in this one's cleanup is counted then
            self.set(leftover=self.row.leftover - 1, total=self.row.total - 1)
        if row.obsolete:  # a stack that is updated for years keeps no row of each copy that it had
            marker_sweeps.forget_nodes(self.tx, [row.node_id])
        return following

    def _create_begun(self, node_id: str) -> bool:
        """Whether a worker ever had the node's create: then the cloud may have a copy, whatever came back."""
        return bool(self.tx.execute(
            sa.select(sa.func.max(job.c.attempt)).where(job.c.node_id == node_id, job.c.action == Action.CREATE)
        ).scalar())

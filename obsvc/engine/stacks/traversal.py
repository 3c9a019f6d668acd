"""One attempt to bring a stack to its goal: what starts, what it costs, what it says.

A :class:`Traversal` is made with the stack's row locked and lives within one transaction.  Everything that moves a
node goes through it: counters move with the node, so a finished node costs O(its dependents); events are numbered
without a gap, since the lock orders them.  Nodes need no lock of their own: the stack's guards them.

Partition locks come before stack locks: whoever starts or stops observations in the same transaction does that before
the stack is locked.  (A node's own ref, when its partition is locked already, is the exception.)

A traversal goes forward first: each node of the goal is created, changed, replaced or kept, after what it requires
(edges that are ``wanted``).  Only when all of that is done does an update delete what is left over, in the reverse
order of the edges under which it was made (``actual``); so nothing goes that is in use.  A deletion is that second
part alone, for everything.

A new traversal supersedes the one before at any moment.  What a worker or the cloud is still busy with then is
*carried*: how it ends is taken in as a fact about that copy, never as progress; only then does the node take part in
the new traversal (:meth:`Traversal.rejoin`).
"""
from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from obsvc.engine.database import due
from obsvc.engine.database.store import Transaction
from obsvc.engine.observations.judging import failed as has_failed
from obsvc.engine.observations.records import load_head
from obsvc.engine.schema import core
from obsvc.engine.schema.stacks import edge, job, node
from obsvc.engine.stacks import marker_sweeps
from obsvc.engine.stacks.locked_stack import (
    IN_PROGRESS,
    JOB_DEADLINE,
    JOB_LEASE,
    JOB_RETRY,
    NODE_RETAINED,
    STACK_DEADLINE,
    STACK_EVENTS,
    STACK_PROGRESS,
    STACK_RETENTION,
    JobStatus,
    LockedStack,
    decode,
    encode,
    parameters_of,
    schedule_events,
)
from obsvc.engine.stacks.new_jobs import NewJob, batches, begin_jobs, required_facts
from obsvc.engine.templates.functions import Facts
from obsvc.engine.templates.hot import resolve
from obsvc.engine_client.jobs import Action
from obsvc.engine_client.stacks import NodeStatus
from obsvc.exceptions import InvalidInput
from obsvc.model import Condition, Ref

__all__ = [
    "FIRST", "FORWARD", "CLEANUP", "IN_PROGRESS", "JOB_DEADLINE", "JOB_LEASE", "JOB_RETRY", "NODE_RETAINED",
    "STACK_DEADLINE", "STACK_EVENTS", "STACK_PROGRESS", "STACK_RETENTION", "JobStatus", "Traversal", "decode", "encode",
    "broken_nodes", "obsolete_name", "parameters_of", "schedule_events",
]

#: Words of ``stack.phase``.  first: forward, of a stack that had nothing before: its edges are actual already.
FIRST = "first"
FORWARD = "forward"
CLEANUP = "cleanup"


def obsolete_name(node_row: Any) -> str:
    """What a copy is called that is no part of the goal: the goal's copy has the name itself."""
    return f"{node_row.slot[:220]} (old {node_row.node_id[:8]})"


def broken_nodes(tx: Transaction, rows: Iterable[Any]) -> set[str]:
    """The nodes among these whose resource is gone, or in error, as far as is known."""
    keys = {
        core.ref_key(Ref(row.region, row.resource_type, row.resource_id)): row.node_id
        for row in rows if row.resource_id is not None
    }
    found = set()
    for some in batches(list(keys)):
        for row in tx.execute(sa.select(core.resource).where(core.resource.c.ref_key.in_(some))):
            snapshot = load_head(row.snapshot)
            if snapshot is not None and has_failed(snapshot, Condition.ACTIVE):
                found.add(keys[row.ref_key])
    return found


class Traversal(LockedStack):
    """A locked stack with its nodes, as :func:`obsvc.engine.stacks.locking.locked` gives it."""

    @property
    def cleaning(self) -> bool:
        """Whether what is under way are deletions alone."""
        return self.deleting or self.value("phase") == CLEANUP

    def update_node(self, node_id: str, **values: Any) -> None:
        self.tx.execute(sa.update(node).where(node.c.node_id == node_id).values(**values))

    def node(self, node_id: str) -> sa.Row | None:
        return self.tx.execute(sa.select(node).where(node.c.node_id == node_id)).one_or_none()

    # what ends

    def node_completed(self, node_row: Any, attributes: dict[str, Any]) -> None:
        """The node's goal is met: its dependents may follow."""
        if node_row.carried:
            self.update_node(node_row.node_id, completed_at=self.tx.now, attributes=encode(attributes))
            self.rejoin(node_row)
            return
        self.update_node(
            node_row.node_id, status=NodeStatus.COMPLETE, status_reason="", completed_at=self.tx.now,
            attributes=encode(attributes), goal=self.value("goal"),
        )
        self.event("node.complete", node_row)
        self.begin_forward(self._nodes_done([node_row.node_id]))

    def node_failed(self, node_row: Any, reason: str) -> None:
        """The node will not reach its goal; the stack neither."""
        if node_row.carried:
            self.update_node(node_row.node_id, doubtful=True)
            self.event("node.ended", node_row, reason=reason)
            self.rejoin(node_row)
            return
        self.update_node(node_row.node_id, status=NodeStatus.FAILED, status_reason=reason, doubtful=True)
        self.set(failed=self.value("failed") + 1, progressed_at=self.tx.now)
        self.event("node.failed", node_row, reason=reason)
        self.fail(f"{node_row.name}: {reason}")

    def build_failed(self, node_row: Any, reason: str) -> None:
        """The cloud began to make the resource, and it came to nothing: another copy, or the node has failed.

        The copy goes at once, beside the traversal, since nothing was built on it.
        """
        again = node_row.action == Action.CREATE and not (node_row.carried or self.value("halted"))
        if not again or node_row.builds >= self.tx.settings.build_attempts:
            made = f" (after {node_row.builds} builds)" if again and node_row.builds > 1 else ""
            self.node_failed(node_row, reason + made)
            return
        if self.value("phase") == FIRST:
            self.set(phase=FORWARD)
        self.event("node.retry", node_row, reason=reason)
        copy = self.replace(node_row, reason, builds=node_row.builds + 1)
        self.update_node(node_row.node_id, carried=True)
        begin_jobs(self, [NewJob(self.node(node_row.node_id), Action.DELETE)])
        self.begin_forward([copy])

    def rejoin(self, node_row: Any) -> None:
        """What was under way when this traversal began has ended: the node takes part in it from now on."""
        if self.deleting or (node_row.obsolete and self.cleaning):
            self.update_node(node_row.node_id, carried=False, action=Action.DELETE, status=NodeStatus.WAITING)
            if not node_row.unmet:
                self.begin_deletes([self.node(node_row.node_id)])
        elif node_row.obsolete:
            self.update_node(node_row.node_id, carried=False, status=NodeStatus.COMPLETE)
        else:
            self.update_node(node_row.node_id, carried=False, action=Action.UPDATE, status=NodeStatus.WAITING)
            if not node_row.unmet:
                self.begin_forward([self.node(node_row.node_id)])

    def end_if_finished(self) -> None:
        """Forward done: clean up; all done: the stack is complete."""
        if not self.in_progress:
            return
        finished, total = self.value("finished"), self.value("total")
        if not self.cleaning and self.value("leftover") and finished == total - self.value("leftover"):
            self._begin_cleanup()
        elif finished >= total:
            self.end()

    def _nodes_done(self, node_ids: Sequence[str]) -> list[sa.Row]:
        """These nodes are as the goal has them; the nodes that wait for nothing more."""
        if self.value("phase") != FIRST:
            for some in batches(node_ids):
                self.tx.execute(sa.delete(edge).where(edge.c.node_id.in_(some), edge.c.wanted.is_(False)))
            self._now_actual(node_ids)
        self.set(finished=self.value("finished") + len(node_ids), progressed_at=self.tx.now)
        return self._release(edge.c.node_id, edge.c.requires, node_ids)

    def _now_actual(self, node_ids: Sequence[str]) -> None:
        for some in batches(node_ids):
            self.tx.execute(
                sa.update(edge).where(edge.c.node_id.in_(some), edge.c.wanted.is_(True)).values(actual=True))

    def _release(self, following: sa.Column, finished: sa.Column, node_ids: Sequence[str]) -> list[sa.Row]:
        """Lower the counters of what waits for these nodes; the nodes that wait for nothing more."""
        counts = edge.c.actual if self.cleaning else edge.c.wanted
        waited: Counter[str] = Counter()
        for some in batches(node_ids):
            waited.update(self.tx.execute(
                sa.select(following).where(finished.in_(some), counts.is_(True))).scalars())
        by_count: dict[int, list[str]] = {}
        for node_id, count in waited.items():
            by_count.setdefault(count, []).append(node_id)
        right = node.c.action == Action.DELETE if self.cleaning else node.c.action != Action.DELETE
        ready: list[sa.Row] = []
        for count, ids in by_count.items():
            for some in batches(ids):
                concerned = node.c.node_id.in_(some)
                if self.cleaning and not self.deleting:
                    concerned &= node.c.obsolete.is_(True)
                self.tx.execute(sa.update(node).where(concerned).values(unmet=node.c.unmet - count))
                ready += self.tx.execute(sa.select(node).where(
                    node.c.node_id.in_(some), node.c.unmet == 0, node.c.status == NodeStatus.WAITING, right))
        return sorted(ready, key=lambda row: row.position)

    # forward

    def begin_forward(self, rows: Iterable[Any]) -> None:
        """Everything that these nodes require is there: create, change, replace or keep each."""
        waiting = list(rows)
        while waiting and not (self.value("halted") or self.deleting):
            waiting = self._forward(waiting)
        self.end_if_finished()

    def _forward(self, rows: Sequence[Any]) -> list[sa.Row]:
        """One step of :meth:`begin_forward`, for all of them at once; what is to begin next."""
        facts = required_facts(self.tx, [one.node_id for one in rows])
        lost = broken_nodes(self.tx, rows)
        work, kept, following = [], [], []
        for one in rows:
            try:
                properties = self._resolved(one, facts[one.node_id])
            except InvalidInput as error:
                self.node_failed(one, error.message)
                continue
            if one.action == Action.CREATE:
                work.append(NewJob(one, Action.CREATE, properties, failures=one.builds - 1))
            elif one.completed_at is None or one.resource_id is None:
                following.append(self.replace(one, "it was never complete"))
            elif one.node_id in lost:
                following.append(self.replace(one, "it is broken"))
            elif not one.doubtful and one.applied is not None and properties == decode(one.applied):
                kept.append(one.node_id)
            else:
                work.append(NewJob(one, Action.UPDATE, properties))
        if self.value("phase") != FIRST:
            self._now_actual([each.node_row.node_id for each in work])
        begin_jobs(self, work)
        for some in batches(kept):
            self.tx.execute(sa.update(node).where(node.c.node_id.in_(some)).values(
                status=NodeStatus.COMPLETE, goal=self.value("goal")))
        return following + (self._nodes_done(kept) if kept else [])

    def replace(self, node_row: Any, why: str, *, builds: int = 1) -> sa.Row:
        """Leave this copy to the cleanup; the row of a new one in its place, which waits for nothing."""
        new_id = str(uuid.uuid4())
        self.retire(node_row)
        self.tx.execute(sa.insert(node).values(
            node_id=new_id, stack_id=self.stack_id, position=node_row.position, name=node_row.slot, slot=node_row.slot,
            type=node_row.type, properties=node_row.properties, action=Action.CREATE, status=NodeStatus.WAITING,
            retain=node_row.retain, builds=builds,
            status_reason="", unmet=0, marker=f"obsvc:{new_id}:1", attributes="{}", obsolete=False,
        ))
        self._take_over_edges(node_row.node_id, new_id)
        self.event("node.replaced", node_row, reason=why)
        return self.node(new_id)

    def retire(self, node_row: Any) -> None:
        """This copy is no part of the goal any more."""
        drifted = self.value("drifted") - (node_row.drift is not None)
        self.update_node(
            node_row.node_id, obsolete=True, drift=None, status=NodeStatus.COMPLETE, name=obsolete_name(node_row),
        )
        self.set(leftover=self.value("leftover") + 1, total=self.value("total") + 1, drifted=drifted)

    def _take_over_edges(self, old: str, new: str) -> None:
        """What the goal says of the old copy is about the new one; what the old was made with stays its own."""
        wanted = self.tx.execute(
            sa.select(edge).where((edge.c.node_id == old) | (edge.c.requires == old), edge.c.wanted.is_(True))
        ).all()
        mine = (edge.c.node_id == old) | (edge.c.requires == old)
        self.tx.execute(sa.delete(edge).where(mine, edge.c.wanted.is_(True), edge.c.actual.is_(False)))
        self.tx.execute(sa.update(edge).where(mine).values(wanted=False))
        made = [
            {"node_id": new, "requires": row.requires, "wanted": True, "actual": True}
            if row.node_id == old else {"node_id": row.node_id, "requires": new, "wanted": True, "actual": False}
            for row in wanted
        ]
        if made:
            self.tx.execute(sa.insert(edge), made)

    # deletions

    def _begin_cleanup(self) -> None:
        """Everything is as the goal has it: delete what is left over."""
        self.set(phase=CLEANUP)
        self.event("stack.update.cleanup")
        mine = (
            node.c.stack_id == self.stack_id, node.c.obsolete.is_(True), node.c.status != NodeStatus.DELETED)
        under_way = node.c.status.in_([NodeStatus.SCHEDULED, NodeStatus.OBSERVING])
        dependent = node.alias()
        users = (
            sa.select(sa.func.count()).select_from(edge.join(dependent, dependent.c.node_id == edge.c.node_id))
            .where(edge.c.requires == node.c.node_id, edge.c.actual.is_(True), dependent.c.obsolete.is_(True))
        )
        counts = self.tx.execute(sa.select(node.c.node_id, users.scalar_subquery()).where(*mine)).all()
        self.set(leftover=len(counts), total=self.value("finished") + len(counts))
        if not counts:
            self.end_if_finished()
            return
        self.tx.execute(
            sa.update(node).where(node.c.node_id == sa.bindparam("which")).values(unmet=sa.bindparam("waits")),
            [{"which": node_id, "waits": count} for node_id, count in counts],
        )
        # A deletion that an earlier traversal began is part of this one now; any other action is to end first.
        self.tx.execute(sa.update(node).where(*mine, under_way, node.c.action == Action.DELETE).values(carried=False))
        self.tx.execute(sa.update(node).where(*mine, ~under_way).values(
            status=NodeStatus.WAITING.value, action=Action.DELETE.value))
        ready = sa.select(node).where(*mine, node.c.unmet == 0, node.c.status == NodeStatus.WAITING).order_by(
            node.c.position.desc())
        self.begin_deletes(self.tx.execute(ready).all())

    def begin_deletes(self, rows: Iterable[Any]) -> None:
        """Nothing requires these nodes any more: delete them, those that were never begun at once."""
        waiting = list(rows)
        work = []
        while waiting and not self.value("halted"):
            one = waiting.pop()
            if one.retain and one.completed_at is not None:
                due.schedule(self.tx, NODE_RETAINED, f"{self.stack_id}/{one.node_id}", self.tx.now)
                waiting.extend(self._gone(one, "node.retained"))
            elif one.resource_id or self.was_begun(one.node_id):
                work.append(NewJob(one, Action.DELETE))
            else:
                waiting.extend(self._gone(one))
        begin_jobs(self, work)
        if not waiting:
            self.end_if_finished()

    def node_deleted(self, node_row: Any) -> None:
        """The node's resource is gone: what it required may follow."""
        self.begin_deletes(self._gone(node_row))

    def _gone(self, node_row: Any, event: str = "node.deleted") -> list[sa.Row]:
        self.update_node(
            node_row.node_id, status=NodeStatus.DELETED, status_reason="", completed_at=self.tx.now, drift=None,
            carried=False,
        )
        self.set(progressed_at=self.tx.now)
        self.event(event, node_row)
        if self.cleaning:
            self.set(finished=self.value("finished") + 1)
            following = self._release(edge.c.requires, edge.c.node_id, [node_row.node_id])
        else:  # an earlier traversal had begun it; what follows in this one's cleanup is counted then
            self.set(leftover=self.value("leftover") - 1, total=self.value("total") - 1)
            following = []
        if node_row.obsolete:  # a stack that is updated for years keeps no row of each copy that it had
            marker_sweeps.forget_nodes(self.tx, [node_row.node_id])
        return following

    def was_begun(self, node_id: str) -> bool:
        """Whether a worker ever had the node's create: then the cloud may have a copy, whatever came back."""
        return bool(self.tx.execute(
            sa.select(sa.func.max(job.c.attempt)).where(job.c.node_id == node_id, job.c.action == Action.CREATE)
        ).scalar())

    # properties

    def _resolved(self, node_row: Any, facts: dict[str, Facts]) -> dict[str, Any]:
        parameters = parameters_of(self.row, self.value("parameters"))
        return resolve(decode(node_row.properties), f"resources.{node_row.name}.properties", parameters, facts)

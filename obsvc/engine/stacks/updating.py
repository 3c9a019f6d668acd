"""The turn of a stack to another goal, at any moment.  The stack's row is locked.

What no worker has begun is taken back.  What a worker or the cloud is busy with is carried over: its node waits for how
that ends (see :class:`.traversal.Traversal`).  Copies of the goal that are there keep their rows (and so
their resources) where the type is the same; whether each is kept, changed in place or replaced is found when what it
requires is done, and its properties can be resolved: only then is it known what a replaced resource's new id means for
those that refer to it, and what an update under way has left of the copy.
"""
from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from obsvc.engine.database.store import Transaction
from obsvc.engine.schema.stacks import edge, goal, job, node
from obsvc.engine.stacks.copies import Copy, CopyState, choose_copies
from obsvc.engine.stacks.marker_sweeps import forget_nodes
from obsvc.engine.stacks.open_jobs import withdraw_jobs
from obsvc.engine.stacks.traversal import FORWARD, Traversal, encode, obsolete_name
from obsvc.engine.templates import hot
from obsvc.engine_client.jobs import Action
from obsvc.engine_client.stacks import NodeStatus, StackAction

#: The goal of a stack that goes back to before its creation.
NOTHING = "heat_template_version: 2018-08-31\nresources: {}\n"


@dataclass(frozen=True)
class Target:
    """A goal that a stack is turned to.  version: 0 for nothing at all; its text is in the table ``goal`` else."""

    version: int
    text: str
    template: hot.Template
    values: Mapping[str, Any]


def stored_target(version: int, text: str, values: Mapping[str, Any]) -> Target:
    """A goal that was taken before."""
    if text == NOTHING:
        return Target(0, text, hot.Template("2018-08-31", "", {}, {}, {}), values)
    return Target(version, text, hot.parse(text, types=hot.ANY_TYPE), values)


def store_goal(tx: Transaction, stack_id: str, text: str, template: hot.Template, values: Mapping[str, Any]) -> Target:
    """Keep a goal as it was given, under the next version."""
    last = tx.execute(sa.select(sa.func.max(goal.c.version)).where(goal.c.stack_id == stack_id)).scalar()
    version = (last or 0) + 1
    tx.execute(sa.insert(goal).values(
        stack_id=stack_id, version=version, template=text, parameters=encode(values), made_at=tx.now))
    return Target(version, text, template, values)


def retarget(traversal: Traversal, action: StackAction, target: Target, *, prefer: int | None = None) -> None:
    """Begin to bring the stack to this goal.

    prefer: the goal that is gone back to, see :func:`obsvc.engine.stacks.copies.choose_copies`.
    """
    tx = traversal.tx
    held = withdraw_jobs(traversal)
    rows = tx.execute(sa.select(node).where(node.c.stack_id == traversal.stack_id)).all()
    copies = {one.node_id: one for one in copies_of(tx, traversal.stack_id, rows, held)}
    types = {name: resource.type for name, resource in target.template.resources.items()}
    chosen = choose_copies(types, copies.values(), prefer=prefer)
    kept = {row.slot: row for row in rows if chosen.get(row.slot) == row.node_id}
    rest = [row for row in rows if chosen.get(row.slot) != row.node_id]
    left = [row for row in rest if row.node_id in copies and copies[row.node_id].state is not CopyState.NOT_STARTED]
    gone = {row.node_id for row in rest} - {row.node_id for row in left}
    traversal.set(
        goal=target.version, template=target.text, parameters=encode(target.values), phase=FORWARD, leftover=len(left),
        drifted=sum(row.drift is not None for row in kept.values()),
    )
    traversal.begin(action, total=len(target.template.resources) + len(left), finished=0)
    forget_nodes(tx, gone)
    _retire(tx, left, held)
    ids = {name: kept[name].node_id if name in kept else str(uuid.uuid4()) for name in target.template.resources}
    _keep_nodes(tx, target.template, kept, copies, held)
    _add_nodes(traversal, target.template, {name: ids[name] for name in ids if name not in kept})
    _write_edges(traversal, target.template, ids)
    ready = sa.select(node).where(
        node.c.stack_id == traversal.stack_id, node.c.obsolete.is_(False), node.c.unmet == 0,
        node.c.status == NodeStatus.WAITING)
    traversal.begin_forward(tx.execute(ready.order_by(node.c.position)).all())


def copies_of(tx: Transaction, stack_id: str, rows: Iterable[Any], held: Iterable[str]) -> list[Copy]:
    """Every copy that there is, or may be.  held: nodes whose job a worker has, and goes on with."""
    begun = {action: set(tx.execute(
        sa.select(job.c.node_id).where(job.c.stack_id == stack_id, job.c.action == action, job.c.attempt > 0)
    ).scalars()) for action in (Action.CREATE, Action.DELETE)}
    busy = set(held)

    def state(row: Any) -> CopyState:
        if row.node_id in begun[Action.DELETE]:
            return CopyState.DELETING
        if row.completed_at is not None and row.resource_id is not None:
            return CopyState.COMPLETED
        if row.node_id in busy or row.status == NodeStatus.OBSERVING:
            return CopyState.CREATING
        return CopyState.UNCERTAIN if row.node_id in begun[Action.CREATE] else CopyState.NOT_STARTED

    return [
        Copy(row.node_id, row.slot, row.type, state(row), row.obsolete, row.goal, row.completed_at)
        for row in rows if row.status != NodeStatus.DELETED
    ]


def _retire(tx: Transaction, rows: Iterable[Any], held: set[str]) -> None:
    """These copies are no part of the goal: left to the cleanup, once what is under way has ended."""
    _execute_many(tx, sa.update(node).where(node.c.node_id == sa.bindparam("which")).values(
        obsolete=True, drift=None, name=sa.bindparam("called"), status=sa.bindparam("becomes"),
        carried=sa.bindparam("carries")),
        ({"which": row.node_id, "called": obsolete_name(row), "carries": goes_on,
          "becomes": row.status if goes_on else NodeStatus.COMPLETE.value}
         for row in rows
         for goes_on in [row.node_id in held or (
             row.action == Action.DELETE and row.status == NodeStatus.OBSERVING)]))


def _keep_nodes(
    tx: Transaction, template: hot.Template, kept: Mapping[str, Any], copies: Mapping[str, Copy], held: set[str]
) -> None:
    """These copies are the goal's: each takes part when what it requires is done, and itself is at rest."""
    values = []
    for position, (name, wanted) in enumerate(template.resources.items()):
        if name not in kept:
            continue
        row = kept[name]
        goes_on = row.node_id in held or row.status == NodeStatus.OBSERVING
        begun = copies[row.node_id].state is not CopyState.NOT_STARTED
        values.append({
            "which": row.node_id, "new_name": name, "new_position": position,
            "new_properties": encode(wanted.properties), "new_retain": wanted.retain,
            "new_unmet": len(wanted.requires), "new_carried": goes_on,
            "new_status": row.status if goes_on else NodeStatus.WAITING.value,
            "new_action": row.action if goes_on else (Action.UPDATE if begun else Action.CREATE).value,
        })
    names = ("name", "position", "properties", "retain", "unmet", "carried", "status", "action")
    _execute_many(tx, sa.update(node).where(node.c.node_id == sa.bindparam("which")).values(
        obsolete=False, status_reason="", **{name: sa.bindparam(f"new_{name}") for name in names}), values)


def _add_nodes(traversal: Traversal, template: hot.Template, ids: Mapping[str, str]) -> None:
    _execute_many(traversal.tx, sa.insert(node), node_values(traversal.stack_id, template, ids))


def node_values(stack_id: str, template: hot.Template, ids: Mapping[str, str]) -> list[dict[str, Any]]:
    """Rows of copies that are to be created, for the slots of ``ids``."""
    return [
        {
            "node_id": ids[name], "stack_id": stack_id, "position": position, "name": name, "slot": name,
            "type": wanted.type, "properties": encode(wanted.properties), "retain": wanted.retain,
            "action": Action.CREATE.value, "status": NodeStatus.WAITING.value, "status_reason": "",
            "unmet": len(wanted.requires), "marker": f"obsvc:{ids[name]}:1", "attributes": "{}", "obsolete": False,
        }
        for position, (name, wanted) in enumerate(template.resources.items()) if name in ids
    ]


def _write_edges(traversal: Traversal, template: hot.Template, ids: Mapping[str, str]) -> None:
    """What the goal wants beside what the copies were made with."""
    tx = traversal.tx
    mine = edge.c.node_id.in_(sa.select(node.c.node_id).where(node.c.stack_id == traversal.stack_id))
    tx.execute(sa.delete(edge).where(mine, edge.c.actual.is_(False)))
    tx.execute(sa.update(edge).where(mine).values(wanted=False))
    there = {tuple(row) for row in tx.execute(sa.select(edge.c.node_id, edge.c.requires).where(mine))}
    wanted = [
        (ids[name], ids[other]) for name, one in template.resources.items() for other in one.requires
    ]
    _execute_many(tx, sa.update(edge).where(
        edge.c.node_id == sa.bindparam("one"), edge.c.requires == sa.bindparam("other")).values(wanted=True),
        ({"one": one, "other": other} for one, other in wanted if (one, other) in there))
    _execute_many(tx, sa.insert(edge), (
        {"node_id": one, "requires": other, "wanted": True, "actual": False}
        for one, other in wanted if (one, other) not in there))


def _execute_many(tx: Transaction, statement: Any, parameters: Iterable[dict[str, Any]]) -> None:
    rows = list(parameters)
    if rows:
        tx.execute(statement, rows)

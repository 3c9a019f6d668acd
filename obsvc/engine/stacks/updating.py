"""How a stack is given another goal, at any moment.  The stack's row is locked.

Jobs that no worker has begun are withdrawn.  What a worker or the cloud is busy with is carried over: its node waits
for how that ends (see :class:`.traversal.Traversal`).  Copies of the goal that are there keep their rows (and so
their resources) where the type is the same; whether each is kept, changed in place or replaced is found when what it
requires is done, and its properties can be resolved: only then is it known what a replaced resource's new id means for
those that refer to it, and what an update under way has left of the copy.
"""
from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from obsvc.engine.database.rows import to_json
from obsvc.engine.database.store import Transaction
from obsvc.engine.schema.stacks import Phase, goal, job, node
from obsvc.engine.stacks.copies import Copy, CopyState, choose_copies
from obsvc.engine.stacks.edges import write_goal_edges
from obsvc.engine.stacks.marker_sweeps import forget_nodes
from obsvc.engine.stacks.rows import NodeRow, node_rows
from obsvc.engine.stacks.stack_jobs import withdraw_jobs
from obsvc.engine.stacks.traversal import Traversal, obsolete_name
from obsvc.engine.templates import hot
from obsvc.engine_client.jobs import Action
from obsvc.engine_client.stacks import NodeStatus, StackAction

#: The goal of a stack that is rolled back to before its creation.
NOTHING = "heat_template_version: 2018-08-31\nresources: {}\n"


@dataclass(frozen=True)
class Target:
    """A goal for a traversal.  version: of the goal as it is stored; 0 for nothing at all, which is not stored."""

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
    """Store a goal as it was given, under the next version."""
    last = tx.execute(sa.select(sa.func.max(goal.c.version)).where(goal.c.stack_id == stack_id)).scalar()
    version = (last or 0) + 1
    tx.execute(sa.insert(goal).values(
        stack_id=stack_id, version=version, template=text, parameters=to_json(values), made_at=tx.now))
    return Target(version, text, template, values)


def retarget(traversal: Traversal, action: StackAction, target: Target, *, prefer: int | None = None) -> None:
    """Begin to bring the stack to this goal.

    prefer: the goal of a rollback, see :func:`obsvc.engine.stacks.copies.choose_copies`.
    """
    tx, resources = traversal.tx, target.template.resources
    busy = withdraw_jobs(traversal)
    rows = node_rows(tx, sa.select(node).where(node.c.stack_id == traversal.stack_id))
    copies = {copy.node_id: copy for copy in copies_of(tx, traversal.stack_id, rows, busy)}
    chosen = choose_copies({name: resource.type for name, resource in resources.items()}, copies.values(),
                           prefer=prefer)
    kept = {row.slot: row for row in rows if chosen.get(row.slot) == row.node_id}
    left_over: list[NodeRow] = []
    forgotten: list[NodeRow] = []
    for row in rows:
        if chosen.get(row.slot) != row.node_id:
            begun = row.node_id in copies and copies[row.node_id].state is not CopyState.NOT_STARTED
            (left_over if begun else forgotten).append(row)
    traversal.set(
        goal=target.version, template=target.text, parameters=to_json(target.values), phase=Phase.FORWARD,
        leftover=len(left_over), drifted=sum(row.drift is not None for row in kept.values()),
    )
    traversal.begin(action, total=len(resources) + len(left_over), finished=0)
    forget_nodes(tx, {row.node_id for row in forgotten})
    _retire_nodes(tx, left_over, busy)
    ids = {name: kept[name].node_id if name in kept else str(uuid.uuid4()) for name in resources}
    _keep_nodes(tx, target.template, kept, copies, busy)
    add_nodes(tx, traversal.stack_id, target.template, {name: ids[name] for name in ids if name not in kept})
    write_goal_edges(tx, traversal.stack_id, (
        (ids[name], ids[required]) for name, resource in resources.items() for required in resource.requires))
    ready = sa.select(node).where(
        node.c.stack_id == traversal.stack_id, node.c.obsolete.is_(False), node.c.unmet == 0,
        node.c.status == NodeStatus.WAITING)
    traversal.begin_forward(node_rows(tx, ready.order_by(node.c.position)))


def copies_of(tx: Transaction, stack_id: str, rows: Iterable[NodeRow], busy: Collection[str]) -> list[Copy]:
    """Every copy that there is, or may be.  busy: nodes whose job a worker has, and goes on with."""
    begun = {action: set(tx.execute(
        sa.select(job.c.node_id).where(job.c.stack_id == stack_id, job.c.action == action, job.c.attempt > 0)
    ).scalars()) for action in (Action.CREATE, Action.DELETE)}

    def state(row: NodeRow) -> CopyState:
        if row.node_id in begun[Action.DELETE]:
            return CopyState.DELETING
        if row.completed_at is not None and row.resource_id is not None:
            return CopyState.COMPLETED
        if row.node_id in busy or row.status is NodeStatus.OBSERVING:
            return CopyState.CREATING
        return CopyState.UNCERTAIN if row.node_id in begun[Action.CREATE] else CopyState.NOT_STARTED

    return [
        Copy(row.node_id, row.slot, row.type, state(row), row.obsolete, row.goal, row.completed_at)
        for row in rows if row.status is not NodeStatus.DELETED
    ]


def _retire_nodes(tx: Transaction, rows: Iterable[NodeRow], busy: Collection[str]) -> None:
    """These copies are no part of the goal: left to the cleanup, once what is under way has ended."""
    values = []
    for row in rows:
        goes_on = row.node_id in busy or row.deletion_under_way
        values.append({
            "of_node": row.node_id, "new_name": obsolete_name(row), "new_carried": goes_on,
            "new_status": row.status if goes_on else NodeStatus.COMPLETE,
        })
    _execute_many(tx, sa.update(node).where(node.c.node_id == sa.bindparam("of_node")).values(
        obsolete=True, drift=None,
        **{name: sa.bindparam(f"new_{name}") for name in ("name", "status", "carried")}), values)


def _keep_nodes(
    tx: Transaction, template: hot.Template, kept: Mapping[str, NodeRow], copies: Mapping[str, Copy],
    busy: Collection[str],
) -> None:
    """These copies are the goal's: each takes part when what it requires is done, and itself is at rest."""
    values = []
    for position, (name, wanted) in enumerate(template.resources.items()):
        if name not in kept:
            continue
        row = kept[name]
        goes_on = row.node_id in busy or row.status is NodeStatus.OBSERVING
        begun = copies[row.node_id].state is not CopyState.NOT_STARTED
        values.append({
            "of_node": row.node_id, "new_name": name, "new_position": position,
            "new_properties": to_json(wanted.properties), "new_retain": wanted.retain,
            "new_unmet": len(wanted.requires), "new_carried": goes_on,
            "new_status": row.status if goes_on else NodeStatus.WAITING,
            "new_action": row.action if goes_on else (Action.UPDATE if begun else Action.CREATE),
        })
    names = ("name", "position", "properties", "retain", "unmet", "carried", "status", "action")
    _execute_many(tx, sa.update(node).where(node.c.node_id == sa.bindparam("of_node")).values(
        obsolete=False, status_reason="", **{name: sa.bindparam(f"new_{name}") for name in names}), values)


def add_nodes(tx: Transaction, stack_id: str, template: hot.Template, ids: Mapping[str, str]) -> None:
    """Rows of copies that are to be created, for the slots of ``ids``."""
    _execute_many(tx, sa.insert(node), [
        {
            "node_id": ids[name], "stack_id": stack_id, "position": position, "name": name, "slot": name,
            "type": wanted.type, "properties": to_json(wanted.properties), "retain": wanted.retain,
            "action": Action.CREATE, "status": NodeStatus.WAITING, "status_reason": "",
            "unmet": len(wanted.requires), "marker": f"obsvc:{ids[name]}:1", "attributes": "{}", "obsolete": False,
        }
        for position, (name, wanted) in enumerate(template.resources.items()) if name in ids
    ])


def _execute_many(tx: Transaction, statement: sa.Insert | sa.Update, rows: list[dict[str, Any]]) -> None:
    if rows:
        tx.execute(statement, rows)

"""The turn of a stack to another goal.  The stack's row is locked, and nothing of the stack is under way.

Nodes of the goal that are there keep their rows (and so their resources) where the type is the same; whether each is
kept, changed in place or replaced is found when what it requires is done, and its properties can be resolved: only
then is it known what a replaced resource's new id means for those that refer to it.
"""
from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from obsvc.engine import template as hot
from obsvc.engine.schema.stacks import edge, goal, job, node
from obsvc.engine.store import Transaction
from obsvc.engine.traversal import FORWARD, Traversal, encode
from obsvc.engine_client.jobs import Action
from obsvc.engine_client.stacks import NodeStatus, StackStatus
from obsvc.exceptions import Conflict

_DELETED = (StackStatus.DELETE_IN_PROGRESS, StackStatus.DELETE_FAILED, StackStatus.DELETE_COMPLETE)


def check_updatable(traversal: Traversal) -> None:
    """Raise Conflict for a stack that is being deleted, or of which something is under way."""
    status = traversal.value("status")
    if status in _DELETED:
        raise Conflict(f"stack {traversal.row.name!r} is {status}: expected one that lives; create it anew")
    busy = traversal.tx.execute(sa.select(node.c.name).where(
        node.c.stack_id == traversal.stack_id,
        node.c.status.in_([NodeStatus.SCHEDULED, NodeStatus.OBSERVING])).order_by(node.c.position)
    ).scalars().all()
    if traversal.in_progress or busy:
        raise Conflict(
            f"stack {traversal.row.name!r} is {status}, under way: {', '.join(busy[:5]) or 'nothing'}; expected a "
            "stack at rest: wait until it has ended (obsvc stack show), then update it; or delete it"
        )


def start_update(traversal: Traversal, text: str, template: hot.Template, values: Mapping[str, Any]) -> None:
    """Begin to bring the stack to this goal; the caller saves the traversal."""
    tx = traversal.tx
    version = traversal.value("goal") + 1
    record_goal(tx, traversal.stack_id, version, text, encode(values))
    traversal.set(goal=version, template=text, parameters=encode(values), phase=FORWARD)
    rows = tx.execute(sa.select(node).where(node.c.stack_id == traversal.stack_id)).all()
    left = sum(row.obsolete for row in rows)
    traversal.begin(Action.UPDATE, total=len(template.resources) + left, finished=0)
    traversal.set(leftover=left)
    begun = _begun(tx, traversal.stack_id)
    kept = {}
    for row in rows:
        if row.obsolete:
            continue
        if _usable(row, template, begun):
            kept[row.name] = row
        else:
            traversal.retire(row)
    ids = {name: kept[name].node_id if name in kept else str(uuid.uuid4()) for name in template.resources}
    _write_nodes(traversal, template, ids, kept, begun)
    _write_edges(traversal, template, ids)
    ready = sa.select(node).where(
        node.c.stack_id == traversal.stack_id, node.c.obsolete.is_(False), node.c.unmet == 0)
    traversal.begin_forward(tx.execute(ready.order_by(node.c.position)).all())


def record_goal(tx: Transaction, stack_id: str, version: int, text: str, parameters: str) -> None:
    """Keep a goal as it was given."""
    tx.execute(sa.insert(goal).values(
        stack_id=stack_id, version=version, template=text, parameters=parameters, made_at=tx.now))


def _begun(tx: Transaction, stack_id: str) -> set[str]:
    """Nodes whose create a worker once had."""
    return set(tx.execute(
        sa.select(job.c.node_id).where(job.c.stack_id == stack_id, job.c.action == Action.CREATE, job.c.attempt > 0)
    ).scalars())


def _usable(row: Any, template: hot.Template, begun: set[str]) -> bool:
    """Whether the goal can be reached with this row: its resource was once complete, or there is none yet."""
    wanted = template.resources.get(row.name)
    if wanted is None or wanted.type != row.type:
        return False
    return (row.completed_at is not None and row.resource_id is not None) or row.node_id not in begun


def _write_nodes(
    traversal: Traversal, template: hot.Template, ids: Mapping[str, str], kept: Mapping[str, Any], begun: set[str]
) -> None:
    tx = traversal.tx
    old, new = [], []
    for position, (name, wanted) in enumerate(template.resources.items()):
        values = {
            "position": position, "properties": encode(wanted.properties), "status": NodeStatus.WAITING.value,
            "status_reason": "", "unmet": len(wanted.requires),
            "action": (Action.UPDATE if name in kept and ids[name] in begun else Action.CREATE).value,
        }
        if name in kept:
            old.append({f"new_{key}": value for key, value in values.items()} | {"which": ids[name]})
        else:
            new.append(values | {
                "node_id": ids[name], "stack_id": traversal.stack_id, "name": name, "type": wanted.type,
                "marker": f"obsvc:{ids[name]}:1", "attributes": "{}", "obsolete": False,
            })
    if old:
        names = [key.removeprefix("new_") for key in old[0] if key != "which"]
        tx.execute(
            sa.update(node).where(node.c.node_id == sa.bindparam("which"))
            .values({name: sa.bindparam(f"new_{name}") for name in names}), old)
    if new:
        tx.execute(sa.insert(node), new)


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
    _each(tx, sa.update(edge).where(
        edge.c.node_id == sa.bindparam("one"), edge.c.requires == sa.bindparam("other")).values(wanted=True),
        ({"one": one, "other": other} for one, other in wanted if (one, other) in there))
    _each(tx, sa.insert(edge), (
        {"node_id": one, "requires": other, "wanted": True, "actual": False}
        for one, other in wanted if (one, other) not in there))


def _each(tx: Transaction, statement: Any, parameters: Iterable[dict[str, Any]]) -> None:
    rows = list(parameters)
    if rows:
        tx.execute(statement, rows)

"""Stacks as values: found by id or name, with their nodes and outputs.  Reads only."""
from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from obsvc.engine.database.store import Transaction
from obsvc.engine.schema.stacks import edge, job, node, stack
from obsvc.engine.stacks.traversal import decode, parameters_of
from obsvc.engine.templates import hot
from obsvc.engine.templates.functions import Facts
from obsvc.engine_client import stacks
from obsvc.engine_client.stacks import NodeStatus, StackStatus
from obsvc.exceptions import Conflict, InvalidInput, NotFound

#: What stands for the value of a hidden parameter.
HIDDEN = "******"

#: A copy that is gone may keep its row, for the sweep by its marker: nobody else needs to know of it.
_THERE = sa.not_(node.c.obsolete.is_(True) & (node.c.status == NodeStatus.DELETED))


def stack_row(tx: Transaction, stack_id: str) -> sa.Row | None:
    """The stack's row, None without one."""
    return tx.execute(sa.select(stack).where(stack.c.stack_id == stack_id)).one_or_none()


def find_stack(tx: Transaction, name_or_id: str, project_id: str | None) -> sa.Row:
    """A stack by id, else by name: the live one, else the one deleted last."""
    row = stack_row(tx, name_or_id)
    if row is not None and (project_id is None or row.project_key == project_id):
        return row
    query = sa.select(stack).where(stack.c.name == name_or_id)
    if project_id is not None:
        query = query.where(stack.c.project_key == project_id)
    rows = tx.execute(query.order_by(stack.c.live_name.is_(None), stack.c.created_at.desc()).limit(2)).all()
    if not rows:
        raise NotFound(f"expected the id or name of a stack, got {name_or_id!r}: there is none")
    if len(rows) == 2 and rows[1].live_name is not None:
        raise Conflict(f"more than one project has a stack {name_or_id!r}: give its id, or the project")
    return rows[0]


def as_stack(tx: Transaction, row: Any, *, outputs: bool = True) -> stacks.Stack:
    """The stack as a value; outputs only where it is complete."""
    counts = tx.execute(
        sa.select(node.c.status, sa.func.count()).where(node.c.stack_id == row.stack_id, _THERE)
        .group_by(node.c.status)
    )
    drifted = tx.execute(
        sa.select(node.c.name).where(node.c.stack_id == row.stack_id, node.c.drift.is_not(None))
        .order_by(node.c.position)
    ) if row.drifted else ()
    hidden, values = _parameters_and_outputs(tx, row) if outputs else (None, {})
    parameters = {} if hidden is None else {
        name: HIDDEN if name in hidden else value for name, value in decode(row.parameters).items()
    }
    return stacks.Stack(
        stack_id=row.stack_id, name=row.name, status=StackStatus(row.status), created_at=row.created_at,
        updated_at=row.updated_at, traversal=row.traversal, status_reason=row.status_reason,
        project_id=row.project_id, region=row.region, deadline=row.deadline, on_drift=row.on_drift,
        nodes={status: count for status, count in counts}, outputs=values, parameters=parameters,
        drifted=tuple(name for (name,) in drifted), goal=row.goal,
        disable_rollback=row.disable_rollback,
    )


def _parameters_and_outputs(tx: Transaction, row: Any) -> tuple[frozenset[str], dict[str, Any]]:
    """Names of the hidden parameters, and the outputs where the stack is complete (None for one without a value)."""
    try:
        hidden, outputs = _hidden_and_outputs(row.template)
    except InvalidInput:  # taken by a version that knew more
        return frozenset(decode(row.parameters)), {}
    if not row.status.endswith("_COMPLETE") or row.status == StackStatus.DELETE_COMPLETE or not outputs:
        return hidden, {}
    facts = {
        one.name: Facts(one.resource_id, decode(one.attributes))
        for one in tx.execute(sa.select(node).where(node.c.stack_id == row.stack_id, node.c.obsolete.is_(False)))
    }
    found: dict[str, Any] = {}
    for name, output in outputs.items():
        try:
            found[name] = hot.resolve(output.value, f"outputs.{name}.value", parameters_of(row), facts)
        except InvalidInput:
            found[name] = None
    return hidden, found


@functools.lru_cache(maxsize=32)
def _hidden_and_outputs(text: str) -> tuple[frozenset[str], Mapping[str, hot.Output]]:
    """Of a template's text.  Kept, as a template of 10,000 resources takes a second to parse."""
    template = hot.parse(text, types=hot.ANY_TYPE)
    return frozenset(name for name, parameter in template.parameters.items() if parameter.hidden), template.outputs


def nodes_of(tx: Transaction, stack_id: str) -> list[stacks.Node]:
    """Every copy of the stack, in the template's order."""
    rows = tx.execute(
        sa.select(node, job.c.attempt).outerjoin(job, job.c.job_id == node.c.job_id)
        .where(node.c.stack_id == stack_id, _THERE).order_by(node.c.position)
    ).all()
    names = {row.node_id: row.name for row in rows}
    requires: dict[str, list[str]] = {}
    for one, other in tx.execute(
        sa.select(edge.c.node_id, edge.c.requires).join(node, node.c.node_id == edge.c.node_id)
        .where(node.c.stack_id == stack_id, edge.c.wanted.is_(True))
    ):
        requires.setdefault(one, []).append(names[other])
    return [
        stacks.Node(
            node_id=row.node_id, name=row.name, type=row.type, status=NodeStatus(row.status),
            requires=tuple(sorted(requires.get(row.node_id, ()))), resource_type=row.resource_type,
            resource_id=row.resource_id, region=row.region, status_reason=row.status_reason,
            attempts=row.attempt or 0, drift=row.drift, scheduled_at=row.scheduled_at, observing_at=row.observing_at,
            completed_at=row.completed_at, obsolete=row.obsolete,
        )
        for row in rows
    ]

"""Stacks as values: found by id or name, with their nodes and outputs.  Reads only."""
from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from obsvc.engine.database.store import Transaction
from obsvc.engine.schema.stacks import edge, job, node, stack
from obsvc.engine.stacks.rows import NodeRow, StackRow, from_json, node_rows, parameters_of, stack_row, stack_rows
from obsvc.engine.templates import hot
from obsvc.engine.templates.functions import Facts
from obsvc.engine_client import stacks
from obsvc.engine_client.stacks import NodeStatus, StackStatus
from obsvc.exceptions import Conflict, InvalidInput, NotFound

#: What stands for the value of a hidden parameter.
HIDDEN = "******"

#: A copy that is gone may keep its row, for the sweep by its marker; it is of no interest to anything else.
_SHOWN = sa.not_(node.c.obsolete.is_(True) & (node.c.status == NodeStatus.DELETED))


def find_stack(tx: Transaction, name_or_id: str, project_id: str | None) -> StackRow:
    """A stack by id, else by name: the live one, else the one deleted last."""
    row = stack_row(tx, name_or_id)
    if row is not None and (project_id is None or row.project_key == project_id):
        return row
    query = sa.select(stack).where(stack.c.name == name_or_id)
    if project_id is not None:
        query = query.where(stack.c.project_key == project_id)
    rows = stack_rows(tx, query.order_by(stack.c.live_name.is_(None), stack.c.created_at.desc()).limit(2))
    if not rows:
        raise NotFound(f"expected the id or name of a stack, got {name_or_id!r}: there is none")
    if len(rows) == 2 and rows[1].live_name is not None:
        raise Conflict(f"more than one project has a stack {name_or_id!r}: give its id, or the project")
    return rows[0]


def read_stack(tx: Transaction, stack_id: str) -> stacks.Stack:
    """A stack that was found before, as it is now; NotFound where it is forgotten."""
    row = stack_row(tx, stack_id)
    if row is None:
        raise NotFound(f"expected the id of a stack, got {stack_id}: there is none (any more)")
    return as_stack(tx, row)


def as_stack(tx: Transaction, row: StackRow, *, outputs: bool = True) -> stacks.Stack:
    """The stack as a value; outputs only where it is complete."""
    counts = tx.execute(
        sa.select(node.c.status, sa.func.count().label("number")).where(node.c.stack_id == row.stack_id, _SHOWN)
        .group_by(node.c.status)
    )
    drifted = tx.execute(
        sa.select(node.c.name).where(node.c.stack_id == row.stack_id, node.c.drift.is_not(None))
        .order_by(node.c.position)
    ).scalars() if row.drifted else ()
    parameters: dict[str, Any] = {}
    values: dict[str, Any] = {}
    if outputs:
        hidden, values = _hidden_parameters_and_outputs(tx, row)
        parameters = {
            name: HIDDEN if name in hidden else value for name, value in from_json(row.parameters).items()
        }
    return stacks.Stack(
        stack_id=row.stack_id, name=row.name, status=row.status, created_at=row.created_at,
        updated_at=row.updated_at, traversal=row.traversal, status_reason=row.status_reason,
        project_id=row.project_id, region=row.region, deadline=row.deadline, on_drift=row.on_drift,
        nodes={str(count.status): count.number for count in counts}, outputs=values, parameters=parameters,
        drifted=tuple(drifted), goal=row.goal, disable_rollback=row.disable_rollback,
    )


def _hidden_parameters_and_outputs(tx: Transaction, row: StackRow) -> tuple[frozenset[str], dict[str, Any]]:
    """Names of the hidden parameters, and the outputs where the stack is complete (None for one without a value)."""
    try:
        hidden, outputs = _hidden_and_outputs(row.template)
    except InvalidInput:  # taken by a version that knew more
        return frozenset(from_json(row.parameters)), {}
    if not row.status.endswith("_COMPLETE") or row.status is StackStatus.DELETE_COMPLETE or not outputs:
        return hidden, {}
    facts = {
        copy.name: Facts(copy.resource_id, from_json(copy.attributes)) for copy in node_rows(
            tx, sa.select(node).where(node.c.stack_id == row.stack_id, node.c.obsolete.is_(False)))
    }
    values: dict[str, Any] = {}
    for name, output in outputs.items():
        try:
            values[name] = hot.resolve(output.value, f"outputs.{name}.value", parameters_of(row), facts)
        except InvalidInput:
            values[name] = None
    return hidden, values


@functools.lru_cache(maxsize=32)
def _hidden_and_outputs(text: str) -> tuple[frozenset[str], Mapping[str, hot.Output]]:
    """Of a template's text.  Kept, as a template of 10,000 resources takes a second to parse."""
    template = hot.parse(text, types=hot.ANY_TYPE)
    return frozenset(name for name, parameter in template.parameters.items() if parameter.hidden), template.outputs


def nodes_of(tx: Transaction, stack_id: str) -> list[stacks.Node]:
    """Every copy of the stack, in the template's order."""
    copies = [(NodeRow._make(row[:-1]), row.attempt or 0) for row in tx.execute(
        sa.select(node, job.c.attempt).outerjoin(job, job.c.job_id == node.c.job_id)
        .where(node.c.stack_id == stack_id, _SHOWN).order_by(node.c.position))]
    names = {row.node_id: row.name for row, _ in copies}
    requires: dict[str, list[str]] = {}
    for required in tx.execute(
        sa.select(edge.c.node_id, edge.c.requires).join(node, node.c.node_id == edge.c.node_id)
        .where(node.c.stack_id == stack_id, edge.c.wanted.is_(True))
    ):
        requires.setdefault(required.node_id, []).append(names[required.requires])
    return [
        stacks.Node(
            node_id=row.node_id, name=row.name, type=row.type, status=row.status,
            requires=tuple(sorted(requires.get(row.node_id, ()))), resource_type=row.resource_type,
            resource_id=row.resource_id, region=row.region, status_reason=row.status_reason,
            attempts=attempts, drift=row.drift, scheduled_at=row.scheduled_at,
            observing_at=row.observing_at, completed_at=row.completed_at, obsolete=row.obsolete,
        )
        for row, attempts in copies
    ]

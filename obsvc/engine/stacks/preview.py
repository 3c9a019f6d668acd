"""What an update would do, node by node.  Reads only.

What depends on a resource that is yet to be made is not known before; it is taken as changed.
"""
from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from obsvc.engine.database.store import Transaction
from obsvc.engine.schema.stacks import JobStatus, job, node
from obsvc.engine.stacks.copies import CopyState, choose_copies
from obsvc.engine.stacks.rows import NodeRow, StackRow, from_json, node_rows, parameters_of
from obsvc.engine.stacks.traversal import broken_nodes
from obsvc.engine.stacks.updating import copies_of
from obsvc.engine.templates import hot
from obsvc.engine.templates.functions import Facts
from obsvc.engine_client.stacks import Change, PlannedNode
from obsvc.exceptions import InvalidInput

LOG = logging.getLogger(__name__)

#: ``fn(type, before, after)``: names of the changed properties that can't be changed in place.
NeedsReplacement = Callable[[str, Mapping[str, Any], Mapping[str, Any]], tuple[str, ...]]

#: Stands for a value that only the resource's creation will tell.
UNKNOWN = "(known once it is made)"


def needs_replacement(kind: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """As the plugin of the type says; nothing is known of one that is not installed here or can't be loaded."""
    for point in importlib.metadata.entry_points(group=hot.PLUGIN_GROUP, name=kind):
        try:
            return tuple(point.load()().needs_replacement(before, after))
        except Exception:  # anybody's code: a preview goes on without it
            LOG.exception("the plugin of %s can't say what it replaces", kind)
    return ()


def plan(
    tx: Transaction, stack: StackRow, template: hot.Template, values: Mapping[str, Any],
    needs_replacement: NeedsReplacement,
) -> Iterator[PlannedNode]:
    """The goal's nodes in an order in which they could be made, then what would be left over of others."""
    rows = {row.node_id: row for row in node_rows(tx, sa.select(node).where(node.c.stack_id == stack.stack_id))}
    busy = set(tx.execute(sa.select(job.c.node_id).where(
        job.c.stack_id == stack.stack_id, job.c.status == JobStatus.LEASED)).scalars())
    copies = {copy.node_id: copy for copy in copies_of(tx, stack.stack_id, rows.values(), busy)}
    chosen = choose_copies({name: resource.type for name, resource in template.resources.items()}, copies.values())
    parameters = parameters_of(stack, dict(values))
    facts: dict[str, Facts] = {}
    for name in template.graph.order():
        wanted, row = template.resources[name], rows.get(chosen.get(name, ""))
        if row is None or copies[row.node_id].state is CopyState.NOT_STARTED:
            planned = PlannedNode(name, wanted.type, Change.CREATE)
        else:
            after = {key: _resolved(value, parameters, facts) for key, value in wanted.properties.items()}
            planned = _change_of(tx, row, copies[row.node_id].state, after, needs_replacement)
        if row is None or planned.change in (Change.CREATE, Change.REPLACE):
            facts[name] = Facts(UNKNOWN)
        else:
            facts[name] = Facts(row.resource_id, from_json(row.attributes))
        yield planned
    for copy in sorted(copies.values(), key=lambda copy: rows[copy.node_id].position):
        if chosen.get(copy.slot) != copy.node_id and copy.state is not CopyState.NOT_STARTED:
            row = rows[copy.node_id]
            change = Change.RETAIN if row.retain and row.completed_at is not None else Change.DELETE
            yield PlannedNode(row.name, row.type, change, row.resource_id)


def _change_of(
    tx: Transaction, row: NodeRow, state: CopyState, after: Mapping[str, Any], needs_replacement: NeedsReplacement
) -> PlannedNode:
    """What becomes of a copy that the goal goes on with, and has these properties for."""
    before = from_json(row.applied)
    names = tuple(name for name in sorted({*before, *after}) if before.get(name) != after.get(name))

    def planned(change: Change, reason: str = "", properties: tuple[str, ...] = names) -> PlannedNode:
        return PlannedNode(row.slot, row.type, change, row.resource_id, properties, reason)

    if state is CopyState.CREATING:
        return planned(Change.UPDATE, "its creation is under way: what it needs is decided after it", ())
    if broken_nodes(tx, [row]):
        return planned(Change.REPLACE, "it is broken")
    fixed = needs_replacement(row.type, before, after) if names else ()
    if fixed:
        return planned(Change.REPLACE, f"{', '.join(fixed)} can't be changed in place")
    if names:
        return planned(Change.UPDATE)
    return planned(Change.UPDATE, "its last update did not end well") if row.doubtful else planned(Change.NONE)


def _resolved(value: Any, parameters: Mapping[str, Any], facts: Mapping[str, Facts]) -> Any:
    try:
        return hot.resolve(value, "properties", parameters, facts)
    except InvalidInput:  # it reads an attribute that is not known yet
        return UNKNOWN

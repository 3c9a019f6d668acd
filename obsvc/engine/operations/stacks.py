"""Stacks as callers see them: create, read, nodes, events; other goals are in ``operations.goals``.

A template is parsed and refused whole before anything is written.
"""
from __future__ import annotations

import operator
import uuid
from typing import Any

import sqlalchemy as sa

from obsvc.engine.database.rows import to_json
from obsvc.engine.database.store import Store, Transaction
from obsvc.engine.database.waiters import Waiters
from obsvc.engine.operations.goal_reader import GoalReader, check_timeout
from obsvc.engine.operations.limits import PAGE_MAX
from obsvc.engine.schema.core import REGION_LENGTH
from obsvc.engine.schema.stacks import Phase, edge, node, stack, stack_event
from obsvc.engine.stacks import stack_due  # noqa: F401 -- registers the due work of stacks
from obsvc.engine.stacks.locked_stack import IN_PROGRESS
from obsvc.engine.stacks.locking import locked
from obsvc.engine.stacks.rows import node_rows, stack_row, stack_rows
from obsvc.engine.stacks.updating import add_nodes, store_goal
from obsvc.engine.stacks.views import as_stack, find_stack, nodes_of, read_stack
from obsvc.engine.templates import hot
from obsvc.engine_client import stacks
from obsvc.engine_client.stacks import StackAction, StackStatus
from obsvc.exceptions import Conflict, InvalidInput


class StackOperations:
    """Stacks as they are made and read; safe from any thread."""

    def __init__(self, store: Store, waiters: Waiters, goals: GoalReader) -> None:
        self._store = store
        self._waiters = waiters
        self._goals = goals

    def create_stack(self, request: stacks.StackCreate) -> stacks.Stack:
        """Take a new goal and start towards it.

        Raises InvalidInput for a template or parameters that can't be taken (nothing is written then), Conflict
        where a live stack of the project has the name.
        """
        _check_request(request)
        template, values = self._goals.read(request)
        stack_id = str(uuid.uuid4())

        def work(tx: Transaction) -> stacks.Stack:
            _refuse_double(tx, request)
            _insert(tx, stack_id, request, template, values)
            with locked(tx, stack_id) as traversal:
                traversal.begin(StackAction.CREATE, total=len(template.resources), finished=0)
                ready = sa.select(node).where(node.c.stack_id == stack_id, node.c.unmet == 0).order_by(node.c.position)
                traversal.begin_forward(node_rows(tx, ready))
            return read_stack(tx, stack_id)

        return self._store.run(work)

    def read_stack(self, request: stacks.StackRequest) -> stacks.Stack:
        """One stack by id or name, waiting up to ``request.wait`` seconds until nothing is in progress."""
        shown = self._store.read(lambda tx: as_stack(tx, find_stack(tx, request.stack, request.project_id)))
        if request.wait <= 0 or shown.status not in IN_PROGRESS:
            return shown

        def in_progress() -> bool:
            row = self._store.read(lambda tx: stack_row(tx, shown.stack_id))
            return row is not None and row.status in IN_PROGRESS

        self._waiters.wait_until({"stack"}, in_progress, operator.not_, request.wait)
        return self._store.read(lambda tx: read_stack(tx, shown.stack_id))

    def list_stacks(self, request: stacks.StacksRequest) -> stacks.StacksPage:
        """Stacks that are not deleted, by id; ``marker`` is the last id of the page before."""
        query = sa.select(stack).where(stack.c.live_name.is_not(None)).order_by(stack.c.stack_id)
        if request.project_id is not None:
            query = query.where(stack.c.project_key == request.project_id)
        if request.marker is not None:
            query = query.where(stack.c.stack_id > request.marker)
        query = query.limit(max(1, min(request.limit, PAGE_MAX)))
        return self._store.read(
            lambda tx: stacks.StacksPage(tuple(as_stack(tx, row, outputs=False) for row in stack_rows(tx, query)))
        )

    def stack_nodes(self, request: stacks.StackRequest) -> stacks.NodesReply:
        """Every node of the stack, in the template's order."""

        def work(tx: Transaction) -> stacks.NodesReply:
            row = find_stack(tx, request.stack, request.project_id)
            return stacks.NodesReply(tuple(nodes_of(tx, row.stack_id)))

        return self._store.read(work)

    def stack_events(self, request: stacks.StackEventsRequest) -> stacks.StackEventsPage:
        """Events after ``request.after``, oldest first; waits for the first one."""
        stack_id = self._store.read(lambda tx: find_stack(tx, request.stack, request.project_id).stack_id)
        query = (
            sa.select(stack_event).where(stack_event.c.stack_id == stack_id, stack_event.c.event_id > request.after)
            .order_by(stack_event.c.event_id).limit(max(1, min(request.limit, PAGE_MAX)))
        )

        def read() -> tuple[stacks.StackEvent, ...]:
            rows = self._store.read(lambda tx: tx.execute(query).all())
            return tuple(
                stacks.StackEvent(
                    event_id=row.event_id, at=row.at, event=row.event, node=row.node, resource_id=row.resource_id,
                    reason=row.reason,
                )
                for row in rows
            )

        return stacks.StackEventsPage(self._waiters.wait_until({"stack"}, read, bool, request.wait))


def _check_request(request: stacks.StackCreate) -> None:
    name = request.name
    if not name or len(name) > 255 or "/" in name or not name.isprintable():
        raise InvalidInput(f"name: expected 1 to 255 printable characters without '/', got {name!r}")
    if request.project_id is not None and len(request.project_id) > 64:
        raise InvalidInput(f"project_id: expected at most 64 characters, got {len(request.project_id)}")
    region = request.region
    if region is not None and not (region and len(region) <= REGION_LENGTH and region.isprintable()):
        raise InvalidInput(f"region: expected 1 to {REGION_LENGTH} printable characters, got {region[:80]!r}")
    check_timeout(request.timeout)
    if request.on_drift != "report":
        raise InvalidInput(f"on_drift: expected 'report', got {request.on_drift!r}: repair is not built yet")


def _refuse_double(tx: Transaction, request: stacks.StackCreate) -> None:
    same = tx.execute(
        sa.select(stack).where(stack.c.project_key == (request.project_id or ""), stack.c.live_name == request.name)
    ).one_or_none()
    if same is not None:
        raise Conflict(
            f"there is a stack {request.name!r} already ({same.stack_id}, {same.status}): give it another goal "
            "by an update, delete it first, or take another name"
        )


def _insert(
    tx: Transaction, stack_id: str, request: stacks.StackCreate, template: hot.Template, values: dict[str, Any]
) -> None:
    tx.execute(sa.insert(stack).values(
        stack_id=stack_id, name=request.name, project_key=request.project_id or "", live_name=request.name,
        project_id=request.project_id, region=request.region, status=StackStatus.CREATE_IN_PROGRESS, status_reason="",
        action=StackAction.CREATE, traversal="", created_at=tx.now, updated_at=tx.now, timeout=request.timeout,
        on_drift=request.on_drift, template=request.template, parameters=to_json(values), total=0, finished=0,
        failed=0, drifted=0, halted=False, goal=1, phase=Phase.FIRST, leftover=0, progressed_at=tx.now, last_event_id=0,
        disable_rollback=request.disable_rollback,
    ))
    store_goal(tx, stack_id, request.template, template, values)
    ids = {name: str(uuid.uuid4()) for name in template.resources}
    add_nodes(tx, stack_id, template, ids)
    edges = [
        {"node_id": ids[name], "requires": ids[required]}
        for name, resource in template.resources.items() for required in resource.requires
    ]
    if edges:
        tx.execute(sa.insert(edge), edges)

"""Stacks as callers see them: create, update, read, delete, nodes, events.

A template is parsed and refused whole before anything is written.  A stack that exists can be deleted at any
moment, in the middle of its creation too; another goal is taken when the stack is at rest.
"""
from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa

from obsvc.engine import stack_due  # noqa: F401 -- registers the due work of stacks
from obsvc.engine import template as hot
from obsvc.engine.deletion import start_delete
from obsvc.engine.functions import Facts
from obsvc.engine.schema.core import REGION_LENGTH
from obsvc.engine.schema.stacks import edge, job, node, stack, stack_event
from obsvc.engine.settings import EngineSettings
from obsvc.engine.store import Store, Transaction
from obsvc.engine.traversal import IN_PROGRESS, Traversal, decode, encode, parameters_of
from obsvc.engine.updating import check_updatable, record_goal, start_update
from obsvc.engine_client import stacks
from obsvc.engine_client.jobs import Action
from obsvc.engine_client.stacks import NodeStatus, StackStatus
from obsvc.exceptions import Conflict, InvalidInput, NotFound

#: What stands for the value of a hidden parameter.
HIDDEN = "******"

PAGE_LIMIT = 1000


class StackOperations:
    """The part of the engine's service that is about stacks; safe from any thread."""

    store: Store
    settings: EngineSettings
    waiters: Any

    #: Resource types that templates may use; by default those of the installed worker plugins.
    resource_types: frozenset[str] | None = None

    def create_stack(self, request: stacks.StackCreate) -> stacks.Stack:
        """Take a new goal and start towards it.

        Raises InvalidInput for a template or parameters that can't be taken (nothing is written then), Conflict
        where a live stack of the project has the name.
        """
        _check_request(request)
        types = self.resource_types if self.resource_types is not None else hot.known_types()
        template = hot.parse(request.template, types=types)
        values = hot.bind_parameters(template, request.parameters)
        stack_id = str(uuid.uuid4())

        def work(tx: Transaction) -> stacks.Stack:
            _refuse_double(tx, request)
            _insert(tx, stack_id, request, template, values)
            traversal = Traversal.lock(tx, stack_id)
            traversal.begin(Action.CREATE, total=len(template.resources), finished=0)
            ready = sa.select(node).where(node.c.stack_id == stack_id, node.c.unmet == 0).order_by(node.c.position)
            traversal.begin_forward(tx.execute(ready).all())
            traversal.save()
            return _shown(tx, _by_id(tx, stack_id))

        return self.store.run(work)

    def update_stack(self, request: stacks.StackUpdate) -> stacks.Stack:
        """Take another goal for a stack that is at rest, and start towards it.

        Raises as :meth:`create_stack`; Conflict also while something of the stack is under way.
        """
        check_timeout(request.timeout)
        types = self.resource_types if self.resource_types is not None else hot.known_types()
        template = hot.parse(request.template, types=types)
        values = hot.bind_parameters(template, request.parameters)

        def work(tx: Transaction) -> stacks.Stack:
            stack_id = _find(tx, request.stack, request.project_id).stack_id
            traversal = Traversal.lock(tx, stack_id)
            check_updatable(traversal)
            traversal.set(timeout=request.timeout)
            start_update(traversal, request.template, template, values)
            traversal.save()
            return _shown(tx, _by_id(tx, stack_id))

        return self.store.run(work)

    def read_stack(self, request: stacks.StackRequest) -> stacks.Stack:
        """One stack by id or name, waiting up to ``request.wait`` seconds until nothing is in progress."""
        found = self.store.read(lambda tx: _shown(tx, _find(tx, request.stack, request.project_id)))
        if request.wait <= 0 or found.status not in IN_PROGRESS:
            return found

        def check() -> stacks.Stack | None:
            row = self.store.read(lambda tx: _by_id(tx, found.stack_id))
            if row is None or row.status in IN_PROGRESS:
                return None
            return self.store.read(lambda tx: _shown(tx, _by_id(tx, found.stack_id)))

        ended = self.waiters.wait({"stack"}, check, request.wait)
        return ended or self.store.read(lambda tx: _shown(tx, _by_id(tx, found.stack_id)))

    def list_stacks(self, request: stacks.StacksRequest) -> stacks.StacksPage:
        """Stacks that are not deleted, by id; ``marker`` is the last id of the page before."""
        query = sa.select(stack).where(stack.c.live_name.is_not(None)).order_by(stack.c.stack_id)
        if request.project_id is not None:
            query = query.where(stack.c.project_key == request.project_id)
        if request.marker is not None:
            query = query.where(stack.c.stack_id > request.marker)
        query = query.limit(max(1, min(request.limit, PAGE_LIMIT)))
        return self.store.read(
            lambda tx: stacks.StacksPage(tuple(_shown(tx, row, outputs=False) for row in tx.execute(query).all()))
        )

    def delete_stack(self, request: stacks.StackRequest) -> stacks.Stack:
        """Delete everything of the stack, in reverse order; a second time has no effect, after a failure it retries.

        With ``wait`` the answer comes when the deletion has ended, or the time is over.
        """

        def work(tx: Transaction) -> stacks.Stack:
            found = _find(tx, request.stack, request.project_id)
            traversal = Traversal.lock(tx, found.stack_id)
            if traversal.row.status not in (StackStatus.DELETE_IN_PROGRESS, StackStatus.DELETE_COMPLETE):
                start_delete(traversal)
                traversal.save()
            return _shown(tx, _by_id(tx, found.stack_id))

        answer = self.store.run(work)
        if request.wait > 0:
            return self.read_stack(stacks.StackRequest(answer.stack_id, request.project_id, request.wait))
        return answer

    def stack_nodes(self, request: stacks.StackRequest) -> stacks.NodesReply:
        """Every node of the stack, in the template's order."""

        def work(tx: Transaction) -> stacks.NodesReply:
            row = _find(tx, request.stack, request.project_id)
            return stacks.NodesReply(tuple(_nodes(tx, row.stack_id)))

        return self.store.read(work)

    def stack_events(self, request: stacks.StackEventsRequest) -> stacks.StackEventsPage:
        """Events after ``request.after``, oldest first; waits for the first one."""
        stack_id = self.store.read(lambda tx: _find(tx, request.stack, request.project_id).stack_id)
        query = (
            sa.select(stack_event).where(stack_event.c.stack_id == stack_id, stack_event.c.event_id > request.after)
            .order_by(stack_event.c.event_id).limit(max(1, min(request.limit, PAGE_LIMIT)))
        )

        def check() -> tuple[stacks.StackEvent, ...] | None:
            rows = self.store.read(lambda tx: tx.execute(query).all())
            return tuple(
                stacks.StackEvent(
                    event_id=row.event_id, at=row.at, event=row.event, node=row.node, resource_id=row.resource_id,
                    reason=row.reason,
                )
                for row in rows
            ) or None

        found = check()
        if found is None and request.wait > 0:
            found = self.waiters.wait({"stack"}, check, request.wait)
        return stacks.StackEventsPage(found or ())


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


def check_timeout(timeout: float | None) -> None:
    """Raise InvalidInput unless it is a time."""
    if timeout is not None and not timeout > 0:
        raise InvalidInput(f"timeout: expected more than 0 seconds, got {timeout}")


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
        action=Action.CREATE, traversal="", created_at=tx.now, updated_at=tx.now, timeout=request.timeout,
        on_drift=request.on_drift, template=request.template, parameters=encode(values), total=0, finished=0,
        failed=0, drifted=0, halted=False, goal=1, phase="forward", leftover=0, progressed_at=tx.now, last_event_id=0,
    ))
    record_goal(tx, stack_id, 1, request.template, encode(values))
    ids = {name: str(uuid.uuid4()) for name in template.resources}
    tx.execute(sa.insert(node), [
        {
            "node_id": ids[name], "stack_id": stack_id, "position": at, "name": name, "type": resource.type,
            "properties": encode(resource.properties), "action": Action.CREATE.value,
            "status": NodeStatus.WAITING.value,
            "status_reason": "", "unmet": len(resource.requires), "marker": f"obsvc:{ids[name]}:1", "attributes": "{}",
            "obsolete": False,
        }
        for at, (name, resource) in enumerate(template.resources.items())
    ])
    edges = [
        {"node_id": ids[name], "requires": ids[other]}
        for name, resource in template.resources.items() for other in resource.requires
    ]
    if edges:
        tx.execute(sa.insert(edge), edges)


def _by_id(tx: Transaction, stack_id: str) -> sa.Row | None:
    return tx.execute(sa.select(stack).where(stack.c.stack_id == stack_id)).one_or_none()


def _find(tx: Transaction, name_or_id: str, project_id: str | None) -> sa.Row:
    """A stack by id, else by name: the live one, else the one deleted last."""
    row = _by_id(tx, name_or_id)
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


def _shown(tx: Transaction, row: Any, *, outputs: bool = True) -> stacks.Stack:
    """The stack as a value; outputs only where it is complete."""
    counts = tx.execute(
        sa.select(node.c.status, sa.func.count()).where(node.c.stack_id == row.stack_id).group_by(node.c.status)
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
    )


def _parameters_and_outputs(tx: Transaction, row: Any) -> tuple[frozenset[str], dict[str, Any]]:
    """Names of the hidden parameters, and the outputs where the stack is complete (None for one without a value)."""
    try:
        template = hot.parse(row.template, types=_Any())
    except InvalidInput:  # taken by a version that knew more
        return frozenset(decode(row.parameters)), {}
    hidden = frozenset(name for name, parameter in template.parameters.items() if parameter.hidden)
    if row.status not in (StackStatus.CREATE_COMPLETE, StackStatus.UPDATE_COMPLETE) or not template.outputs:
        return hidden, {}
    facts = {
        one.name: Facts(one.resource_id, decode(one.attributes))
        for one in tx.execute(sa.select(node).where(node.c.stack_id == row.stack_id, node.c.obsolete.is_(False)))
    }
    found: dict[str, Any] = {}
    for name, output in template.outputs.items():
        try:
            found[name] = hot.resolve(output.value, f"outputs.{name}.value", parameters_of(row), facts)
        except InvalidInput:
            found[name] = None
    return hidden, found


class _Any(frozenset):
    """Every type: what was taken once is not refused on reading."""

    def __contains__(self, item: object) -> bool:
        return True


def _nodes(tx: Transaction, stack_id: str) -> list[stacks.Node]:
    rows = tx.execute(
        sa.select(node, job.c.attempt).outerjoin(job, job.c.job_id == node.c.job_id)
        .where(node.c.stack_id == stack_id).order_by(node.c.position)
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
            completed_at=row.completed_at,
        )
        for row in rows
    ]

"""Starting, stopping and listing observations."""
from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from obsvc.engine.database.rows import chunks
from obsvc.engine.database.store import Store, Transaction
from obsvc.engine.observations import watches
from obsvc.engine.observations.labels import has_text
from obsvc.engine.operations.limits import ITEMS_MAX, check_page
from obsvc.engine.schema import core
from obsvc.engine_client import observations
from obsvc.exceptions import Conflict, InvalidInput


class ObservationOperations:
    """Safe from any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def start(self, request: observations.StartRequest) -> observations.StartReply:
        if len(request.items) > ITEMS_MAX:
            raise InvalidInput(f"expected at most {ITEMS_MAX} items, got {len(request.items)}: send them in parts")
        return observations.StartReply(tuple(self._store.run(lambda tx: watches.start(tx, request.items))))

    def stop(self, request: observations.StopRequest) -> observations.StopReply:
        if len(request.observation_ids) > ITEMS_MAX:
            raise InvalidInput(f"expected at most {ITEMS_MAX} ids, got {len(request.observation_ids)}")

        def work(tx: Transaction) -> observations.StopReply:
            of_stacks = _of_stacks(tx, request)
            if of_stacks and not request.partly:
                observation_id, stack = next(iter(of_stacks.items()))
                raise Conflict(
                    f"observation {observation_id} belongs to stack {stack}: it ends with the stack, delete that")
            ids = [observation_id for observation_id in request.observation_ids if observation_id not in of_stacks]
            stopped, missing = watches.stop(tx, ids, project_id=request.project_id)
            return observations.StopReply(tuple(stopped), tuple(missing), tuple(of_stacks))

        return self._store.run(work)

    def list_observations(self, request: observations.ObservationsRequest) -> observations.ObservationsPage:
        check_page(request.limit)
        table = core.observation
        query = watches.select_observations().order_by(table.c.observation_id).limit(request.limit)
        for name in ("resource_type", "resource_id", "region", "condition"):
            value = getattr(request, name)
            if value is not None:
                query = query.where(core.resource.c[name] == value)
        for name in ("project_id", "stack_id", "observation_id"):
            value = getattr(request, name)
            if value is not None:
                query = query.where(table.c[name] == value)
        if request.member is not None:
            query = query.join(core.partition, core.partition.c.partition_id == core.resource.c.partition_id).where(
                core.partition.c.owner_name == request.member)
        return observations.ObservationsPage(tuple(self._store.read(lambda tx: _labelled(tx, query, request))))


def _labelled(
    tx: Transaction, query: sa.Select[*tuple[Any, ...]], request: observations.ObservationsRequest
) -> list[observations.Observation]:
    """A page of those that have the label asked for.  The database finds its text, and that also where it is part of
    another value: so the page is filled up from what follows."""
    column, after = core.observation.c, request.marker
    if request.label is not None:
        query = query.where(has_text(request.label))
    labelled: list[observations.Observation] = []
    while True:
        page = watches.read_observations(
            tx, query if after is None else query.where(column.observation_id > after))
        labelled += [observation for observation in page
                     if request.label is None or observation.labels.get(request.label[0]) == request.label[1]]
        if len(page) < request.limit or len(labelled) >= request.limit:
            return labelled[:request.limit]
        after = page[-1].observation_id


def _of_stacks(tx: Transaction, request: observations.StopRequest) -> dict[str, str]:
    """Those that belong to a stack, with its id.  A node waits for what its stack observes: stopped by hand, it would
    wait for ever."""
    table = core.observation
    stacks: dict[str, str] = {}
    for chunk in chunks(sorted(set(request.observation_ids))):
        query = sa.select(table.c.observation_id, table.c.stack_id).where(
            table.c.observation_id.in_(chunk), table.c.stack_id.is_not(None))
        if request.project_id is not None:
            query = query.where(table.c.project_id == request.project_id)
        stacks.update({observation_id: stack_id for observation_id, stack_id in tx.execute(query)})
    return stacks

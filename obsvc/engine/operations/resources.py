"""What is known of resources."""
from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from obsvc.engine.database.rows import check_ref, chunks
from obsvc.engine.database.store import Store, Transaction
from obsvc.engine.database.waiters import Waiters
from obsvc.engine.observations.labels import has_text, with_label
from obsvc.engine.observations.records import resource_of, resources_by_key
from obsvc.engine.operations.limits import PAGE_MAX, check_page
from obsvc.engine.schema import core
from obsvc.engine.schema.rows import ResourceRow
from obsvc.engine_client import observations
from obsvc.engine_client.observations import Resource, ResourceRequest
from obsvc.exceptions import InvalidInput, NotFound
from obsvc.model import Ref, Version


class ResourceOperations:
    """Safe from any thread."""

    def __init__(self, store: Store, waiters: Waiters) -> None:
        self._store = store
        self._waiters = waiters

    def read_resource(self, request: ResourceRequest) -> Resource:
        """NotFound where nobody observes the ref."""
        check_ref(request.ref)
        return self._waiters.wait_until(
            {"feed"}, lambda: self._store.read(lambda tx: _read(tx, request.ref)), request.answered_by, request.wait)

    def read_resources(self, request: observations.ReadRequest) -> observations.ResourcesReply:
        if len(request.refs) > PAGE_MAX:
            raise InvalidInput(f"expected at most {PAGE_MAX} refs, got {len(request.refs)}: send them in parts")
        for ref in request.refs:
            check_ref(ref)
        keys = sorted({core.ref_key(ref) for ref in request.refs})
        return self._store.read(lambda tx: _resources(tx, list(resources_by_key(tx, keys).values())))

    def find_resources(self, request: observations.FindRequest) -> observations.ResourcesReply:
        table = core.resource
        query = sa.select(table).where(
            table.c.resource_id == request.resource_id, table.c.resource_type == request.resource_type
        ).order_by(table.c.region)

        return self._store.read(lambda tx: _resources(tx, [ResourceRow._make(row) for row in tx.execute(query)]))

    def list_resources(self, request: observations.ResourcesRequest) -> observations.ResourcesPage:
        check_page(request.limit)
        return self._store.read(lambda tx: _listed(tx, request))


def _observations_of(tx: Transaction, keys: Sequence[str]) -> dict[str, int]:
    table = core.observation
    counts: dict[str, int] = {}
    for chunk in chunks(keys):
        query = sa.select(table.c.ref_key, sa.func.count()).where(table.c.ref_key.in_(chunk)).group_by(table.c.ref_key)
        counts.update({key: count for key, count in tx.execute(query)})
    return counts


def _resources(tx: Transaction, rows: Sequence[ResourceRow]) -> observations.ResourcesReply:
    counts = _observations_of(tx, [row.ref_key for row in rows])
    return observations.ResourcesReply(tuple(resource_of(row, counts.get(row.ref_key, 0)) for row in rows))


def _read(tx: Transaction, ref: Ref) -> Resource:
    key = core.ref_key(ref)
    row = resources_by_key(tx, [key]).get(key)
    if row is None:
        raise NotFound(f"{ref} is not observed: start an observation of it first")
    return resource_of(row, _observations_of(tx, [key]).get(key, 0))


def _listed(tx: Transaction, request: observations.ResourcesRequest) -> observations.ResourcesPage:
    version = tx.feed_version()
    table = core.resource
    query = sa.select(table).order_by(table.c.ref_key).limit(request.limit + 1)
    for name in ("resource_type", "resource_id", "region", "condition", "project_id"):
        value = getattr(request, name)
        if value is not None:
            query = query.where(table.c[name] == value)
    if request.stack_id is not None:
        of_stack = sa.select(core.observation.c.ref_key).where(core.observation.c.stack_id == request.stack_id)
        query = query.where(table.c.ref_key.in_(of_stack))
    if request.label is not None:
        labelled = sa.select(core.observation.c.ref_key).where(has_text(request.label))
        query = query.where(table.c.ref_key.in_(labelled))
    if request.since is not None:
        query = query.where(table.c.version > request.since)
    if request.marker is not None:
        query = query.where(table.c.ref_key > request.marker)
    rows = [ResourceRow._make(row) for row in tx.execute(query)]
    marker = rows[request.limit - 1].ref_key if len(rows) > request.limit else None
    rows = rows[:request.limit]
    if request.label is not None:
        kept = with_label(tx, [row.ref_key for row in rows], request.label, request.labelled_by)
        rows = [row for row in rows if row.ref_key in kept]
    counts = _observations_of(tx, [row.ref_key for row in rows])
    resources = tuple(resource_of(row, counts.get(row.ref_key, 0)) for row in rows)
    return observations.ResourcesPage(resources, Version(version), marker)

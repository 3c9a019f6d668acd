"""What the public API asks of the engine: observations, resources, the changes feed, members, partitions."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from obsvc.engine.database.rows import check_ref, chunks, ref_of, to_json
from obsvc.engine.database.store import Store, Transaction
from obsvc.engine.database.waiters import Waiters
from obsvc.engine.observations import trails, watches
from obsvc.engine.observations.records import labels_of, observation_of, resource_of, resources_by_key
from obsvc.engine.operations.members import WAIT_MAX
from obsvc.engine.ownership import draining, grants
from obsvc.engine.schema import core
from obsvc.engine.settings import EngineSettings
from obsvc.engine_client import observations
from obsvc.engine_client.contract import Empty
from obsvc.engine_client.observations import ChangesPage, ChangesRequest, Delta, GoalProgress, Resource, ResourceRequest
from obsvc.engine_client.ownership import Beat, MemberRecord, PartitionRecord
from obsvc.engine_client.trails import TrailReply, TrailRequest
from obsvc.exceptions import Conflict, FeedTruncated, InvalidInput, NotFound
from obsvc.model import Condition, Generation, MemberId, PartitionId, Ref, Version

#: Rows of one page, and items of one start or stop, at most.
PAGE_MAX = 1000
ITEMS_MAX = 5000

#: Pages that are searched for a label in one answer.
LABEL_PAGES = 20

_beat = msgspec.json.Decoder(Beat).decode
_names = msgspec.json.Decoder(tuple[str, ...]).decode


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= PAGE_MAX:
        raise InvalidInput(f"expected a limit of 1 to {PAGE_MAX}, got {limit}")


class ObservationOperations:
    """The part of the engine's service behind the public API, but for stacks; safe from any thread."""

    store: Store
    settings: EngineSettings
    waiters: Waiters

    def start(self, request: observations.StartRequest) -> observations.StartReply:
        if len(request.items) > ITEMS_MAX:
            raise InvalidInput(f"expected at most {ITEMS_MAX} items, got {len(request.items)}: send them in parts")
        return observations.StartReply(tuple(self.store.run(lambda tx: watches.start(tx, request.items))))

    def stop(self, request: observations.StopRequest) -> observations.StopReply:
        if len(request.observation_ids) > ITEMS_MAX:
            raise InvalidInput(f"expected at most {ITEMS_MAX} ids, got {len(request.observation_ids)}")

        def work(tx: Transaction) -> observations.StopReply:
            of_stacks = _of_stacks(tx, request)
            if of_stacks and not request.partly:
                one, stack = next(iter(of_stacks.items()))
                raise Conflict(f"observation {one} belongs to stack {stack}: it ends with the stack, delete that")
            ids = [each for each in request.observation_ids if each not in of_stacks]
            stopped, missing = watches.stop(tx, ids, project_id=request.project_id)
            return observations.StopReply(tuple(stopped), tuple(missing), tuple(of_stacks))

        return self.store.run(work)

    def list_observations(self, request: observations.ObservationsRequest) -> observations.ObservationsPage:
        _check_limit(request.limit)
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
        return observations.ObservationsPage(tuple(self.store.read(lambda tx: _labelled(tx, query, request))))

    def read_resource(self, request: ResourceRequest) -> Resource:
        """NotFound where nobody observes the ref."""
        check_ref(request.ref)
        last: Resource | None = None

        def check() -> Resource | None:
            nonlocal last
            last = self.store.read(lambda tx: _read(tx, request.ref))
            return last if request.answered_by(last) else None

        found = self.waiters.wait({"feed"}, check, min(request.wait, WAIT_MAX)) or last
        assert found is not None
        return found

    def read_resources(self, request: observations.ReadRequest) -> observations.ResourcesReply:
        if len(request.refs) > PAGE_MAX:
            raise InvalidInput(f"expected at most {PAGE_MAX} refs, got {len(request.refs)}: send them in parts")
        for ref in request.refs:
            check_ref(ref)
        keys = sorted({core.ref_key(ref) for ref in request.refs})
        return self.store.read(lambda tx: _resources(tx, list(resources_by_key(tx, keys).values())))

    def trail(self, request: TrailRequest) -> TrailReply:
        """NotFound where nobody observes the ref; no trail where its owner does not tell it in time."""
        asked_at = self.store.run(lambda tx: trails.ask(tx, request.ref))
        return self.waiters.wait(
            {"partition"}, lambda: self.store.read(lambda tx: trails.read(tx, request.ref, asked_at)),
            min(request.wait, WAIT_MAX)) or TrailReply()

    def find_resources(self, request: observations.FindRequest) -> observations.ResourcesReply:
        table = core.resource
        query = sa.select(table).where(
            table.c.resource_id == request.resource_id, table.c.resource_type == request.resource_type
        ).order_by(table.c.region)

        return self.store.read(lambda tx: _resources(tx, tx.execute(query).all()))

    def list_resources(self, request: observations.ResourcesRequest) -> observations.ResourcesPage:
        _check_limit(request.limit)
        return self.store.read(lambda tx: _listed(tx, request))

    def changes(self, request: ChangesRequest) -> ChangesPage:
        """FeedTruncated where deltas after ``since`` are no longer kept, or never were."""
        _check_limit(request.limit)
        since = self.store.read(_newest) if request.since is None else request.since

        def check() -> ChangesPage | None:
            nonlocal since
            for _ in range(LABEL_PAGES):
                before = since
                page = self._page(request, since)
                since = page.next
                if page.deltas or request.label is None or since == before:
                    return page if page.deltas else None
            return page

        found = self.waiters.wait({"feed"}, check, min(request.wait, WAIT_MAX))
        return found or ChangesPage((), Version(since))

    def _page(self, request: ChangesRequest, since: int) -> ChangesPage:
        return self.store.read(lambda tx: _changes(tx, msgspec.structs.replace(request, since=since)))

    def members(self, request: Empty) -> observations.MembersReply:
        """Every member that beats, holds something, or is the newest start of its name (drained or not)."""
        return self.store.read(self._members)

    def _members(self, tx: Transaction) -> observations.MembersReply:
        parts = core.partition
        granted = {
            MemberId(row.owner_name, row.owner_incarnation): row.count
            for row in tx.execute(
                sa.select(parts.c.owner_name, parts.c.owner_incarnation, sa.func.count().label("count"))
                .where(parts.c.owner_name.is_not(None)).group_by(parts.c.owner_name, parts.c.owner_incarnation)
            )
        }
        rows = tx.execute(sa.select(core.member).order_by(core.member.c.name, core.member.c.last_beat_at.desc())).all()
        drained = draining.drained_since(tx)
        found, names = [], set()
        for row in rows:
            held = granted.get(MemberId(row.name, row.incarnation), 0)
            alive = grants.is_alive(row.state, row.last_beat_at, now=tx.now, settings=tx.settings)
            if alive or held or row.name not in names:
                found.append(MemberRecord(_beat(row.beat), row.last_beat_at, alive, held, drained.get(row.name)))
            names.add(row.name)
        return observations.MembersReply(tuple(found), tx.now)

    def partitions(self, request: observations.PartitionsRequest) -> observations.PartitionsReply:
        return observations.PartitionsReply(tuple(self.store.read(lambda tx: _partitions(tx, request.partitions))))


def _labelled(
    tx: Transaction, query: sa.Select[Any], request: observations.ObservationsRequest
) -> list[observations.Observation]:
    """A page of those that have the label asked for.  The database finds its text, and that also where it is part of
    another value: so the page is filled up from what follows."""
    column, after = core.observation.c, request.marker
    if request.label is not None:
        query = query.where(_has_text(request.label))
    found: list[observations.Observation] = []
    while True:
        page = query if after is None else query.where(column.observation_id > after)
        rows = [observation_of(row) for row in tx.execute(page)]
        found += [each for each in rows
                  if request.label is None or each.labels.get(request.label[0]) == request.label[1]]
        if len(rows) < request.limit or len(found) >= request.limit:
            return found[:request.limit]
        after = rows[-1].observation_id


def _has_text(label: tuple[str, str]) -> sa.ColumnElement[bool]:
    """Whether the label's text is in an observation's: where it is, the value is still to be compared."""
    name, value = (to_json(each) for each in label)
    return core.observation.c.labels.contains(f"{name}:{value}", autoescape=True)


def _with_label(tx: Transaction, keys: Sequence[str], label: tuple[str, str], project_id: str | None) -> set[str]:
    """Those of these refs that somebody (of that project) observes with the label."""
    table, found = core.observation, set()
    for some in chunks(keys):
        query = sa.select(table.c.ref_key, table.c.labels).where(table.c.ref_key.in_(some), _has_text(label))
        if project_id is not None:
            query = query.where(table.c.project_id == project_id)
        found |= {row.ref_key for row in tx.execute(query) if labels_of(row).get(label[0]) == label[1]}
    return found


def _of_stacks(tx: Transaction, request: observations.StopRequest) -> dict[str, str]:
    """Those that belong to a stack, with its id.  A node waits for what its stack observes: stopped by hand, it would
    wait for ever."""
    table, found = core.observation, {}
    for some in chunks(sorted(set(request.observation_ids))):
        query = sa.select(table.c.observation_id, table.c.stack_id).where(
            table.c.observation_id.in_(some), table.c.stack_id.is_not(None))
        if request.project_id is not None:
            query = query.where(table.c.project_id == request.project_id)
        found.update({row.observation_id: row.stack_id for row in tx.execute(query)})
    return found


def _observations_of(tx: Transaction, keys: Sequence[str]) -> dict[str, int]:
    table = core.observation
    counts: dict[str, int] = {}
    for some in chunks(keys):
        query = sa.select(table.c.ref_key, sa.func.count()).where(table.c.ref_key.in_(some)).group_by(table.c.ref_key)
        counts.update({key: count for key, count in tx.execute(query)})
    return counts


def _resources(tx: Transaction, rows: Sequence[Any]) -> observations.ResourcesReply:
    counts = _observations_of(tx, [row.ref_key for row in rows])
    return observations.ResourcesReply(tuple(resource_of(row, counts.get(row.ref_key, 0)) for row in rows))


def _read(tx: Transaction, ref: Ref) -> Resource:
    key = core.ref_key(ref)
    row = tx.execute(sa.select(core.resource).where(core.resource.c.ref_key == key)).one_or_none()
    if row is None:
        raise NotFound(f"{ref} is not observed: start an observation of it first")
    return resource_of(row, _observations_of(tx, [key]).get(key, 0))


def _listed(tx: Transaction, request: observations.ResourcesRequest) -> observations.ResourcesPage:
    version = _newest(tx)
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
        labelled = sa.select(core.observation.c.ref_key).where(_has_text(request.label))
        query = query.where(table.c.ref_key.in_(labelled))
    if request.since is not None:
        query = query.where(table.c.version > request.since)
    if request.marker is not None:
        query = query.where(table.c.ref_key > request.marker)
    rows = tx.execute(query).all()
    marker = rows[request.limit - 1].ref_key if len(rows) > request.limit else None
    rows = rows[:request.limit]
    if request.label is not None:
        kept = _with_label(tx, [row.ref_key for row in rows], request.label, request.labelled_by)
        rows = [row for row in rows if row.ref_key in kept]
    counts = _observations_of(tx, [row.ref_key for row in rows])
    found = tuple(resource_of(row, counts.get(row.ref_key, 0)) for row in rows)
    return observations.ResourcesPage(found, Version(version), marker)


def _newest(tx: Transaction) -> int:
    return tx.execute(sa.select(core.feed.c.version)).scalar_one()


def _changes(tx: Transaction, request: ChangesRequest) -> ChangesPage:
    feed = tx.execute(sa.select(core.feed)).one()
    if not feed.pruned_version <= request.since <= feed.version:
        raise _truncated(feed, request.since)
    table = core.delta
    query = sa.select(table).where(table.c.version > request.since, table.c.version <= feed.version)
    for name in ("resource_type", "resource_id", "project_id", "stack_id"):
        value = getattr(request, name)
        if value is not None:
            query = query.where(table.c[name] == value)
    rows = tx.execute(query.order_by(table.c.version).limit(request.limit)).all()
    # each statement sees its own moment: what was forgotten between the two must not be passed over in silence
    if tx.execute(sa.select(core.feed.c.pruned_version)).scalar_one() > request.since:
        raise _truncated(feed, request.since)
    following = rows[-1].version if len(rows) == request.limit else feed.version
    if request.label is not None:
        keys = [core.ref_key(ref_of(row)) for row in rows]
        kept = _with_label(tx, sorted(set(keys)), request.label, request.labelled_by)
        rows = [row for key, row in zip(keys, rows, strict=True) if key in kept]
    return ChangesPage(tuple(_delta(row) for row in rows), Version(following))


def _truncated(feed: Any, since: int) -> FeedTruncated:
    return FeedTruncated(
        f"expected a version from {feed.pruned_version} to {feed.version}, got {since}: read the resources again, "
        "then follow from the newest version"
    )


def _delta(row: Any) -> Delta:
    return Delta(
        version=Version(row.version), at=row.at, ref=ref_of(row), condition=Condition(row.condition),
        before_condition=Condition(row.before_condition), standing=GoalProgress(row.standing), status=row.status,
        before_status=row.before_status, settled=row.settled, changed=_names(row.changed), project_id=row.project_id,
        stack_id=row.stack_id, member=row.member, generation=row.generation, cause=row.cause,
        fetched_at=row.fetched_at,
    )


def _partitions(tx: Transaction, numbers: tuple[PartitionId, ...] | None) -> list[PartitionRecord]:
    table, refs = core.partition, core.resource
    query = sa.select(table).order_by(table.c.partition_id)
    counting = sa.select(refs.c.partition_id, sa.func.count()).group_by(refs.c.partition_id)
    if numbers is not None:
        grants.check_partitions(tx, numbers)
        query = query.where(table.c.partition_id.in_(numbers))
        counting = counting.where(refs.c.partition_id.in_(numbers))
    counts = {number: count for number, count in tx.execute(counting)}
    return [
        PartitionRecord(
            partition=PartitionId(row.partition_id), generation=Generation(row.generation),
            owner=grants.owner_of(row), since=row.since, observation_version=row.observation_version,
            observed=counts.get(row.partition_id, 0), asked_by=row.asked_by, asked_at=row.asked_at, why=row.why,
        )
        for row in tx.execute(query)
    ]

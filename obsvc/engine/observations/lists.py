"""What an owner reads: whole lists in pages (``observed``) and what changed since (``changes_since``).

Read-only; versions are read before the rows that they answer for, so a change in between is sent twice rather
than never.
"""
from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import sqlalchemy as sa

from obsvc.engine.database.rows import chunks, ref_of
from obsvc.engine.database.store import Transaction
from obsvc.engine.observations import trails
from obsvc.engine.observations.records import observed_refs, resources_by_key
from obsvc.engine.ownership.grants import asked_since, check_partitions, holds
from obsvc.engine.schema import core
from obsvc.engine.schema.rows import PartitionRow, ResourceRow
from obsvc.engine_client.ownership import (
    ASK_STANDS,
    FollowReply,
    FollowRequest,
    ObservedPage,
    ObservedRequest,
    PartitionChanges,
)
from obsvc.exceptions import InvalidInput
from obsvc.model import PartitionId, Ref

#: Refs in one page at most, whatever was asked for.
PAGE_MAX = 5000

#: Changes of one partition that are sent one by one; after more, reading its list again is cheaper.
CHANGES_MAX = 2000


class _Position(NamedTuple):
    """Where a page ended: its last row, and the version under which that row's partition is being listed."""

    partition: PartitionId
    version: int
    region: str
    resource_type: str
    resource_id: str


def _partition_rows(tx: Transaction, numbers: Iterable[PartitionId]) -> dict[PartitionId, PartitionRow]:
    table = core.partition
    rows: list[PartitionRow] = []
    for chunk in chunks(sorted(set(numbers))):
        rows += map(PartitionRow._make, tx.execute(sa.select(table).where(table.c.partition_id.in_(chunk))))
    return {row.partition_id: row for row in rows}


def observed(tx: Transaction, request: ObservedRequest) -> ObservedPage:
    """One page of the refs of granted partitions; see the contract."""
    check_partitions(tx, (number for number, _ in request.held))
    if not 1 <= request.limit:
        raise InvalidInput(f"expected a limit of at least 1, got {request.limit}")
    after = _decode(request.after)
    parts = _partition_rows(tx, (number for number, _ in request.held))
    held = sorted({number for number, generation in request.held if holds(parts[number], request.member, generation)})
    lost = sorted({number for number, _ in request.held} - set(held))
    ahead = [number for number in held if after is None or number >= after.partition]
    limit = min(request.limit, PAGE_MAX)
    rows = _rows_after(tx, ahead, after, limit + 1)
    page = rows[:limit]
    ended = len(rows) <= limit
    last = page[-1] if page else None
    complete = [number for number in ahead if ended or (last is not None and number < last.partition_id)]
    versions = {number: parts[number].observation_version for number in ahead}
    if after is not None and after.partition in versions:
        versions[after.partition] = after.version
    following = None
    if not ended and last is not None:
        following = _encode(
            _Position(
                last.partition_id, versions[last.partition_id], last.region, last.resource_type, last.resource_id
            )
        )
    return ObservedPage(
        refs=tuple(observed_refs(tx, page)), complete=tuple((number, versions[number]) for number in complete),
        lost=tuple(lost), next=following,
    )


def _rows_after(
    tx: Transaction, numbers: Sequence[PartitionId], after: _Position | None, limit: int
) -> list[ResourceRow]:
    if not numbers:
        return []
    table = core.resource
    place = (table.c.partition_id, table.c.region, table.c.resource_type, table.c.resource_id)
    query = sa.select(table).where(table.c.partition_id.in_(numbers)).order_by(*place).limit(limit)
    if after is not None:
        values = (after.partition, after.region, after.resource_type, after.resource_id)
        later = [
            sa.and_(*(place[i] == values[i] for i in range(depth)), place[depth] > values[depth]) for depth in range(4)
        ]
        query = query.where(sa.or_(*later))
    return [ResourceRow._make(row) for row in tx.execute(query)]


def _encode(position: _Position) -> str:
    return msgspec.json.encode(position).decode()


def _decode(token: str | None) -> _Position | None:
    if token is None:
        return None
    try:
        return msgspec.json.decode(token, type=_Position)
    except msgspec.DecodeError as error:
        raise InvalidInput(f"expected in 'after' the 'next' of the page before, got {token[:100]!r}") from error


def changes_since(tx: Transaction, request: FollowRequest) -> FollowReply:
    """What a follower has to know now; every field empty where there is nothing."""
    known = {number: (generation, version) for number, generation, version in request.known}
    parts = _partition_rows(tx, known)
    lost, asked, moved = [], [], []
    for number in sorted(known):
        row = parts[number]
        if not holds(row, request.member, known[number][0]):
            lost.append(number)
            continue
        if _is_asked(tx, row):
            asked.append(number)
        if row.observation_version > known[number][1]:
            moved.append(row)
    changes = _changes(tx, moved, {number: version for number, (_, version) in known.items()})
    return FollowReply(tuple(changes), tuple(asked), tuple(lost), trails.asked(tx, set(known) - set(lost)))


def _is_asked(tx: Transaction, row: PartitionRow) -> bool:
    """Whether another member waits for the partition now."""
    since = asked_since(row.asked_at, row.asked_again_at, now=tx.now, settings=tx.settings)
    return since is not None and row.asked_again_at is not None and tx.now - row.asked_again_at <= ASK_STANDS


def _changes(
    tx: Transaction, moved: Sequence[PartitionRow], known: Mapping[PartitionId, int]
) -> list[PartitionChanges]:
    listed = [row for row in moved if _kept(row, known[row.partition_id])]
    refs_of: dict[PartitionId, dict[str, Ref]] = collections.defaultdict(dict)
    read: collections.Counter[PartitionId] = collections.Counter()
    table = core.partition_change
    for chunk in chunks(listed, 50):
        ranges = [
            sa.and_(
                table.c.partition_id == row.partition_id, table.c.version > known[row.partition_id],
                table.c.version <= row.observation_version,
            )
            for row in chunk
        ]
        for change in tx.execute(sa.select(table).where(sa.or_(*ranges))):
            refs_of[change.partition_id][change.ref_key] = ref_of(change)
            read[change.partition_id] += 1
    there = resources_by_key(tx, (key for refs in refs_of.values() for key in refs))
    rows = list(there.values())
    now = dict(zip((row.ref_key for row in rows), observed_refs(tx, rows), strict=True))
    changes = []
    for row in moved:
        number = row.partition_id
        refs = refs_of.get(number, {})
        changes.append(
            PartitionChanges(
                number, row.observation_version, changed=tuple(now[key] for key in refs if key in now),
                stopped=tuple(ref for key, ref in refs.items() if key not in now),
                # every version has its row: one that is missing was forgotten while we read
                reload=read[number] != row.observation_version - known[number],
            )
        )
    return changes


def _kept(row: PartitionRow, version: int) -> bool:
    return version >= row.pruned_version and row.observation_version - version <= CHANGES_MAX

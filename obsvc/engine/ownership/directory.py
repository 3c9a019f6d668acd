"""Who is there and who has what: members and partitions as operators see them.  Reads only.

Functions belong to the thread of their Transaction.
"""
from __future__ import annotations

import msgspec
import sqlalchemy as sa

from obsvc.engine.database.store import Transaction
from obsvc.engine.ownership import draining, grants
from obsvc.engine.schema import core
from obsvc.engine.schema.rows import MemberRow, PartitionRow
from obsvc.engine_client.observations import MembersReply
from obsvc.engine_client.ownership import Beat, MemberRecord, PartitionRecord
from obsvc.model import MemberId, PartitionId

_beat = msgspec.json.Decoder(Beat).decode


def members(tx: Transaction) -> MembersReply:
    """Every member that beats, holds something, or is the newest start of its name (drained or not)."""
    parts = core.partition
    granted: dict[MemberId, int] = {
        MemberId(name, incarnation): count
        for name, incarnation, count in tx.execute(
            sa.select(parts.c.owner_name, parts.c.owner_incarnation, sa.func.count())
            .where(parts.c.owner_name.is_not(None)).group_by(parts.c.owner_name, parts.c.owner_incarnation)
        )
    }
    rows = tx.execute(sa.select(core.member).order_by(core.member.c.name, core.member.c.last_beat_at.desc()))
    drained = draining.drained_since(tx)
    records: list[MemberRecord] = []
    names: set[str] = set()
    for row in map(MemberRow._make, rows):
        held = granted.get(MemberId(row.name, row.incarnation), 0)
        alive = grants.is_alive(row.state, row.last_beat_at, now=tx.now, settings=tx.settings)
        if alive or held or row.name not in names:
            records.append(MemberRecord(_beat(row.beat), row.last_beat_at, alive, held, drained.get(row.name)))
        names.add(row.name)
    return MembersReply(tuple(records), tx.now)


def partitions(tx: Transaction, numbers: tuple[PartitionId, ...] | None) -> list[PartitionRecord]:
    """These partitions (None: all), ascending, with how many refs are observed in each."""
    table, refs = core.partition, core.resource
    query = sa.select(table).order_by(table.c.partition_id)
    counting = sa.select(refs.c.partition_id, sa.func.count()).group_by(refs.c.partition_id)
    if numbers is not None:
        grants.check_partitions(tx, numbers)
        query = query.where(table.c.partition_id.in_(numbers))
        counting = counting.where(refs.c.partition_id.in_(numbers))
    counts: dict[PartitionId, int] = {number: count for number, count in tx.execute(counting)}
    return [
        PartitionRecord(
            partition=row.partition_id, generation=row.generation,
            owner=grants.owner_of(row), since=row.since, observation_version=row.observation_version,
            observed=counts.get(row.partition_id, 0), asked_by=row.asked_by, asked_at=row.asked_at, why=row.why,
        )
        for row in map(PartitionRow._make, tx.execute(query))
    ]

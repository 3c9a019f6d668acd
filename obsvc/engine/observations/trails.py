"""Trails, on their way from the owner of a ref to the caller who asked; forgotten with the retention.

An ask is a row that ``follow`` shows to the owner; once answered, the row has the trail.  Written under the lock of
the ref's partition.  Functions belong to the thread of their Transaction.
"""
from __future__ import annotations

from collections.abc import Collection

import msgspec
import sqlalchemy as sa

from obsvc.engine.database.rows import check_ref, ref_of
from obsvc.engine.database.store import Transaction
from obsvc.engine.observations.records import observed_keys
from obsvc.engine.ownership import grants
from obsvc.engine.schema import core
from obsvc.engine_client.trails import ASK_STANDS, TellTrailsRequest, Trail, TrailReply
from obsvc.exceptions import NotFound
from obsvc.model import MemberId, Ref, partition

#: Seconds that a row is kept.
KEPT = 60.0

_table = core.trail
_decode = msgspec.json.Decoder(Trail).decode


def ask(tx: Transaction, ref: Ref) -> float:
    """Ask the owner of ``ref`` for its trail; the time of asking.  NotFound where nobody observes the ref."""
    check_ref(ref)
    key, number = core.ref_key(ref), partition(ref, tx.partitions)
    tx.lock_partitions([number])
    if not observed_keys(tx, [key]):
        raise NotFound(f"{ref} is not observed: start an observation first")
    tx.execute(sa.delete(_table).where(_table.c.ref_key == key))
    tx.execute(sa.insert(_table).values(
        ref_key=key, region=ref.region, resource_type=ref.resource_type, resource_id=ref.resource_id,
        partition_id=number, asked_at=tx.now))
    tx.touch("partition")
    return tx.now


def asked(tx: Transaction, numbers: Collection[int]) -> tuple[Ref, ...]:
    """The refs of these partitions whose trail is waited for."""
    rows = tx.execute(sa.select(_table).where(
        _table.c.told_at.is_(None), _table.c.asked_at >= tx.now - ASK_STANDS).order_by(_table.c.ref_key)).all()
    return tuple(ref_of(row) for row in rows if row.partition_id in numbers)


def tell(tx: Transaction, request: TellTrailsRequest) -> None:
    """Keep the owner's trails; those of any other member, and those that nobody asked for, are ignored."""
    told = {core.ref_key(trail.ref): trail for trail in request.trails}
    numbers = {key: partition(trail.ref, tx.partitions) for key, trail in told.items()}
    parts = tx.lock_partitions(numbers.values())
    for key, trail in told.items():
        if grants.holds(parts[numbers[key]], request.member, trail.generation):
            tx.execute(sa.update(_table).where(_table.c.ref_key == key, _table.c.told_at.is_(None)).values(
                told_at=tx.now, name=request.member.name, incarnation=request.member.incarnation,
                body=msgspec.json.encode(trail.trail).decode()))
    tx.touch("partition")


def read(tx: Transaction, ref: Ref, asked_at: float) -> TrailReply | None:
    """The trail that came since ``asked_at``; None until there is one."""
    row = tx.execute(sa.select(_table).where(_table.c.ref_key == core.ref_key(ref))).one_or_none()
    if row is None or row.told_at is None or row.told_at < asked_at:
        return None
    return TrailReply(_decode(row.body), MemberId(row.name, row.incarnation))


def forget(tx: Transaction) -> None:
    tx.execute(sa.delete(_table).where(_table.c.asked_at < tx.now - KEPT))

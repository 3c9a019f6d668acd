"""Duties: what is to be done once for the cluster, by the owner of its partition.

A row of a duty is written under the lock of its partition, by the member that holds that partition under the
generation named: two members may believe that they lead, but only one of them has any effect.  Functions belong to
the thread of their Transaction.
"""
from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

import msgspec
import sqlalchemy as sa

from obsvc.engine.database.rows import to_json
from obsvc.engine.database.store import Transaction
from obsvc.engine.ownership import grants
from obsvc.engine.schema import core
from obsvc.engine.schema.duties import duty as table
from obsvc.engine.schema.selectors import selector
from obsvc.engine_client.duties import (
    DutiesReply,
    DutyBegin,
    DutyBegun,
    DutyEnd,
    DutyEnded,
    DutyRecord,
    DutyRequest,
    DutySpec,
)
from obsvc.engine_client.ownership import Beat
from obsvc.engine_client.reports import Verdict
from obsvc.exceptions import InvalidInput, NotFound
from obsvc.model import Generation, MemberId, PartitionId, partition_of_id

LOG = logging.getLogger(__name__)

#: Longest error that is kept, characters.
ERROR_MAX = 1000

_result = msgspec.json.Decoder(dict[str, int]).decode
_beat = msgspec.json.Decoder(Beat).decode


class DutyRow(NamedTuple):
    """A whole row of ``duty``, in the table's order."""

    name: str
    kind: str
    region: str
    service: str
    partition_id: PartitionId
    run_id: str | None
    running_since: float | None
    last_run_at: float | None
    last_ended_at: float | None
    next_run_at: float | None
    pace: float
    cursor_text: str
    result: str
    last_error: str | None
    requested_at: float | None
    request_reason: str | None


class LeaderColumns(NamedTuple):
    """The owner of a duty's partition."""

    partition_id: PartitionId
    generation: Generation
    owner_name: str | None
    owner_incarnation: str | None
    since: float | None


class LeaderRequest(Protocol):
    """What every request of a leader has."""

    @property
    def member(self) -> MemberId: ...
    @property
    def name(self) -> str: ...
    @property
    def generation(self) -> Generation: ...
    @property
    def run_id(self) -> str: ...


def ensure(tx: Transaction, specs: Iterable[DutySpec]) -> None:
    """Make the rows of those duties that are not there."""
    wanted = {spec.name: spec for spec in specs}
    for spec in wanted.values():
        if not all(0 < len(text) <= most and "\0" not in text for text, most in (
                (spec.name, 255), (spec.kind, 32), (spec.region, 64), (spec.service, 64))):
            raise InvalidInput(f"expected a duty's name, kind, region and service of 1 to 255, 32, 64 and 64 "
                               f"characters, got {spec}")
    missing = [spec for spec in wanted.values() if spec.name not in _names(tx)]
    if not missing:
        return
    tx.lock_partitions(partition_of_id(spec.name, tx.partitions) for spec in missing)
    there = _names(tx)  # again, under the locks: another member may have asked at the same moment
    rows: list[dict[str, Any]] = [
        {
            "name": spec.name, "kind": spec.kind, "region": spec.region, "service": spec.service,
            "partition_id": partition_of_id(spec.name, tx.partitions), "pace": 0.0, "cursor_text": "", "result": "{}",
        }
        for spec in missing if spec.name not in there
    ]
    if rows:
        tx.execute(sa.insert(table), rows)
        tx.after_commit(lambda: LOG.info("new duties: %s", ", ".join(sorted(row["name"] for row in rows))))


def _names(tx: Transaction) -> set[str]:
    return set(tx.execute(sa.select(table.c.name)).scalars())


def read(tx: Transaction) -> DutiesReply:
    """Every duty with its leader, and how many changes its service's notifications told of."""
    parts = core.partition
    rows = tx.execute(
        sa.select(table, *[parts.c[name] for name in LeaderColumns._fields])
        .join(parts, parts.c.partition_id == table.c.partition_id).order_by(table.c.name)
    ).all()
    seen, missed = _recall(tx) if rows else (Counter(), Counter())
    width = len(DutyRow._fields)
    return DutiesReply(tuple(
        _record(DutyRow._make(row[:width]), LeaderColumns._make(row[width:]), seen, missed) for row in rows), tx.now)


def _recall(tx: Transaction) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]:
    """Changes (seen, missed) by region and service, of all members that are alive."""
    members = core.member
    seen: Counter[tuple[str, str]] = Counter()
    missed: Counter[tuple[str, str]] = Counter()
    for row in tx.execute(sa.select(members.c.beat, members.c.state, members.c.last_beat_at)):
        if grants.is_alive(row.state, row.last_beat_at, now=tx.now, settings=tx.settings):
            for count in _beat(row.beat).recall:
                seen[count.region, count.service] += count.seen
                missed[count.region, count.service] += count.missed
    return seen, missed


def _record(
    row: DutyRow, leader: LeaderColumns, seen: Counter[tuple[str, str]], missed: Counter[tuple[str, str]]
) -> DutyRecord:
    return DutyRecord(
        name=row.name, kind=row.kind, region=row.region, service=row.service,
        partition=row.partition_id, generation=leader.generation, leader=grants.owner_of(leader),
        since=leader.since, running_since=row.running_since, last_run_at=row.last_run_at,
        last_ended_at=row.last_ended_at, next_run_at=row.next_run_at, interval=row.pace, result=_result(row.result),
        last_error=row.last_error, requested_at=row.requested_at, request_reason=row.request_reason,
        seen=seen[row.region, row.service], missed=missed[row.region, row.service],
    )


def ask(tx: Transaction, request: DutyRequest) -> list[str]:
    """Request a run; the names of the duties concerned."""
    chosen = sa.select(table.c.name, table.c.partition_id).where(table.c.region == request.region)
    if request.service is not None:
        chosen = chosen.where(table.c.service == request.service)
    rows = tx.execute(chosen).all()
    tx.lock_partitions(row.partition_id for row in rows)
    names = sorted(row.name for row in rows)
    if names:
        tx.execute(sa.update(table).where(table.c.name.in_(names))
                   .values(requested_at=tx.now, request_reason=request.reason[:255]))
    return names


def lead(tx: Transaction, request: LeaderRequest, others: Iterable[PartitionId] = ()) -> tuple[DutyRow, bool]:
    """``(row, leads)``: the duty's row as it stands under the lock of its partition, and whether the sender leads.

    others: partitions to be locked with it, so that all locks are taken in their one order.  Raises NotFound.
    """
    number = partition_of_id(request.name, tx.partitions)
    parts = tx.lock_partitions({number, *others})
    stored = tx.execute(sa.select(table).where(table.c.name == request.name)).one_or_none()
    if stored is None:
        raise NotFound(f"no duty {request.name!r}")
    leads = grants.holds(parts[number], request.member, request.generation)
    if not leads:
        owner, generation = grants.owner_of(parts[number]), parts[number].generation
        tx.after_commit(lambda: LOG.info(
            "duty %s: %s does not lead under generation %d, %s has it under %d", request.name, request.member,
            request.generation, owner, generation))
    return DutyRow._make(stored), leads


def begin(tx: Transaction, request: DutyBegin) -> DutyBegun:
    """Begin a run, or go on with one that never ended."""
    row, leads = lead(tx, request)
    if not leads:
        return DutyBegun(Verdict.STALE_GENERATION)
    began_at = tx.now if row.running_since is None else row.running_since
    tx.execute(sa.update(table).where(table.c.name == request.name)
               .values(run_id=request.run_id, running_since=began_at))
    kinds = core.resource.c
    counted: dict[str, int] = {kind: count for kind, count in tx.execute(
        sa.select(kinds.resource_type, sa.func.count())
        .where(kinds.region == row.region, kinds.resource_type.in_(request.types)).group_by(kinds.resource_type)
    )}
    return DutyBegun(
        Verdict.ACCEPTED, began_at=began_at, cursor=row.cursor_text,
        observed=dict.fromkeys(_selected(tx, row.region) & set(request.types), 1) | counted,
        requested=row.requested_at is not None and row.requested_at <= began_at,
    )


def _selected(tx: Transaction, region: str) -> set[str]:
    """The resource types that selectors of the region select: they are listed even where nothing is observed yet."""
    return set(tx.execute(sa.select(selector.c.resource_type).where(selector.c.region == region)).scalars())


def end(tx: Transaction, request: DutyEnd) -> DutyEnded:
    """End a run.  The same end again is accepted and changes nothing."""
    row, leads = lead(tx, request)
    if not leads:
        return DutyEnded(Verdict.STALE_GENERATION)
    if row.run_id != request.run_id:
        return DutyEnded(Verdict.SUPERSEDED)
    if row.running_since is None:
        return DutyEnded(Verdict.ACCEPTED)
    answered = request.error is None and row.requested_at is not None and row.requested_at <= row.running_since
    error = None if request.error is None else request.error[:ERROR_MAX]
    values: dict[str, Any] = {
        "running_since": None, "last_run_at": row.running_since, "last_ended_at": tx.now,
        "next_run_at": tx.now + request.next_in, "pace": request.interval, "result": to_json(request.result),
        "last_error": error,
    }
    if answered:
        values |= {"requested_at": None, "request_reason": None}
    tx.execute(sa.update(table).where(table.c.name == request.name).values(values))
    return DutyEnded(Verdict.ACCEPTED)

"""Between rows and values: how snapshots, observed refs and observations are stored and read back.

Functions that take a Transaction belong to its thread; the others are pure.
"""
from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from obsvc.engine.judging import Known, Watch
from obsvc.engine.schema import core
from obsvc.engine.store import Transaction
from obsvc.engine_client.observations import Observation, ObservationStatus, Resource
from obsvc.engine_client.ownership import ObservedRef
from obsvc.engine_client.reports import Verdict
from obsvc.exceptions import InvalidInput
from obsvc.model import Condition, Ref, Snapshot

T = TypeVar("T")

#: Values in one IN list: every database takes that many, and plans stay small.
CHUNK = 500

_encode = msgspec.json.Encoder().encode
_snapshot = msgspec.json.Decoder(Snapshot).decode
_attributes = msgspec.json.Decoder(dict[str, Any]).decode
_labels = msgspec.json.Decoder(dict[str, str]).decode


def chunks(values: Sequence[T], size: int = CHUNK) -> Iterator[Sequence[T]]:
    """``values`` in pieces of at most ``size``."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def to_json(value: object) -> str:
    return _encode(value).decode()


def check_ref(ref: Ref) -> None:
    """Raise InvalidInput for a ref that can't be stored."""
    limits = (
        ("region", ref.region, core.REGION_LENGTH), ("resource type", ref.resource_type, core.TYPE_LENGTH),
        ("resource id", ref.resource_id, core.RESOURCE_ID_LENGTH),
    )
    for what, text, longest in limits:
        if not text or len(text) > longest or "\0" in text:
            raise InvalidInput(f"expected a {what} of 1 to {longest} characters, got {text[:80]!r} ({len(text)})")


def ref_of(row: Any) -> Ref:
    return Ref(row.region, row.resource_type, row.resource_id)


def store_snapshot(snapshot: Snapshot) -> dict[str, Any]:
    """The columns that hold ``snapshot``."""
    head = msgspec.structs.replace(snapshot, attributes={})
    return {
        "snapshot": to_json(head), "attributes": to_json(snapshot.attributes),
        "condition": snapshot.condition.value, "project_id": snapshot.project_id,
    }


def load_head(row: Any) -> Snapshot | None:
    """The snapshot of a resource's row without its attributes."""
    return None if row.snapshot is None else _snapshot(row.snapshot)


def load_snapshot(row: Any) -> Snapshot | None:
    """The whole snapshot of a resource's row."""
    head = load_head(row)
    return head and msgspec.structs.replace(head, attributes=_attributes(row.attributes or "{}"))


def known_of(row: Any) -> Known:
    return Known(
        generation=row.generation, sequence=row.sequence, snapshot=load_snapshot(row),
        verdict=None if row.verdict is None else Verdict(row.verdict), version=row.verdict_version, looked=row.looked,
    )


@dataclasses.dataclass(frozen=True)
class StoredWatch(Watch):
    """A Watch with its deadline."""

    deadline: float | None = None


def watch_of(row: Any) -> StoredWatch:
    return StoredWatch(
        observation_id=row.observation_id, goal=row.goal and Condition(row.goal),
        status=ObservationStatus(row.status), start_mark=row.start_mark, stack_id=row.stack_id, node_id=row.node_id,
        deadline=row.deadline,
    )


def watches_by_key(tx: Transaction, keys: Iterable[str]) -> dict[str, list[StoredWatch]]:
    """Every observation of these refs, by ref_key, oldest first."""
    found: dict[str, list[StoredWatch]] = {key: [] for key in keys}
    table = core.observation
    columns = (
        table.c.ref_key, table.c.observation_id, table.c.goal, table.c.status, table.c.start_mark, table.c.stack_id,
        table.c.node_id, table.c.deadline,
    )
    for some in chunks(list(found)):
        order = (table.c.started_at, table.c.observation_id)
        for row in tx.execute(sa.select(*columns).where(table.c.ref_key.in_(some)).order_by(*order)):
            found[row.ref_key].append(watch_of(row))
    return found


def resources_by_key(tx: Transaction, keys: Iterable[str]) -> dict[str, sa.Row[Any]]:
    """The rows of these refs that are observed, by ref_key."""
    found: dict[str, sa.Row[Any]] = {}
    for some in chunks(sorted(set(keys))):
        for row in tx.execute(sa.select(core.resource).where(core.resource.c.ref_key.in_(some))):
            found[row.ref_key] = row
    return found


def waiting(watches: Iterable[StoredWatch]) -> tuple[tuple[Condition, ...], float | None]:
    """``(wanted, deadline)`` of a ref: the goals still waited for, and the earliest deadline of those."""
    open_ones = [one for one in watches if one.status is ObservationStatus.WAITING and one.goal is not None]
    deadlines = [one.deadline for one in open_ones if one.deadline is not None]
    return tuple(sorted({one.goal for one in open_ones if one.goal})), min(deadlines, default=None)


def observed_refs(tx: Transaction, rows: Sequence[sa.Row[Any]]) -> list[ObservedRef]:
    """What the owner must know of each of these resource rows, in their order."""
    watches = watches_by_key(tx, (row.ref_key for row in rows))
    found = []
    for row in rows:
        wanted, deadline = waiting(watches[row.ref_key])
        found.append(
            ObservedRef(
                ref=ref_of(row), started_at=row.started_at, wanted=wanted, deadline=deadline, mark=row.mark,
                last=load_head(row), mark_reason=None if row.mark is None else row.mark_reason,
            )
        )
    return found


def observation_of(row: Any) -> Observation:
    """From a row of observation joined with the ref's columns."""
    return Observation(
        observation_id=row.observation_id, ref=ref_of(row), status=ObservationStatus(row.status),
        started_at=row.started_at, goal=row.goal and Condition(row.goal), deadline=row.deadline,
        labels=_labels(row.labels), project_id=row.project_id, stack_id=row.stack_id, node_id=row.node_id,
        met_at=row.met_at,
    )


def resource_of(row: Any, observations: int) -> Resource:
    return Resource(
        ref=ref_of(row), partition=row.partition_id, version=row.version, snapshot=load_snapshot(row),
        generation=row.generation or None, reported_by=row.reported_by, reported_at=row.reported_at, mark=row.mark,
        observations=observations,
    )

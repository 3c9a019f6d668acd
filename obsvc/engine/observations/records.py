"""Between rows and values: how snapshots, observed refs and observations are stored and read back.

Functions that take a Transaction belong to its thread; the others are pure.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from obsvc.engine.database.rows import chunks, to_json
from obsvc.engine.database.store import AnyRow, Transaction
from obsvc.engine.observations.judging import Known, Watch
from obsvc.engine.schema import core
from obsvc.engine.schema.rows import ObservationRow, ResourceRow
from obsvc.engine_client.observations import Observation, ObservationStatus, Resource
from obsvc.engine_client.ownership import ObservedRef
from obsvc.engine_client.reports import Verdict
from obsvc.model import Condition, Generation, Snapshot, Version

#: By their values; looking one up is cheaper than making it, and this is done for each report.
_VERDICTS = {str(verdict): verdict for verdict in Verdict}
_CONDITIONS = {str(condition): condition for condition in Condition}
_STATUSES = {str(status): status for status in ObservationStatus}

_snapshot = msgspec.json.Decoder(Snapshot).decode
_labels = msgspec.json.Decoder(dict[str, str]).decode


def load_labels(text: str) -> dict[str, str]:
    """The labels that an observation's row holds as text."""
    return _labels(text)


#: The columns of a resource's row that hold its snapshot, in the table's order.
SNAPSHOT_COLUMNS = ("condition", "project_id", "snapshot", "attributes")


def store_snapshot(snapshot: Snapshot) -> tuple[str, str | None, str, str]:
    """What the columns SNAPSHOT_COLUMNS hold of ``snapshot``."""
    head = msgspec.structs.replace(snapshot, attributes={})
    return str(snapshot.condition), snapshot.project_id, to_json(head), to_json(snapshot.attributes)


def load_head(head: str | None) -> Snapshot | None:
    """The snapshot in a resource's row without its attributes."""
    return None if head is None else _snapshot(head)


def load_snapshot(head: str | None, attributes: str | None) -> Snapshot | None:
    """The whole snapshot in a resource's row."""
    if head is None:
        return None
    return _snapshot(f'{head[:-1]},"attributes":{attributes or "{}"}}}')  # a head is never empty


class StoredWatch(Watch, frozen=True):
    """A Watch with its deadline.  selected: for selectors."""

    deadline: float | None = None
    selected: bool = False


def watch_of(row: ObservationRow) -> StoredWatch:
    return _watch(row.observation_id, row.goal, row.status, row.start_mark, row.stack_id, row.node_id, row.deadline,
                  row.selected)


def _watch(observation_id: str, goal: str | None, status: str, start_mark: int, stack_id: str | None,
           node_id: str | None, deadline: float | None, selected: bool) -> StoredWatch:
    return StoredWatch(observation_id, None if goal is None else _CONDITIONS[goal], _STATUSES[status], start_mark,
                       stack_id, node_id, deadline, selected)


#: Columns of an observation that decide, as StoredWatch has them.
_WATCH = ("observation_id", "goal", "status", "start_mark", "stack_id", "node_id", "deadline", "selected")
_WATCHES = (
    sa.select(*[core.observation.c[name] for name in ("ref_key", *_WATCH)])
    .where(core.observation.c.ref_key.in_(sa.bindparam("keys", expanding=True)))
    .order_by(core.observation.c.started_at, core.observation.c.observation_id)
)


def watches_by_key(tx: Transaction, keys: Iterable[str]) -> dict[str, list[StoredWatch]]:
    """Every observation of these refs, by ref_key, oldest first."""
    watches: dict[str, list[StoredWatch]] = {key: [] for key in keys}
    for chunk in chunks(list(watches)):
        for key, *values in tx.execute(_WATCHES, {"keys": chunk}).all():
            watches[key].append(_watch(*values))
    return watches


_OF_KEYS = core.resource.c.ref_key.in_(sa.bindparam("keys", expanding=True))
_RESOURCES = sa.select(core.resource).where(_OF_KEYS)
_KEYS = sa.select(core.resource.c.ref_key).where(_OF_KEYS)
_KNOWN = sa.select(*[core.resource.c[name] for name in (
    "ref_key", "version", "mark", "snapshot", "attributes", "generation", "sequence", "verdict", "verdict_version",
    "looked")]).where(_OF_KEYS)


def resources_by_key(tx: Transaction, keys: Iterable[str]) -> dict[str, ResourceRow]:
    """The rows of these refs that are observed, by ref_key."""
    rows = [ResourceRow._make(row) for row in _of_keys(tx, _RESOURCES, keys)]
    return {row.ref_key: row for row in rows}


def observed_keys(tx: Transaction, keys: Iterable[str]) -> set[str]:
    """Those of these ref_keys that are observed."""
    return {key for (key,) in _of_keys(tx, _KEYS, keys)}


class StoredKnown(NamedTuple):
    """What is known of a ref, with its version and the mark of a look that waits."""

    known: Known
    version: int
    mark: int | None


def known_by_key(tx: Transaction, keys: Iterable[str]) -> dict[str, StoredKnown]:
    """What these refs' reports are judged by, of those that are observed, by ref_key."""
    return {
        key: StoredKnown(
            Known(generation, sequence, load_snapshot(head, attributes),
                  None if verdict is None else _VERDICTS[verdict], verdict_version, looked),
            version, mark)
        for key, version, mark, head, attributes, generation, sequence, verdict, verdict_version, looked
        in _of_keys(tx, _KNOWN, keys)
    }


def _of_keys(tx: Transaction, query: sa.Select[*tuple[Any, ...]], keys: Iterable[str]) -> Iterator[AnyRow]:
    for chunk in chunks(sorted(set(keys))):
        yield from tx.execute(query, {"keys": chunk}).all()


def waiting(watches: Iterable[StoredWatch]) -> tuple[tuple[Condition, ...], float | None]:
    """``(wanted, deadline)`` of a ref: the goals still waited for, and the earliest deadline of those."""
    unmet = [watch for watch in watches if watch.status is ObservationStatus.WAITING and watch.goal is not None]
    if not unmet:
        return (), None
    deadlines = [watch.deadline for watch in unmet if watch.deadline is not None]
    return tuple(sorted({watch.goal for watch in unmet if watch.goal})), min(deadlines, default=None)


def observed_refs(tx: Transaction, rows: Sequence[ResourceRow]) -> list[ObservedRef]:
    """What the owner must know of each of these resource rows, in their order."""
    watches = watches_by_key(tx, (row.ref_key for row in rows))
    refs = []
    for row in rows:
        wanted, deadline = waiting(watches[row.ref_key])
        refs.append(
            ObservedRef(
                ref=row.ref, started_at=row.started_at, wanted=wanted, deadline=deadline, mark=row.mark,
                last=load_head(row.snapshot), mark_reason=None if row.mark is None else row.mark_reason,
            )
        )
    return refs


def observation_of(row: ObservationRow) -> Observation:
    return Observation(
        observation_id=row.observation_id, ref=row.ref, status=ObservationStatus(row.status),
        started_at=row.started_at, goal=None if row.goal is None else Condition(row.goal), deadline=row.deadline,
        labels=load_labels(row.labels), project_id=row.project_id, stack_id=row.stack_id, node_id=row.node_id,
        met_at=row.met_at, selected=row.selected,
    )


def resource_of(row: ResourceRow, observations: int) -> Resource:
    return Resource(
        ref=row.ref, partition=row.partition_id, version=Version(row.version),
        snapshot=load_snapshot(row.snapshot, row.attributes),
        generation=Generation(row.generation) if row.generation else None, reported_by=row.reported_by,
        reported_at=row.reported_at, mark=row.mark, observations=observations,
    )

"""Between rows and values: how snapshots, observed refs and observations are stored and read back.

Functions that take a Transaction belong to its thread; the others are pure.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from obsvc.engine.database.rows import chunks, ref_of, to_json
from obsvc.engine.database.store import Transaction
from obsvc.engine.observations.judging import Known, Watch
from obsvc.engine.schema import core
from obsvc.engine_client.observations import Observation, ObservationStatus, Resource
from obsvc.engine_client.ownership import ObservedRef
from obsvc.engine_client.reports import Verdict
from obsvc.model import Condition, Snapshot

#: By their values; looking one up is cheaper than making it, and this is done for each report.
_VERDICTS = {str(one): one for one in Verdict}
_CONDITIONS = {str(one): one for one in Condition}
_STATUSES = {str(one): one for one in ObservationStatus}

_snapshot = msgspec.json.Decoder(Snapshot).decode
_labels = msgspec.json.Decoder(dict[str, str]).decode


def labels_of(row: Any) -> dict[str, str]:
    return _labels(row.labels)


#: The columns of a resource's row that hold its snapshot, in the table's order.
SNAPSHOT_COLUMNS = ("condition", "project_id", "snapshot", "attributes")


def store_snapshot(snapshot: Snapshot) -> tuple[str, str | None, str, str]:
    """What the columns SNAPSHOT_COLUMNS hold of ``snapshot``."""
    head = msgspec.structs.replace(snapshot, attributes={})
    return str(snapshot.condition), snapshot.project_id, to_json(head), to_json(snapshot.attributes)


def load_head(row: Any) -> Snapshot | None:
    """The snapshot of a resource's row without its attributes."""
    return None if row.snapshot is None else _snapshot(row.snapshot)


def load_snapshot(row: Any) -> Snapshot | None:
    """The whole snapshot of a resource's row."""
    return _whole(row.snapshot, row.attributes)


def _whole(head: str | None, attributes: str | None) -> Snapshot | None:
    if head is None:
        return None
    return _snapshot(f'{head[:-1]},"attributes":{attributes or "{}"}}}')  # a head is never empty


class StoredWatch(Watch, frozen=True):
    """A Watch with its deadline.  selected: for selectors."""

    deadline: float | None = None
    selected: bool = False


def watch_of(row: Any) -> StoredWatch:
    return _watch(*(getattr(row, name) for name in _WATCH))


def _watch(observation_id: str, goal: str | None, status: str, *more: Any) -> StoredWatch:
    return StoredWatch(observation_id, goal and _CONDITIONS[goal], _STATUSES[status], *more)


#: Columns of an observation that decide, as StoredWatch has them.
_WATCH = ("observation_id", "goal", "status", "start_mark", "stack_id", "node_id", "deadline", "selected")
_WATCHES = (
    sa.select(core.observation.c[("ref_key", *_WATCH)])
    .where(core.observation.c.ref_key.in_(sa.bindparam("keys", expanding=True)))
    .order_by(core.observation.c.started_at, core.observation.c.observation_id)
)


def watches_by_key(tx: Transaction, keys: Iterable[str]) -> dict[str, list[StoredWatch]]:
    """Every observation of these refs, by ref_key, oldest first."""
    found: dict[str, list[StoredWatch]] = {key: [] for key in keys}
    for some in chunks(list(found)):
        for key, *values in tx.execute(_WATCHES, {"keys": some}).all():
            found[key].append(_watch(*values))
    return found


_OF_KEYS = core.resource.c.ref_key.in_(sa.bindparam("keys", expanding=True))
_RESOURCES = sa.select(core.resource).where(_OF_KEYS)
_KNOWN = sa.select(core.resource.c[
    "ref_key", "version", "mark", "snapshot", "attributes", "generation", "sequence", "verdict", "verdict_version",
    "looked"]).where(_OF_KEYS)


def resources_by_key(tx: Transaction, keys: Iterable[str]) -> dict[str, sa.Row[Any]]:
    """The rows of these refs that are observed, by ref_key."""
    return {row.ref_key: row for row in _of_keys(tx, _RESOURCES, keys)}


class StoredKnown(NamedTuple):
    """What is known of a ref, with its version and the mark of a look that waits."""

    known: Known
    version: int
    mark: int | None


def known_by_key(tx: Transaction, keys: Iterable[str]) -> dict[str, StoredKnown]:
    """What these refs' reports are judged by, of those that are observed, by ref_key."""
    return {
        key: StoredKnown(
            Known(generation, sequence, _whole(head, attributes), verdict and _VERDICTS[verdict], verdict_version,
                  looked),
            version, mark)
        for key, version, mark, head, attributes, generation, sequence, verdict, verdict_version, looked
        in _of_keys(tx, _KNOWN, keys)
    }


def _of_keys(tx: Transaction, query: sa.Select[Any], keys: Iterable[str]) -> Iterator[sa.Row[Any]]:
    for some in chunks(sorted(set(keys))):
        yield from tx.execute(query, {"keys": some}).all()


def waiting(watches: Iterable[StoredWatch]) -> tuple[tuple[Condition, ...], float | None]:
    """``(wanted, deadline)`` of a ref: the goals still waited for, and the earliest deadline of those."""
    open_ones = [one for one in watches if one.status is ObservationStatus.WAITING and one.goal is not None]
    if not open_ones:
        return (), None
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
        labels=labels_of(row), project_id=row.project_id, stack_id=row.stack_id, node_id=row.node_id,
        met_at=row.met_at, selected=row.selected,
    )


def resource_of(row: Any, observations: int) -> Resource:
    return Resource(
        ref=ref_of(row), partition=row.partition_id, version=row.version, snapshot=load_snapshot(row),
        generation=row.generation or None, reported_by=row.reported_by, reported_at=row.reported_at, mark=row.mark,
        observations=observations,
    )

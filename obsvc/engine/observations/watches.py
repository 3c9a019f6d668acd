"""Starting and stopping observations, and look marks: what changes a partition's list.

Each of these locks the partitions concerned itself (call them before anything that locks stacks), raises their
observation versions, records the change for ``follow``, and wakes the owners.
"""
from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from obsvc.engine.database import due
from obsvc.engine.database.rows import check_ref, chunks, to_json
from obsvc.engine.database.store import Transaction
from obsvc.engine.observations.records import observation_of, observed_keys
from obsvc.engine.schema import core
from obsvc.engine.schema.rows import ObservationRow
from obsvc.engine_client.observations import Observation, ObservationStatus, StartItem
from obsvc.exceptions import InvalidInput
from obsvc.model import Condition, PartitionId, Ref, partition

#: The kind of due work that a deadline is; handled in :mod:`obsvc.engine.reports.upkeep`.
DEADLINE = "observation_deadline"

_REF_COLUMNS = (core.resource.c.region, core.resource.c.resource_type, core.resource.c.resource_id)


class PartitionChangeLog:
    """Changes to the lists of some partitions, under their locks: one version for each changed ref."""

    def __init__(self, tx: Transaction, refs: Iterable[Ref]) -> None:
        self._tx = tx
        self.partition_of = {ref: partition(ref, tx.partitions) for ref in refs}
        rows = tx.lock_partitions(self.partition_of.values())
        self._versions = {number: row.observation_version for number, row in rows.items()}
        self._changes: dict[Ref, int] = {}

    def change(self, ref: Ref) -> int:
        """The version under which ``ref`` changes in this transaction."""
        if ref not in self._changes:
            number = self.partition_of[ref]
            self._versions[number] += 1
            self._changes[ref] = self._versions[number]
        return self._changes[ref]

    def write(self) -> None:
        if not self._changes:
            return
        table = core.partition
        touched = sorted({self.partition_of[ref] for ref in self._changes})
        self._tx.execute(
            sa.update(table)
            .where(table.c.partition_id == sa.bindparam("number"))
            .values(observation_version=sa.bindparam("raised")),
            [{"number": number, "raised": self._versions[number]} for number in touched],
        )
        self._tx.execute(
            sa.insert(core.partition_change),
            [
                {
                    "partition_id": self.partition_of[ref], "version": version, "ref_key": core.ref_key(ref),
                    "region": ref.region, "resource_type": ref.resource_type, "resource_id": ref.resource_id,
                    "at": self._tx.now,
                }
                for ref, version in self._changes.items()
            ],
        )
        self._tx.touch("partition")


def start(
    tx: Transaction, items: Sequence[StartItem], *, stack_id: str | None = None, node_id: str | None = None,
    selected: bool = False,
) -> list[Observation]:
    """Start observing; one observation for each item, in order.

    The same (ref, goal, project, stack, node) again is the same observation, its deadline and labels renewed; for
    a stack it waits for its goal anew (an update of a node), as does one that had expired.  selected: for selectors.
    Every start asks for a
    look: only a look that began after it can meet the goal.
    """
    for item in items:
        check_ref(item.ref)
        if item.timeout is not None and not item.timeout > 0:
            raise InvalidInput(f"expected a timeout above 0 seconds, got {item.timeout}")
    log = PartitionChangeLog(tx, (item.ref for item in items))
    keys = {item.ref: core.ref_key(item.ref) for item in items}
    there = observed_keys(tx, keys.values())
    known = _matching(tx, keys, stack_id, node_id, selected=selected)
    fresh: dict[str, Observation] = {}
    renewed: dict[str, Observation] = {}
    marks: dict[str, int] = {}
    answers = []
    for item in items:
        again = False
        identity = (item.ref, item.goal, item.project_id)
        before = known.get(identity)
        deadline = None if item.timeout is None else tx.now + item.timeout
        if before is None:
            status = ObservationStatus.WATCHING if item.goal is None else ObservationStatus.WAITING
            observation = Observation(
                observation_id=str(uuid.uuid4()), ref=item.ref, status=status, started_at=tx.now, goal=item.goal,
                deadline=deadline, labels=item.labels, project_id=item.project_id, stack_id=stack_id, node_id=node_id,
                selected=selected,
            )
            fresh[observation.observation_id] = observation
        else:
            again = _waits_again(before) and before.observation_id not in marks
            observation = _renewed(before, item, deadline, tx.now if again else None)
            (fresh if observation.observation_id in fresh else renewed)[observation.observation_id] = observation
        known[identity] = observation
        if before is None or again:
            marks[observation.observation_id] = log.change(item.ref)
        elif observation != before:
            log.change(item.ref)
        answers.append(observation.observation_id)
    _write_resources(tx, log, there, keys, marks, {**fresh, **renewed})
    _write_observations(tx, keys, marks, fresh, renewed)
    _write_deadlines(tx, fresh, renewed)
    log.write()
    tx.touch("observation")
    return [fresh.get(observation_id) or renewed[observation_id] for observation_id in answers]


def partitions_of(tx: Transaction, refs: Iterable[Ref]) -> set[PartitionId]:
    """The partitions whose lists name ``refs``."""
    return {partition(ref, tx.partitions) for ref in refs}


def _waits_again(before: Observation) -> bool:
    return before.goal is not None and (before.stack_id is not None or before.status is ObservationStatus.EXPIRED)


def _renewed(before: Observation, item: StartItem, deadline: float | None, again_at: float | None) -> Observation:
    renewed = msgspec.structs.replace(before, deadline=deadline, labels=item.labels)
    if again_at is None:
        return renewed
    return msgspec.structs.replace(renewed, status=ObservationStatus.WAITING, started_at=again_at, met_at=None)


def _matching(
    tx: Transaction, keys: Mapping[Ref, str], stack_id: str | None, node_id: str | None, *, selected: bool
) -> dict[tuple[Ref, Condition | None, str | None], Observation]:
    table = core.observation
    observations = []
    for chunk in chunks(sorted(set(keys.values()))):
        observations += read_observations(tx, select_observations().where(
            table.c.ref_key.in_(chunk), table.c.stack_id.is_not_distinct_from(stack_id),
            table.c.node_id.is_not_distinct_from(node_id), table.c.selected == selected))
    return {(known.ref, known.goal, known.project_id): known for known in observations}


def read_observations(tx: Transaction, query: sa.Select[*tuple[Any, ...]]) -> list[Observation]:
    """What a query of :func:`select_observations` finds."""
    return [observation_of(ObservationRow._make(row)) for row in tx.execute(query)]


def select_observations() -> sa.Select[*tuple[Any, ...]]:
    """Observations with the columns of their refs: the columns of ``ObservationRow``."""
    return sa.select(core.observation, *_REF_COLUMNS).join(
        core.resource, core.resource.c.ref_key == core.observation.c.ref_key
    )


def _write_resources(
    tx: Transaction, log: PartitionChangeLog, there: Collection[str], keys: Mapping[Ref, str],
    marks: Mapping[str, int], observations: Mapping[str, Observation],
) -> None:
    marked = {observations[observation_id].ref: mark for observation_id, mark in marks.items()}
    new = [ref for ref in marked if keys[ref] not in there]
    if new:
        tx.execute(
            sa.insert(core.resource),
            [
                {
                    "ref_key": keys[ref], "region": ref.region, "resource_type": ref.resource_type,
                    "resource_id": ref.resource_id, "partition_id": log.partition_of[ref], "started_at": tx.now,
                    "version": 0, "condition": Condition.UNKNOWN.value, "generation": 0, "sequence": 0,
                    "mark": marked[ref], "mark_reason": "start", "looked": 0,
                }
                for ref in new
            ],
        )
    set_marks(tx, {keys[ref]: mark for ref, mark in marked.items() if keys[ref] in there}, "start")


def set_marks(tx: Transaction, marks: Mapping[str, int], reason: str) -> None:
    """Store look marks on rows that are there, by ref_key; their partitions are locked."""
    if marks:
        table = core.resource
        tx.execute(
            sa.update(table)
            .where(table.c.ref_key == sa.bindparam("which"))
            .values(mark=sa.bindparam("number"), mark_reason=reason[:64]),
            [{"which": key, "number": number} for key, number in marks.items()],
        )


def _write_observations(
    tx: Transaction, keys: Mapping[Ref, str], marks: Mapping[str, int], fresh: Mapping[str, Observation],
    renewed: Mapping[str, Observation],
) -> None:
    table = core.observation
    if fresh:
        tx.execute(
            sa.insert(table),
            [
                {
                    "observation_id": observation_id, "ref_key": keys[observation.ref],
                    "goal": None if observation.goal is None else observation.goal.value,
                    "status": observation.status.value, "started_at": observation.started_at,
                    "deadline": observation.deadline, "labels": to_json(observation.labels),
                    "project_id": observation.project_id, "stack_id": observation.stack_id,
                    "node_id": observation.node_id, "met_at": None, "start_mark": marks[observation_id],
                    "selected": observation.selected,
                }
                for observation_id, observation in fresh.items()
            ],
        )
    for observation in renewed.values():
        values: dict[str, Any] = {
            "deadline": observation.deadline, "labels": to_json(observation.labels), "status": observation.status.value,
            "started_at": observation.started_at, "met_at": observation.met_at, "last_look_mark": None,
        }
        if observation.observation_id in marks:
            values["start_mark"] = marks[observation.observation_id]
        tx.execute(sa.update(table).where(table.c.observation_id == observation.observation_id).values(values))


def _write_deadlines(tx: Transaction, fresh: Mapping[str, Observation], renewed: Mapping[str, Observation]) -> None:
    for observation in (*fresh.values(), *renewed.values()):
        if observation.status is ObservationStatus.WAITING and observation.deadline is not None:
            due.schedule(tx, DEADLINE, observation.observation_id, observation.deadline)
        elif observation.observation_id in renewed:
            due.cancel(tx, DEADLINE, observation.observation_id)


def stop(
    tx: Transaction, observation_ids: Sequence[str], *, project_id: str | None = None
) -> tuple[list[str], list[str]]:
    """Stop observing by ids; ``(stopped, missing)``.  project_id: of others none is stopped.

    A ref that nobody observes any more is forgotten with its snapshot; the feed keeps what it has.
    """
    log = PartitionChangeLog(tx, (row.ref for row in _by_ids(tx, observation_ids, project_id)))
    rows = _by_ids(tx, observation_ids, project_id)  # again, as they stand under the locks
    ending = [observation for observation in rows if observation.ref in log.partition_of]
    for chunk in chunks([observation.observation_id for observation in ending]):
        tx.execute(sa.delete(core.observation).where(core.observation.c.observation_id.in_(chunk)))
    keys = sorted({core.ref_key(observation.ref) for observation in ending})
    for chunk in chunks(keys):
        left = sa.select(core.observation.c.ref_key).where(core.observation.c.ref_key.in_(chunk))
        remaining = set(tx.execute(left).scalars())
        over = [key for key in chunk if key not in remaining]
        tx.execute(sa.delete(core.resource).where(core.resource.c.ref_key.in_(over)))
    for observation in ending:
        log.change(observation.ref)
        if observation.deadline is not None:
            due.cancel(tx, DEADLINE, observation.observation_id)
    log.write()
    if ending:
        tx.touch("observation")
    stopped = {observation.observation_id for observation in ending}
    asked = list(dict.fromkeys(observation_ids))
    return [asked_id for asked_id in asked if asked_id in stopped], [
        asked_id for asked_id in asked if asked_id not in stopped]


def _by_ids(tx: Transaction, ids: Sequence[str], project_id: str | None) -> list[Observation]:
    observations = []
    for chunk in chunks(sorted(set(ids))):
        query = select_observations().where(core.observation.c.observation_id.in_(chunk))
        if project_id is not None:
            query = query.where(core.observation.c.project_id == project_id)
        observations += read_observations(tx, query)
    return observations


def of_node(tx: Transaction, stack_id: str, node_id: str) -> list[Observation]:
    """The observations that belong to one node of a stack."""
    table = core.observation
    return read_observations(
        tx, select_observations().where(table.c.stack_id == stack_id, table.c.node_id == node_id))


def mark(tx: Transaction, refs: Sequence[Ref], reason: str) -> list[int | None]:
    """Ask for a look at each ref; the mark's number, None where the ref is not observed."""
    log = PartitionChangeLog(tx, refs)
    keys = {ref: core.ref_key(ref) for ref in refs}
    there = observed_keys(tx, keys.values())
    numbers = {ref: log.change(ref) for ref in keys if keys[ref] in there}
    set_marks(tx, {keys[ref]: number for ref, number in numbers.items()}, reason)
    log.write()
    return [numbers.get(ref) for ref in refs]


def announce(tx: Transaction, refs: Iterable[Ref]) -> None:
    """Tell the owners that what is wanted of these refs has changed, without asking for a look."""
    wanted = list(refs)
    log = PartitionChangeLog(tx, wanted)
    for ref in wanted:
        log.change(ref)
    log.write()

"""Due work of the core: passed deadlines of observations, and forgetting what is old.

Importing this module registers the handlers.
"""
from __future__ import annotations

import logging
from typing import Any

import msgspec
import sqlalchemy as sa

from obsvc.engine.database import due
from obsvc.engine.database.store import Transaction
from obsvc.engine.observations import trails, watches
from obsvc.engine.observations.deltas import TouchedObservation
from obsvc.engine.observations.records import watch_of
from obsvc.engine.observations.watches import DEADLINE
from obsvc.engine.schema import core
from obsvc.engine.schema.rows import ObservationRow
from obsvc.engine.stacks import progress
from obsvc.engine_client.observations import ObservationStatus
from obsvc.model import PartitionId, partition

LOG = logging.getLogger(__name__)

RETENTION = "core_retention"

#: Seconds between two runs of the retention.
RETENTION_INTERVAL = 60.0

#: Rows forgotten in one transaction: few enough that nobody waits long for the feed.
RETENTION_BATCH = 5000

#: Seconds that a partition's changes are kept for its follower; a longer absence reads the whole list again.
CHANGES_KEPT = 3600.0

#: Seconds that a member which is silent and holds nothing is still listed.
MEMBERS_KEPT = 86400.0


@due.handler(DEADLINE)
def deadline_passed(tx: Transaction, observation_id: str) -> None:
    """First a last look is asked for; ``last_look_grace`` seconds later the observation expires."""
    query = watches.select_observations().where(core.observation.c.observation_id == observation_id)
    row = _observation(tx, query)
    if row is None:
        return
    ref = row.ref
    tx.lock_partitions([partition(ref, tx.partitions)])
    row = _observation(tx, query)  # again, under the lock
    if row is None or row.status != ObservationStatus.WAITING.value or row.deadline is None:
        return
    if row.deadline > tx.now:
        due.schedule(tx, DEADLINE, observation_id, row.deadline)
        return
    table = core.observation
    here = sa.update(table).where(table.c.observation_id == observation_id)
    if row.last_look_mark is None:
        (number,) = watches.mark(tx, [ref], "deadline")
        tx.execute(here.values(last_look_mark=number))
        due.schedule(tx, DEADLINE, observation_id, tx.now + tx.settings.last_look_grace)
        return
    tx.execute(here.values(status=ObservationStatus.EXPIRED.value))
    watches.announce(tx, [ref])
    tx.touch("observation")
    watch = msgspec.structs.replace(watch_of(row), status=ObservationStatus.EXPIRED)
    tx.after_commit(lambda: LOG.info("the deadline of %s passed before it was %s", ref, watch.goal))
    progress.time_out(tx, [
        TouchedObservation(
            observation_id, watch.stack_id, watch.node_id, watch.goal, ObservationStatus.WAITING, watch.status
        )
    ])


def _observation(tx: Transaction, query: sa.Select[*tuple[Any, ...]]) -> ObservationRow | None:
    row = tx.execute(query).one_or_none()
    return None if row is None else ObservationRow._make(row)


def ensure_retention(tx: Transaction) -> None:
    """Begin the retention's endless row of runs; a service calls it when it starts."""
    due.schedule(tx, RETENTION, "core", tx.now + RETENTION_INTERVAL)


@due.handler(RETENTION)
def forget(tx: Transaction, key: str) -> None:
    """Forget a batch of old partition changes, deltas, members and trails; runs again, sooner while there is more."""
    more = _forget_changes(tx)
    _forget_members(tx)
    trails.forget(tx)
    more = _forget_deltas(tx) or more
    due.schedule(tx, RETENTION, key, tx.now + (1.0 if more else RETENTION_INTERVAL))


def _forget_changes(tx: Transaction) -> bool:
    table, parts = core.partition_change, core.partition
    old = tx.execute(
        sa.select(table.c.partition_id, table.c.version).where(table.c.at < tx.now - CHANGES_KEPT)
        .order_by(table.c.at).limit(RETENTION_BATCH)
    ).all()
    newest: dict[PartitionId, int] = {}
    for number, version in old:
        newest[number] = max(version, newest.get(number, 0))
    tx.lock_partitions(newest)
    for number, version in sorted(newest.items()):
        tx.execute(
            sa.update(parts).where(parts.c.partition_id == number, parts.c.pruned_version < version)
            .values(pruned_version=version)
        )
        tx.execute(sa.delete(table).where(table.c.partition_id == number, table.c.version <= version))
    return len(old) == RETENTION_BATCH


def _forget_members(tx: Transaction) -> None:
    table, parts = core.member, core.partition
    holds = sa.exists().where(parts.c.owner_name == table.c.name, parts.c.owner_incarnation == table.c.incarnation)
    drained = sa.exists().where(core.member_drain.c.name == table.c.name)  # an operator shall not forget it
    tx.execute(sa.delete(table).where(table.c.last_beat_at < tx.now - MEMBERS_KEPT, ~holds, ~drained))


def _forget_deltas(tx: Transaction) -> bool:
    table, feed = core.delta, core.feed
    before = tx.now - tx.settings.retention
    newest: int | None = tx.execute(sa.select(sa.func.max(table.c.version)).where(table.c.at < before)).scalar_one()
    if newest is None:
        return False
    oldest: int = tx.execute(sa.select(sa.func.min(table.c.version))).scalar_one()
    upto = min(newest, oldest + RETENTION_BATCH - 1)
    tx.execute(sa.delete(table).where(table.c.version <= upto))
    tx.execute(sa.update(feed).where(feed.c.pruned_version < upto).values(pruned_version=upto))
    return upto < newest

"""The rows that every database begins with.  Written by ``obsvc db upgrade`` and by tests."""
from __future__ import annotations

import uuid

import sqlalchemy as sa

from obsvc.engine.database.store import COUNTERS
from obsvc.engine.schema import core
from obsvc.exceptions import ConfigError


def fill(connection: sa.Connection, *, partitions: int, now: float) -> bool:
    """Write the first rows where they are missing; True where it did.

    Raises ConfigError where the database was made with another number of partitions.
    """
    deployment = connection.execute(sa.select(core.deployment)).one_or_none()
    if deployment is not None:
        if deployment.partitions != partitions:
            raise ConfigError(
                f"this database was made with {deployment.partitions} partitions, {partitions} were asked for: the "
                "number is fixed for the life of a database; leave --partitions out or make a new database"
            )
        return False
    connection.execute(
        sa.insert(core.deployment).values(
            id=1, database_id=str(uuid.uuid4()), partitions=partitions, created_at=now
        )
    )
    connection.execute(
        sa.insert(core.partition),
        [
            {
                "partition_id": number, "generation": 0, "previous_released": False, "previous_caught_up": False,
                "observation_version": 0, "pruned_version": 0,
            }
            for number in range(partitions)
        ],
    )
    connection.execute(sa.insert(core.feed).values(id=1, version=0, pruned_version=0))
    connection.execute(
        sa.insert(core.change_counter), [{"name": name, "value": 0} for name in COUNTERS if name != "feed"]
    )
    return True

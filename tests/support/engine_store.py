"""Stores for unit tests: SQLite in memory, every table, virtual time."""
from __future__ import annotations

from obsvc import metrics
from obsvc.engine.database import bootstrap
from obsvc.engine.database.store import Store
from obsvc.engine.schema.all import metadata
from obsvc.process.clock import ManualClock


def new_store(*, partitions: int = 8, clock: ManualClock | None = None, url: str = "sqlite://") -> Store:
    """An empty store of ``partitions`` partitions."""
    store = Store(url, clock=clock or ManualClock())
    with store.engine.begin() as connection:
        metadata.create_all(connection)
        bootstrap.fill(connection, partitions=partitions, now=store.clock.time())
    return store


def runs_again(reason: str) -> float:
    """How many transactions of this process have been run again for this reason."""
    return sum(sample.value for family in metrics.TRANSACTION_RETRIES.collect() for sample in family.samples
               if sample.name.endswith("_total") and sample.labels["reason"] == reason)

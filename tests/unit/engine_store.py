"""Stores for unit tests: SQLite in memory, every table, virtual time."""
from __future__ import annotations

from obsvc.clock import ManualClock
from obsvc.engine import bootstrap
from obsvc.engine.schema.all import metadata
from obsvc.engine.store import Store


def new_store(*, partitions: int = 8, clock: ManualClock | None = None, url: str = "sqlite://") -> Store:
    """An empty store of ``partitions`` partitions."""
    store = Store(url, clock=clock or ManualClock())
    with store.engine.begin() as connection:
        metadata.create_all(connection)
        bootstrap.fill(connection, partitions=partitions, now=store.clock.time())
    return store

"""Stores for unit tests: SQLite in memory, every table, virtual time."""
from __future__ import annotations

import functools
import sqlite3

import sqlalchemy as sa

from obsvc import metrics
from obsvc.engine.database import bootstrap
from obsvc.engine.database.store import Store
from obsvc.engine.schema.all import metadata
from obsvc.engine.settings import EngineSettings
from obsvc.process.clock import ManualClock

IN_MEMORY = "sqlite://"


def new_store(
    *, partitions: int = 8, clock: ManualClock | None = None, url: str = IN_MEMORY,
    settings: EngineSettings | None = None,
) -> Store:
    """An empty store of ``partitions`` partitions."""
    store = Store(url, clock=clock or ManualClock(), settings=settings)
    if url == IN_MEMORY:
        _share_compiled_statements(store.engine)
        with store.engine.connect() as connection:
            _driver_connection(connection).executescript(_schema())
    else:
        with store.engine.begin() as connection:
            metadata.create_all(connection)
    with store.engine.begin() as connection:
        bootstrap.fill(connection, partitions=partitions, now=store.clock.time())
    return store


def runs_again(reason: str) -> float:
    """How many transactions of this process have been run again for this reason."""
    return sum(sample.value for family in metrics.TRANSACTION_RETRIES.collect() for sample in family.samples
               if sample.name.endswith("_total") and sample.labels["reason"] == reason)


@functools.cache
def _schema() -> str:
    """The schema as a script: a store takes it in a millisecond, where SQLAlchemy asks for and makes each table."""
    store = Store(IN_MEMORY)
    with store.engine.begin() as connection:
        metadata.create_all(connection)
    with store.engine.connect() as connection:
        return "\n".join(
            f"{statement};" for (statement,) in _driver_connection(connection).execute(
                "select sql from sqlite_master where sql is not null and name not like 'sqlite_%' order by rowid"))


def _driver_connection(connection: sa.Connection) -> sqlite3.Connection:
    return connection.connection.driver_connection


@functools.cache
def _first_engine() -> tuple[sa.Dialect, dict[object, object]]:
    return Store(IN_MEMORY).engine.dialect, {}


def _share_compiled_statements(engine: sa.Engine) -> None:
    """Statements are compiled once for all stores of the process: that is most of what a short test costs.

    SQLAlchemy finds a compiled statement again by the dialect and the statement, so the dialect is shared too."""
    engine.dialect, compiled = _first_engine()
    engine.update_execution_options(compiled_cache=compiled)

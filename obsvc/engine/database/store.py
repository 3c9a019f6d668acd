"""Transactions: the only way to the engine's database.

``Store.run(fn)`` runs ``fn(tx)`` in one transaction and commits it; after a dead-lock, a serialization failure, a
lock time-out or a connection lost *before* the commit it is run again as a whole, so ``fn`` must have no effects
outside its transaction (hang those on ``tx.after_commit``).  A connection lost *during* the commit raises
Unavailable: the outcome is unknown.  ``Store.read(fn)`` is for transactions that write nothing.

Locks are taken in one order always: partitions ascending, refs, stacks, nodes, change counters, feed.  On SQLite
every ``run`` holds the write lock of the whole database from its start.

May be called from any thread; a Transaction belongs to the thread that runs it.
"""
from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from oslo_config import cfg

from obsvc import metrics
from obsvc.engine.database.databases import READ_ONLY, FailureKind, classify, make_engine, shown
from obsvc.engine.schema import core
from obsvc.engine.schema.rows import Deployment, LockedPartition, PartitionRow
from obsvc.engine.settings import EngineSettings
from obsvc.exceptions import ConfigError, InvalidInput, Unavailable
from obsvc.model import PartitionId
from obsvc.process import failpoints
from obsvc.process.backoff import Backoff
from obsvc.process.clock import Clock, SystemClock

LOG = logging.getLogger(__name__)
T = TypeVar("T")

#: First pause before a transaction is run again, and the longest; each is taken with full jitter.
PAUSE_INITIAL = 0.005
PAUSE_MAX = 0.5
_BACKOFF = Backoff(PAUSE_INITIAL, PAUSE_MAX, jitter=(0.0, 1.0))

#: How long a request is held while the database can't be reached: less than a client's time-out, so that the
#: client hears "unavailable" from us rather than nothing.
LOST_PATIENCE = 4.0

#: Total time spent retrying one transaction: its client has given up by then, and others want its thread and
#: connection.  Twice the time that one statement waits for a lock.
RETRY_PATIENCE = 20.0

#: Retries of a transaction because another one inserted the same row first.
CONFLICT_RETRIES = 3

#: The change counters: what a long poll can wait for.
COUNTERS = ("feed", "partition", "job", "stack", "observation", "selector")

#: What a statement is given: one mapping of its parameters, or one a row.
Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]]

#: A row whose columns have no types of their own, and a result of such rows.
AnyRow = sa.Row[*tuple[Any, ...]]
Result = sa.CursorResult[*tuple[Any, ...]]


def _locking(*columns: sa.Column[Any]) -> sa.Select[*tuple[Any, ...]]:
    number = core.partition.c.partition_id
    return (sa.select(*columns).where(number.in_(sa.bindparam("ids", expanding=True))).order_by(number)
            .with_for_update())


_LOCKED = _locking(*[core.partition.c[name] for name in LockedPartition._fields])
_LOCKED_WHOLE = _locking(*core.partition.c)

_AGAIN = {FailureKind.DEADLOCK, FailureKind.SERIALIZATION, FailureKind.LOCK_TIMEOUT, FailureKind.BUSY}


class Transaction:
    """One running transaction.

    connection: SQLAlchemy Core.  now: the engine's time when it began, seconds since the epoch.
    settings: the engine's.  emitting: whether there is a bus to emit on; else nothing is put in the outbox.
    """

    def __init__(self, connection: sa.Connection, now: float, store: Store) -> None:
        self.connection = connection
        self.now = now
        self.settings = store.settings
        self.emitting = store.emitting
        self._store = store
        self.touched: set[str] = set()
        self._bumped: set[str] = set()
        self._after_commit: list[Callable[[], None]] = []

    @property
    def dialect(self) -> str:
        """``sqlite``, ``postgresql``, ``mysql`` or ``mariadb``."""
        return self.connection.dialect.name

    @property
    def partitions(self) -> int:
        """P."""
        return self._store.deployment_in(self).partitions

    def execute(self, statement: sa.Executable, parameters: Parameters | None = None) -> Result:
        """As ``connection.execute``; with a list of mappings it is an executemany."""
        return self.connection.execute(statement, parameters)

    def lock_partitions(self, ids: Iterable[PartitionId]) -> dict[PartitionId, LockedPartition]:
        """Lock the rows of these partitions, ascending, until the commit; what is checked of them, by id."""
        rows = [LockedPartition._make(row) for row in self._locked(_LOCKED, ids)]
        return {row.partition_id: row for row in rows}

    def lock_partition_rows(self, ids: Iterable[PartitionId]) -> dict[PartitionId, PartitionRow]:
        """As :meth:`lock_partitions`; the whole rows as they stand now."""
        rows = [PartitionRow._make(row) for row in self._locked(_LOCKED_WHOLE, ids)]
        return {row.partition_id: row for row in rows}

    def _locked(self, query: sa.Select[*tuple[Any, ...]], ids: Iterable[PartitionId]) -> Sequence[AnyRow]:
        wanted = sorted(set(ids))
        return self.execute(query, {"ids": wanted}).all() if wanted else ()

    def touch(self, counter: str) -> None:
        """Raise ``counter`` (one of :data:`COUNTERS`) at commit: wakes its waiters in every engine process."""
        if counter not in COUNTERS:
            raise ValueError(f"expected one of {COUNTERS}, got {counter!r}")
        self.touched.add(counter)

    def after_commit(self, fn: Callable[[], None]) -> None:
        """Run ``fn()`` once, when the commit has succeeded."""
        self._after_commit.append(fn)

    def feed_version(self) -> int:
        """The version of the newest delta."""
        version: int = self.execute(sa.select(core.feed.c.version)).scalar_one()
        return version

    def next_versions(self, count: int) -> int:
        """Take ``count`` versions of the feed; the first of them.  Locks the feed: the last lock of all, so call
        it when nothing but writes of rows already locked (or new) follows."""
        self._bump_counters(self.touched - {"feed"})
        self.execute(sa.update(core.feed).values(version=core.feed.c.version + count))
        self.touched.add("feed")
        return self.feed_version() - count + 1

    def _bump_counters(self, names: Iterable[str]) -> None:
        table = core.change_counter
        for name in sorted(set(names) - self._bumped):
            self.execute(sa.update(table).where(table.c.name == name).values(value=table.c.value + 1))
            self._bumped.add(name)

    def _finish(self) -> None:
        self._bump_counters(self.touched - {"feed"})

    def _committed(self) -> None:
        for fn in self._after_commit:
            fn()


class Store:
    """The engine's database.

    url: an SQLAlchemy URL; max_retries: runs again after the first; settings, emitting: as in Transaction.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock | None = None,
        pool_size: int = 10,
        max_retries: int = 20,
        settings: EngineSettings | None = None,
        emitting: bool = False,
    ) -> None:
        self.settings = settings or EngineSettings()
        self.emitting = emitting
        self.clock: Clock = clock or SystemClock()
        self.url = url
        self.max_retries = max_retries
        self.engine = make_engine(url, pool_size=pool_size)
        self.dialect = self.engine.dialect.name
        self._on_commit: list[Callable[[frozenset[str]], None]] = []
        # SQLite has one writer; within a process the lock is fairer than its busy handler's polling
        self._writer = threading.Lock() if self.dialect == "sqlite" else contextlib.nullcontext()
        in_memory = isinstance(self.engine.pool, sa.pool.StaticPool)
        self._reader = self._writer if in_memory else contextlib.nullcontext()
        self._deployment: Deployment | None = None

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts, *, pool_size: int | None = None) -> Store:
        """The store that ``conf`` describes; raises ConfigError for a wrong URL, connects to nothing yet.

        pool_size: connections of this process; those of ``[database]`` unless given.
        """
        return cls(
            conf.database.url, pool_size=pool_size or conf.database.pool_size, max_retries=conf.database.max_retries,
            settings=EngineSettings.from_conf(conf), emitting=bool(conf.emit.url),
        )

    def on_commit(self, listener: Callable[[frozenset[str]], None]) -> None:
        """Call ``listener(counters)`` after each commit of this process that touched any."""
        self._on_commit.append(listener)

    def run(self, fn: Callable[[Transaction], T]) -> T:
        """Run ``fn`` in one transaction, again as a whole where the database asks for that.

        Raises what ``fn`` raises (rolled back), Unavailable where the database can't be reached or gives no way
        through after all retries, InvalidInput for a value that it does not take (PostgreSQL: a NUL in a text),
        ConfigError where the schema is not there.
        """
        return self._attempts(lambda: self._once(fn))

    def read(self, fn: Callable[[Transaction], T]) -> T:
        """As :meth:`run` for a transaction that only reads: takes no write lock."""
        return self._attempts(lambda: self._read_once(fn))

    def deployment(self) -> Deployment:
        """What was fixed when the database was made, read once per process."""
        return self._deployment or self.read(self.deployment_in)

    def deployment_in(self, tx: Transaction) -> Deployment:
        """As :meth:`deployment`, within a transaction that runs already."""
        if self._deployment is None:
            row = tx.execute(sa.select(core.deployment)).one_or_none()
            if row is None:
                raise ConfigError(f"the database {shown(self.url)} is empty: run 'obsvc db upgrade'")
            self._deployment = Deployment._make(row)
        return self._deployment

    @property
    def partitions(self) -> int:
        """P: how many partitions this database was made with."""
        return self.deployment().partitions

    def counters(self) -> Mapping[str, int]:
        """The present value of every change counter, the feed's version among them."""

        def read(tx: Transaction) -> dict[str, int]:
            values = {row.name: row.value for row in tx.execute(sa.select(core.change_counter))}
            values["feed"] = tx.feed_version()
            return values

        return self.read(read)

    def close(self) -> None:
        """Close the pooled connections."""
        self.engine.dispose()

    def _transaction(self, connection: sa.Connection) -> Transaction:
        return Transaction(connection, self.clock.time(), self)

    def _once(self, fn: Callable[[Transaction], T]) -> T:
        with self._writer, self.engine.connect() as connection:
            with _rolled_back(connection):
                connection.begin()
                tx = self._transaction(connection)
                result = fn(tx)
                tx._finish()
            failpoints.hit("commit.before")
            try:
                connection.commit()
            except sa.exc.DBAPIError as error:
                if classify(error) is FailureKind.LOST:
                    raise Unavailable(
                        "the connection to the database broke while a transaction was committed: its outcome is "
                        "unknown, send the request again"
                    ) from error
                raise
        failpoints.hit("commit.after")
        tx._committed()
        if tx.touched:
            touched = frozenset(tx.touched)
            for listener in self._on_commit:
                listener(touched)
        return result

    def _read_once(self, fn: Callable[[Transaction], T]) -> T:
        with self._reader, self.engine.connect() as connection:
            connection = connection.execution_options(**{READ_ONLY: True})
            with _rolled_back(connection):
                connection.begin()
                result = fn(self._transaction(connection))
            connection.rollback()
        return result

    def _attempts(self, once: Callable[[], T]) -> T:
        lost_since: float | None = None
        began = time.monotonic()
        attempt = 0
        while True:
            try:
                return once()
            except OverflowError as error:  # SQLite's driver, of a whole number beyond 64 bits
                raise _not_storable(error) from error
            except sa.exc.SQLAlchemyError as error:
                why = classify(error)
                if why is FailureKind.NO_SCHEMA:
                    raise ConfigError(
                        f"the database {shown(self.url)} lacks a table or column that this version needs "
                        "(run 'obsvc db upgrade')"
                    ) from error
                if isinstance(error, sa.exc.DataError):
                    raise _not_storable(error) from error
                if why is FailureKind.LOST:
                    lost_since = lost_since or time.monotonic()
                    again = time.monotonic() - lost_since < LOST_PATIENCE
                else:
                    in_time = time.monotonic() - began < RETRY_PATIENCE
                    again = why in _AGAIN and attempt < self.max_retries and in_time
                    again = again or (why is FailureKind.CONFLICT and attempt < CONFLICT_RETRIES)
                if not again:
                    if why in _AGAIN or why is FailureKind.LOST:
                        raise Unavailable(self._given_up(why, attempt, error)) from error
                    raise
                attempt += 1
                metrics.TRANSACTION_RETRIES.labels(reason=why.value).inc()
                LOG.debug("transaction runs again (attempt %d): %s", attempt + 1, why.value)
                time.sleep(_BACKOFF.delay(attempt + 1))

    def _given_up(self, why: FailureKind, attempt: int, error: Exception) -> str:
        if why is FailureKind.LOST:
            return f"the database {shown(self.url)} can't be reached ({driver_message(error)}): try again later"
        return f"the transaction could not be completed after {attempt + 1} attempts ({why.value}): try again later"


@contextlib.contextmanager
def _rolled_back(connection: sa.Connection) -> Iterator[None]:
    """Roll back where the block raises; the block's error counts, not one of the rollback."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(sa.exc.SQLAlchemyError):
            connection.rollback()
        raise


def _not_storable(error: Exception) -> InvalidInput:
    LOG.warning("the database refuses a value: %s", driver_message(error))
    return InvalidInput(f"the request has a value that can't be stored: {driver_message(error)}")


def driver_message(error: BaseException) -> str:
    """The first line of what the driver said, without SQL and parameters."""
    original = getattr(error, "orig", None) or error
    lines = str(original).strip().splitlines()
    return lines[0] if lines else type(original).__name__


"""The three databases: how each is connected to, and what its errors mean for a transaction.

``make_engine`` raises ConfigError for a URL that can't be used and never connects.  ``classify`` is pure.
"""
from __future__ import annotations

import enum
import pathlib
import sqlite3
import time
from typing import Any

import sqlalchemy as sa

from obsvc.exceptions import ConfigError, one_line
from obsvc.process.urls import without_secrets

#: Seconds that a statement waits for a lock before the database gives up and the transaction is run again.
LOCK_TIMEOUT = 10

#: Seconds to wait for a connection to be made, and for a free one of the pool.
CONNECT_TIMEOUT = 5
POOL_TIMEOUT = 15

FORMS = (
    "sqlite:////path/to/obsvc.sqlite, postgresql+psycopg://user:password@host/name "
    "or mysql+pymysql://user:password@host/name"
)

#: Option of an execution that tells SQLite's BEGIN to take no write lock.
READ_ONLY = "obsvc_read_only"


class FailureKind(enum.StrEnum):
    """Why a transaction failed, as far as it decides what follows."""

    DEADLOCK = "deadlock"  #: the database chose this transaction to end: run it again
    SERIALIZATION = "serialization"
    LOCK_TIMEOUT = "lock_timeout"
    BUSY = "busy"  #: SQLite: another process writes
    CONFLICT = "conflict"  #: a row that another transaction inserted first: run again, a few times
    LOST = "lost"  #: no connection, or it broke
    NO_SCHEMA = "no_schema"  #: a table or column that is not there
    OTHER = "other"


def make_engine(url: str, *, pool_size: int = 10) -> sa.Engine:
    """An engine for ``url`` with everything that obsvc relies on set per connection."""
    parsed = _parse(url)
    family = parsed.get_backend_name()
    if family == "sqlite":
        return _sqlite(parsed, pool_size)
    options: dict[str, Any] = {
        "pool_size": pool_size,
        "max_overflow": pool_size,
        "pool_timeout": POOL_TIMEOUT,
        "pool_recycle": 3600,
        "isolation_level": "READ COMMITTED",
    }
    if family == "postgresql":
        options["connect_args"] = {
            "connect_timeout": CONNECT_TIMEOUT,
            "options": f"-c lock_timeout={LOCK_TIMEOUT}s -c timezone=UTC",
            "application_name": "obsvc-engine",
        }
        # keepalives: a host that vanished without a word is noticed within half a minute
        options["connect_args"] |= {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
    else:
        options["connect_args"] = {
            "connect_timeout": CONNECT_TIMEOUT,
            "charset": "utf8mb4",
            "read_timeout": 60,
            "write_timeout": 60,
            "init_command": f"SET innodb_lock_wait_timeout={LOCK_TIMEOUT}",
        }
    try:
        return sa.create_engine(parsed, **options)
    except (sa.exc.ArgumentError, ImportError) as error:
        raise ConfigError(_unusable(url, error)) from error


def _parse(url: str) -> sa.URL:
    drivers = {"sqlite": "pysqlite", "postgresql": "psycopg", "mysql": "pymysql", "mariadb": "pymysql"}
    try:
        parsed = sa.make_url(url)
        if drivers.get(parsed.get_backend_name()) != parsed.get_driver_name():
            raise ConfigError(_unusable(url, f"a URL for {parsed.drivername}"))
        parsed.get_dialect().import_dbapi()
    except ImportError as error:
        raise ConfigError(
            f"[database] url needs a driver that is not installed ({error}): install obsvc[postgresql] or obsvc[mysql]"
        ) from error
    except (sa.exc.ArgumentError, ValueError) as error:
        raise ConfigError(_unusable(url, error)) from error
    return parsed


def shown(url: str | sa.URL) -> str:
    """The URL without its password, for messages."""
    return without_secrets(url if isinstance(url, str) else url.render_as_string(hide_password=True))


def _unusable(url: str, cause: object) -> str:
    reason = one_line(cause) if not isinstance(cause, sa.exc.ArgumentError) else "no database URL"
    return f"[database] url: expected {FORMS}, got {shown(url)} ({reason})"


def sqlite_path(url: str | sa.URL) -> pathlib.Path | None:
    """The file of a SQLite URL; None for memory and for another database."""
    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        return None
    return pathlib.Path(parsed.database)


def _sqlite(url: sa.URL, pool_size: int) -> sa.Engine:
    connect_args: dict[str, Any] = {"timeout": LOCK_TIMEOUT, "check_same_thread": False}
    if sqlite_path(url) is None:
        engine = sa.create_engine(url, poolclass=sa.pool.StaticPool, connect_args=connect_args)
    else:
        engine = sa.create_engine(
            url, poolclass=sa.pool.QueuePool, pool_size=pool_size, max_overflow=pool_size, pool_timeout=POOL_TIMEOUT,
            connect_args=connect_args,
        )

    @sa.event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin where we say so, below
        cursor = connection.cursor()
        _use_wal(cursor)
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # a write lock from the start: upgrading a read lock later can fail at once, whatever the time-out
        read_only = connection.get_execution_options().get(READ_ONLY, False)
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


def _use_wal(cursor: Any) -> None:
    """Switch to WAL where that is not done yet; the switch ignores SQLite's own time-out for locks."""
    for _ in range(LOCK_TIMEOUT * 20):
        try:
            if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            time.sleep(0.05)


_POSTGRESQL = {
    "40P01": FailureKind.DEADLOCK,
    "40001": FailureKind.SERIALIZATION,
    "55P03": FailureKind.LOCK_TIMEOUT,
    "42P01": FailureKind.NO_SCHEMA,
    "42703": FailureKind.NO_SCHEMA,
    "57P01": FailureKind.LOST,
    "57P02": FailureKind.LOST,
    "57P03": FailureKind.LOST,
    "53300": FailureKind.LOST,
}
_MARIADB: dict[int | None, FailureKind] = {
    1213: FailureKind.DEADLOCK,
    1020: FailureKind.SERIALIZATION,
    1205: FailureKind.LOCK_TIMEOUT,
    1146: FailureKind.NO_SCHEMA,
    1054: FailureKind.NO_SCHEMA,
    **dict.fromkeys((1040, 1053, 1077, 1079, 1927, 2002, 2003, 2006, 2013, 2055), FailureKind.LOST),
}


def classify(error: sa.exc.SQLAlchemyError) -> FailureKind:
    """What ``error`` means for the transaction that it ended."""
    if isinstance(error, sa.exc.TimeoutError):
        return FailureKind.LOCK_TIMEOUT
    if not isinstance(error, sa.exc.DBAPIError):
        return FailureKind.OTHER
    if error.connection_invalidated:
        return FailureKind.LOST
    if isinstance(error, sa.exc.IntegrityError):
        return FailureKind.CONFLICT
    original = error.orig
    module = type(original).__module__
    if module.startswith("psycopg"):
        return _of_postgresql(getattr(original, "sqlstate", None), error)
    if module.startswith("pymysql"):
        number = original.args[0] if original is not None and original.args else None
        # 0: PyMySQL's InterfaceError(0, "") on a connection that is closed
        return FailureKind.LOST if number == 0 else _MARIADB.get(number, FailureKind.OTHER)
    text = str(original)
    if "locked" in text or "busy" in text:
        return FailureKind.BUSY
    if "no such table" in text or "no such column" in text or "has no column" in text:
        return FailureKind.NO_SCHEMA
    if "unable to open database file" in text:
        return FailureKind.LOST
    return FailureKind.OTHER


def _of_postgresql(sqlstate: str | None, error: sa.exc.DBAPIError) -> FailureKind:
    if sqlstate is None:  # libpq's own errors: no server, or the connection broke
        return FailureKind.LOST if isinstance(error, sa.exc.OperationalError) else FailureKind.OTHER
    return FailureKind.LOST if sqlstate.startswith("08") else _POSTGRESQL.get(sqlstate, FailureKind.OTHER)

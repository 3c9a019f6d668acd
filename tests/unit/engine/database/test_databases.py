"""What an error of each database's driver means for the transaction that it ended."""
from __future__ import annotations

import sqlite3

import psycopg
import pymysql
import pytest
import sqlalchemy as sa

from obsvc.engine.database.databases import FailureKind, classify, shown, sqlite_path


def of_driver(error: Exception, kind: type[sa.exc.DBAPIError] = sa.exc.OperationalError) -> sa.exc.DBAPIError:
    return kind("SELECT", {}, error)


@pytest.mark.parametrize("error, kind", [
    (psycopg.errors.DeadlockDetected(), FailureKind.DEADLOCK),
    (psycopg.errors.SerializationFailure(), FailureKind.SERIALIZATION),
    (psycopg.errors.LockNotAvailable(), FailureKind.LOCK_TIMEOUT),
    (psycopg.errors.UndefinedTable(), FailureKind.NO_SCHEMA),
    (psycopg.errors.AdminShutdown(), FailureKind.LOST),
    (psycopg.errors.ConnectionFailure(), FailureKind.LOST),
    (psycopg.OperationalError("the server closed the connection"), FailureKind.LOST),
    (psycopg.errors.DivisionByZero(), FailureKind.OTHER),
    (pymysql.err.OperationalError(1213, "Deadlock found"), FailureKind.DEADLOCK),
    (pymysql.err.OperationalError(1020, "Record has changed"), FailureKind.SERIALIZATION),
    (pymysql.err.OperationalError(1205, "Lock wait timeout exceeded"), FailureKind.LOCK_TIMEOUT),
    (pymysql.err.ProgrammingError(1146, "no such table"), FailureKind.NO_SCHEMA),
    (pymysql.err.OperationalError(2013, "Lost connection"), FailureKind.LOST),
    (pymysql.err.InterfaceError(0, ""), FailureKind.LOST),
    (pymysql.err.OperationalError(), FailureKind.OTHER),
    (sqlite3.OperationalError("database is locked"), FailureKind.BUSY),
    (sqlite3.OperationalError("no such table: partition_state"), FailureKind.NO_SCHEMA),
    (sqlite3.OperationalError("unable to open database file"), FailureKind.LOST),
    (sqlite3.OperationalError("disk I/O error"), FailureKind.OTHER),
], ids=repr)
def test_an_error_is_classified_by_what_its_driver_says(error, kind):
    assert classify(of_driver(error)) is kind


def test_an_error_that_broke_the_connection_is_a_lost_one_whatever_it_says():
    error = sa.exc.OperationalError("SELECT", {}, sqlite3.OperationalError("busy"), connection_invalidated=True)
    assert classify(error) is FailureKind.LOST


def test_no_free_connection_in_the_pool_is_a_time_out_and_a_fault_of_ours_is_no_failure_of_the_database():
    assert classify(sa.exc.TimeoutError()) is FailureKind.LOCK_TIMEOUT
    assert classify(sa.exc.ArgumentError()) is FailureKind.OTHER


def test_a_url_is_shown_without_its_password():
    assert "secret" not in shown("postgresql+psycopg://user:secret@host/name")
    assert "secret" not in shown("no url, but a secret")


@pytest.mark.parametrize("url, path", [
    ("sqlite:////var/lib/obsvc.sqlite", "/var/lib/obsvc.sqlite"), ("sqlite://", None), ("sqlite:///:memory:", None),
    ("postgresql+psycopg://host/name", None),
])
def test_only_a_sqlite_url_names_a_file(url, path):
    assert (None if sqlite_path(url) is None else str(sqlite_path(url))) == path

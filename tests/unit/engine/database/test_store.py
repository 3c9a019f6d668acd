"""Transactions: commit, rollback, retry, counters; the fixed first rows."""
from __future__ import annotations

import sqlite3

import pytest
import sqlalchemy as sa

from obsvc.engine.database import bootstrap
from obsvc.engine.database import store as store_module
from obsvc.engine.database.databases import FailureKind, classify, make_engine
from obsvc.engine.database.store import Store
from obsvc.engine.schema import core
from obsvc.exceptions import ConfigError, InvalidInput, Unavailable
from obsvc.model import Ref
from tests.support.engine_store import new_store


def _busy() -> sa.exc.OperationalError:
    return sa.exc.OperationalError("UPDATE x", {}, sqlite3.OperationalError("database is locked"))


def test_a_whole_transaction_is_run_again_when_the_database_is_busy():
    store = new_store()
    runs = []

    def work(tx):
        tx.execute(sa.update(core.partition).values(generation=core.partition.c.generation + 1))
        runs.append(tx)
        if len(runs) < 3:
            raise _busy()
        return "done"

    assert store.run(work) == "done"
    assert len(runs) == 3
    generations = store.read(lambda tx: tx.execute(sa.select(core.partition.c.generation)).scalars().all())
    assert set(generations) == {1}


def test_retries_end_and_say_unavailable():
    store = new_store()
    store.max_retries = 2
    runs = []

    def work(tx):
        runs.append(1)
        raise _busy()

    with pytest.raises(Unavailable, match="3 attempts"):
        store.run(work)
    assert len(runs) == 3


def test_an_error_of_the_work_rolls_back_and_is_not_retried():
    store = new_store()

    def work(tx):
        tx.execute(sa.update(core.partition).values(generation=7))
        tx.after_commit(lambda: pytest.fail("after_commit without a commit"))
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        store.run(work)
    assert store.read(lambda tx: tx.execute(sa.select(sa.func.max(core.partition.c.generation))).scalar_one()) == 0


def test_touched_counters_rise_once_and_listeners_hear_of_them_after_the_commit():
    store = new_store()
    heard = []
    store.on_commit(heard.append)
    before = store.counters()

    def work(tx):
        tx.touch("job")
        tx.touch("job")
        assert heard == []
        tx.touch("stack")

    store.run(work)
    after = store.counters()
    assert {name: after[name] - before[name] for name in after if after[name] != before[name]} == {
        "job": 1, "stack": 1,
    }
    assert heard == [frozenset({"job", "stack"})]


def test_versions_are_taken_without_a_gap():
    store = new_store()
    assert store.run(lambda tx: tx.next_versions(3)) == 1
    assert store.run(lambda tx: tx.next_versions(2)) == 4
    assert store.counters()["feed"] == 5


def test_an_unknown_counter_is_refused():
    with pytest.raises(ValueError, match="expected one of"):
        new_store().run(lambda tx: tx.touch("jobs"))


def test_locked_partitions_come_by_id():
    store = new_store()
    rows = store.run(lambda tx: tx.lock_partitions([5, 1, 5]))
    assert list(rows) == [1, 5]


def test_another_number_of_partitions_is_refused():
    store = new_store(partitions=8)
    with store.engine.begin() as connection:
        assert bootstrap.fill(connection, partitions=8, now=0.0) is False
        with pytest.raises(ConfigError, match="made with 8 partitions, 16"):
            bootstrap.fill(connection, partitions=16, now=0.0)


def test_a_database_without_tables_says_what_to_run():
    with pytest.raises(ConfigError, match="obsvc db upgrade"):
        Store("sqlite://").deployment()


@pytest.mark.parametrize("url", ["", "nonsense", "oracle://x/y", "postgresql+psycopg2://h/n", "sqlite+aiosqlite:///x"])
def test_a_wrong_url_is_one_clear_line(url):
    with pytest.raises(ConfigError) as caught:
        make_engine(url)
    assert "[database] url" in caught.value.message
    assert "\n" not in caught.value.message


def test_a_password_is_never_shown():
    with pytest.raises(ConfigError) as caught:
        make_engine("oracle://user:geheim@host/name")
    assert "geheim" not in caught.value.message


def test_integrity_errors_are_conflicts():
    error = sa.exc.IntegrityError("INSERT", {}, sqlite3.IntegrityError("UNIQUE constraint failed"))
    assert classify(error) is FailureKind.CONFLICT


def test_ref_keys_do_not_run_into_each_other():
    assert core.ref_key(Ref("a", "b", "c")) == core.ref_key(Ref("a", "b", "c"))
    assert len({core.ref_key(ref) for ref in (Ref("a", "bc", "d"), Ref("ab", "c", "d"), Ref("a", "b", "cd"))}) == 3


def test_a_transaction_that_waits_long_for_locks_is_given_up_in_time(monkeypatch):
    store, runs = new_store(), []

    def blocked(tx):
        runs.append(1)
        moments.pass_time(10.0)  # what a database waits for a lock
        raise _busy()

    class Moments:
        now = 0.0

        def monotonic(self):
            return self.now

        def pass_time(self, seconds):
            self.now += seconds

        sleep = pass_time

    moments = Moments()
    monkeypatch.setattr(store_module, "time", moments)
    with pytest.raises(Unavailable, match="could not be completed"):
        store.run(blocked)
    assert len(runs) == 2


def test_a_value_that_the_database_does_not_take_is_the_callers_fault():
    def work(tx):
        raise sa.exc.DataError("SELECT", {}, ValueError("PostgreSQL text fields cannot contain NUL (0x00) bytes"))

    with pytest.raises(InvalidInput, match="can't be stored: PostgreSQL text fields cannot contain NUL"):
        new_store().read(work)

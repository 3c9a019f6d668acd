"""Due work: one table of due times, claimed in batches, carried out by registered handlers.

A kind names a handler, a key what it is about; there is one row for each (kind, key).  A handler runs in a
transaction of its own, at least once, and must look itself whether there is still something to do.  The row ends
with the handler's transaction unless the handler (or another transaction meanwhile) has scheduled it anew.  A
handler that raises is logged and tried again after a growing pause: never lost, never in a tight loop.

``schedule`` and ``cancel`` may be called in any transaction, after its other locks (a row of ``due`` is locked
last, before the feed).  ``run_due`` may run in any number of processes at once.
"""
from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite

from obsvc import metrics
from obsvc.engine.database.store import Store, Transaction
from obsvc.engine.schema.stacks import due
from obsvc.exceptions import Unavailable
from obsvc.process.backoff import Backoff

LOG = logging.getLogger(__name__)

Handler = Callable[[Transaction, str], None]

#: Seconds that a claimed row is left to its run; a run that was killed is repeated after that.
CLAIM_SECONDS = 30.0

#: Seconds before a failed handler is tried again, and the longest pause.
RETRY_INITIAL = 1.0
RETRY_MAX = 300.0
_BACKOFF = Backoff(RETRY_INITIAL, RETRY_MAX)

_handlers: dict[str, Handler] = {}


class DueRow(NamedTuple):
    """A whole row of ``due``, in the table's order."""

    kind: str
    key: str
    at: float
    tries: int
    claim: str | None


def handler(kind: str) -> Callable[[Handler], Handler]:
    """Register the decorated ``fn(tx, key)`` for ``kind``."""

    def register(fn: Handler) -> Handler:
        _handlers[kind] = fn
        return fn

    return register


def schedule(tx: Transaction, kind: str, key: str, at: float) -> None:
    """Have ``kind`` carried out for ``key`` at ``at`` (engine time); replaces an earlier or later time."""
    schedule_all(tx, [(kind, key, at)])


def schedule_all(tx: Transaction, times: Iterable[tuple[str, str, float]]) -> None:
    """As :meth:`schedule` for each (kind, key, at); none may be there twice."""
    rows = [{"kind": kind, "key": key, "at": at, "tries": 0, "claim": None} for kind, key, at in times]
    changing = ("at", "tries", "claim")
    if not rows:
        return
    if tx.dialect in ("mysql", "mariadb"):
        insert = mysql.insert(due)
        tx.execute(insert.on_duplicate_key_update({name: insert.inserted[name] for name in changing}), rows)
    else:
        upsert = (postgresql.insert if tx.dialect == "postgresql" else sqlite.insert)(due)
        tx.execute(upsert.on_conflict_do_update(
            index_elements=["kind", "key"], set_={name: upsert.excluded[name] for name in changing}), rows)


def cancel(tx: Transaction, kind: str, key: str) -> None:
    """Forget ``kind`` for ``key``; no error where it is not scheduled."""
    tx.execute(sa.delete(due).where(due.c.kind == kind, due.c.key == key))


def run_due(store: Store, limit: int = 100) -> int:
    """Carry out up to ``limit`` rows whose time has come; how many were begun.

    Raises Unavailable when the database is away.
    """
    if not store.read(_something_is_due):  # mostly so: no write lock is taken for it
        return 0
    claim, rows = store.run(lambda tx: _claim(tx, limit))
    for row in rows:
        _carry_out(store, claim, row)
    return len(rows)


def _something_is_due(tx: Transaction) -> bool:
    return tx.execute(sa.select(due.c.key).where(due.c.at <= tx.now).limit(1)).first() is not None


def _claim(tx: Transaction, limit: int) -> tuple[str, list[DueRow]]:
    claim = str(uuid.uuid4())
    rows = [DueRow._make(row) for row in tx.execute(
        sa.select(due).where(due.c.at <= tx.now).order_by(due.c.at).limit(limit).with_for_update(skip_locked=True))]
    if rows:
        tx.execute(
            sa.update(due).where(due.c.kind == sa.bindparam("k"), due.c.key == sa.bindparam("y")).values(
                claim=claim, at=tx.now + CLAIM_SECONDS),
            [{"k": row.kind, "y": row.key} for row in sorted(rows, key=lambda row: (row.kind, row.key))],
        )
    return claim, rows


def _carry_out(store: Store, claim: str, row: DueRow) -> None:
    mine = sa.and_(due.c.kind == row.kind, due.c.key == row.key, due.c.claim == claim)

    def work(tx: Transaction) -> None:
        _handlers[row.kind](tx, row.key)
        tx.execute(sa.delete(due).where(mine))

    def put_off(tx: Transaction) -> None:
        pause = _BACKOFF.delay(row.tries + 1)
        tx.execute(sa.update(due).where(mine).values(claim=None, tries=due.c.tries + 1, at=tx.now + pause))

    try:
        store.run(work)
        metrics.DUE_RUN.labels(kind=row.kind).inc()
    except Unavailable:
        raise
    except Exception as error:  # one fault must not hold up the others
        if row.kind in _handlers:
            LOG.exception("due work %s for %s failed (try %d) and is tried again", row.kind, row.key, row.tries + 1)
        else:
            LOG.warning("due work of kind %s has no handler here (%s): it is put off", row.kind, error)
        store.run(put_off)

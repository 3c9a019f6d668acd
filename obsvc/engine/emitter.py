"""The outbox → ordinary oslo notifications on obsvc's own exchange.

A row is deleted only after the broker has confirmed it; with the broker away the rows stay, and the newest
``limit`` of them are kept.  Any number of emitters may run; a killed one's rows are taken up by the next.
"""
from __future__ import annotations

import datetime
import logging
import uuid
from typing import Any, NamedTuple, Protocol

import msgspec
import sqlalchemy as sa

from obsvc import metrics
from obsvc.engine.database.store import Store, Transaction
from obsvc.engine.schema.stacks import outbox
from obsvc.exceptions import Unavailable
from obsvc.messaging import wire
from obsvc.process import failpoints
from obsvc.process.batches import batched
from obsvc.process.outage_log import OutageLog

LOG = logging.getLogger(__name__)

BATCH = 100

#: Seconds that an emitter has for its batch before another may take it: more than one confirmation time-out.
CLAIM_SECONDS = 60.0

#: Rows kept while the broker is away: some hundred megabytes at most, days of a quiet cloud.
LIMIT = 100_000


class OutboxRow(NamedTuple):
    """A whole row of ``outbox``, in the table's order."""

    outbox_id: int
    event_type: str
    priority: str
    message_id: str
    created_at: float
    payload: str
    claimed_until: float


class PublishesConfirmed(Protocol):
    """What the emitter needs of :class:`obsvc.messaging.publisher.Publisher`."""

    def publish(self, routing_key: str, body: bytes) -> None: ...


class Emitter:
    """topic: routing keys are ``<topic>.<priority>``.  One thread at a time calls :meth:`run_once`."""

    def __init__(
        self, store: Store, publisher: PublishesConfirmed, *, topic: str, publisher_id: str, limit: int = LIMIT
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._topic = topic
        self._publisher_id = publisher_id
        self._limit = limit
        self._outage = OutageLog(LOG, "nothing can be emitted", back="notifications are emitted again")

    def run_once(self) -> int:
        """Emit one batch; how many were confirmed.  Raises Unavailable when the broker or the database is away."""
        depth = self._store.read(lambda tx: tx.execute(sa.select(sa.func.count()).select_from(outbox)).scalar_one())
        metrics.OUTBOX_DEPTH.set(depth)
        if not depth:
            return 0
        rows = self._store.run(lambda tx: self._claim(tx, depth - self._limit))
        confirmed = []
        try:
            for row in rows:
                failpoints.hit("emit.before")
                self._publisher.publish(f"{self._topic}.{row.priority.lower()}", self._body(row))
                failpoints.hit("emit.after")
                confirmed.append(row.outbox_id)
                metrics.EMITTED.labels(event_type=row.event_type).inc()
        except Unavailable as error:
            self._outage.failed(error)
            raise
        finally:
            rest = [row.outbox_id for row in rows[len(confirmed):]]
            if rows:
                self._store.run(lambda tx: self._settle(tx, confirmed, rest))
        if rows:
            self._outage.recovered()
        return len(confirmed)

    def _claim(self, tx: Transaction, too_many: int) -> list[OutboxRow]:
        if too_many > 0:
            oldest = sa.select(outbox.c.outbox_id).order_by(outbox.c.outbox_id).limit(too_many)
            ids = [row.outbox_id for row in tx.execute(oldest)]
            for batch in batched(ids, 500):
                tx.execute(sa.delete(outbox).where(outbox.c.outbox_id.in_(batch)))
            LOG.warning("the outbox held more than %d notifications: the oldest %d are dropped", self._limit, len(ids))
        rows = [OutboxRow._make(row) for row in tx.execute(
            sa.select(outbox).where(outbox.c.claimed_until <= tx.now).order_by(outbox.c.outbox_id).limit(BATCH)
            .with_for_update(skip_locked=True))]
        if rows:
            ids = [row.outbox_id for row in rows]
            tx.execute(
                sa.update(outbox).where(outbox.c.outbox_id.in_(ids)).values(claimed_until=tx.now + CLAIM_SECONDS)
            )
        return rows

    def _settle(self, tx: Transaction, confirmed: list[int], rest: list[int]) -> None:
        if confirmed:
            tx.execute(sa.delete(outbox).where(outbox.c.outbox_id.in_(confirmed)))
        if rest:
            tx.execute(sa.update(outbox).where(outbox.c.outbox_id.in_(rest)).values(claimed_until=0.0))

    def _body(self, row: OutboxRow) -> bytes:
        at = datetime.datetime.fromtimestamp(row.created_at, datetime.UTC)
        inner: dict[str, Any] = {
            "message_id": row.message_id,
            "publisher_id": self._publisher_id,
            "event_type": row.event_type,
            "priority": row.priority,
            "payload": msgspec.json.decode(row.payload),
            "timestamp": at.strftime("%Y-%m-%d %H:%M:%S.%f"),
            "_unique_id": uuid.uuid4().hex,
        }
        return wire.pack(inner)

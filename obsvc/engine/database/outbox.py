"""The notifications that obsvc emits: written in the transaction that makes it true, emitted later by the emitter.

Where there is no bus to emit on (``[emit] url`` unset) nothing is written.
"""
from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from obsvc.engine.database.store import Transaction
from obsvc.engine.schema.stacks import outbox

PRIORITIES = ("INFO", "WARN", "ERROR")


def put(tx: Transaction, event_type: str, payload: dict[str, Any], *, priority: str = "INFO") -> None:
    """Emit a notification once the transaction is committed: at least once; a duplicate has the same message id."""
    put_many(tx, event_type, [payload], priority=priority)


def put_many(
    tx: Transaction, event_type: str, payloads: Sequence[dict[str, Any]], *, priority: str = "INFO"
) -> None:
    """As :func:`put` for many of one event type, in one statement."""
    if priority not in PRIORITIES:
        raise ValueError(f"expected a priority of {PRIORITIES}, got {priority!r}")
    if not tx.emitting or not payloads:
        return
    rows = [
        {
            "event_type": event_type, "priority": priority, "message_id": str(uuid.uuid4()), "created_at": tx.now,
            "payload": msgspec.json.encode(payload).decode(), "claimed_until": 0.0,
        }
        for payload in payloads
    ]
    tx.execute(sa.insert(outbox), rows)

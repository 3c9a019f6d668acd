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

_ACTIONS = {"create": "creation", "update": "update", "rollback": "rollback", "delete": "deletion"}

#: Every event type that obsvc emits, with what it says; consumers match on these, and the reference lists them.
EVENT_TYPES: dict[str, str] = {
    "obsvc.resource.changed": "A report changed the stored state of an observed resource: the delta, as in the changes "
                              "feed.",
    **{f"obsvc.stack.{action}.start": f"The {noun} of a stack has begun." for action, noun in _ACTIONS.items()},
    **{f"obsvc.stack.{action}.end": f"The {noun} of a stack is complete." for action, noun in _ACTIONS.items()},
    **{f"obsvc.stack.{action}.error": f"The {noun} of a stack has failed; status_reason says why (ERROR)."
       for action, noun in _ACTIONS.items()},
    "obsvc.stack.progress": "A stack is still being worked on: seconds_without_progress, waiting_for.  Every "
                            "[engine] progress_interval.",
    "obsvc.stack.stalled": "In place of progress once nothing has moved for [engine] stalled_after: what the stack "
                           "waits for (WARN).",
    "obsvc.stack.drift": "A resource of a complete stack is not as the goal wants it: node, drift (WARN); drift is "
                         "null once it is again.",
}


def put(tx: Transaction, event_type: str, payload: dict[str, Any], *, priority: str = "INFO") -> None:
    """Emit a notification once the transaction is committed: at least once; a duplicate has the same message id."""
    put_many(tx, event_type, [payload], priority=priority)


def put_many(
    tx: Transaction, event_type: str, payloads: Sequence[dict[str, Any]], *, priority: str = "INFO"
) -> None:
    """As :func:`put` for many of one event type, in one statement."""
    if event_type not in EVENT_TYPES:
        raise ValueError(f"expected one of EVENT_TYPES, got {event_type!r}: describe it there")
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

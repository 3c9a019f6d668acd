"""What tests do at a broker, or put on it, and obsvc itself never does."""
from __future__ import annotations

from typing import Any

import msgspec
from kombu.connection import Connection

from obsvc.messaging.connection import translated


def pack_bare(inner: dict[str, Any]) -> bytes:
    """The body that oslo.messaging's older driver ``messaging`` would send for ``inner``: without an envelope."""
    return msgspec.json.encode(inner)


def delete_queue(connection: Connection, name: str) -> None:
    """Delete the queue, whatever it holds."""
    with translated(connection, f"deleting queue {name}"), connection.channel() as channel:
        channel.queue_delete(queue=name)

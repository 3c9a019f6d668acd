"""Real messages to begin with: the captured life of a server, and the shared samples where they are.

In place of each redacted token stands :data:`CANARY`, which looks like one: nothing of it may ever be shown.
"""
from __future__ import annotations

import gzip
import json
import pathlib
import random
import string
from typing import Any, NamedTuple

from tests.support.shared_data import SHARED, captured, notification_files

_RECORDED = pathlib.Path(__file__).parents[1] / "data" / "nova-server-life.jsonl.gz"
_REDACTED = "gAAAA-redacted"

#: A Fernet token's shape (``gAAAAA``, then base64url).
CANARY = "gAAAAAB" + "".join(random.Random(1).choices(string.ascii_letters + string.digits + "-_", k=179))

#: Characters of the canary that count as a leak when they are found together.
PIECE = 32
_PIECES = [CANARY[start: start + PIECE] for start in range(len(CANARY) - PIECE + 1)]


class Sample(NamedTuple):
    """One message as it was on the bus.  inner: its inner notification as JSON."""

    exchange: str
    routing_key: str
    body: bytes
    inner: bytes


def leaks(text: str) -> bool:
    """Whether enough of the canary to be worth stealing is in ``text``."""
    return any(piece in text for piece in _PIECES)


def samples() -> list[Sample]:
    """Every message that is at hand, in a stable order."""
    with gzip.open(_RECORDED, "rt") as lines:
        recorded = [json.loads(line) for line in lines]
    for line in captured("services"):
        recorded.append(line)
    found = [_recorded(line) for line in recorded]
    services = [] if SHARED is None else sorted(
        folder.name for folder in (SHARED / "notifications").iterdir() if folder.is_dir()
    )
    for file in notification_files(*services):
        sample = json.loads(file.read_text())
        inner = json.dumps(sample["message"]).replace("***", CANARY)
        body = json.dumps({"oslo.version": "2.0", "oslo.message": inner}).encode()
        found.append(Sample(file.parent.name, f"{sample['topic']}.info", body, inner.encode()))
    return found


def _recorded(line: dict[str, Any]) -> Sample:
    body = line["body"].replace(_REDACTED, CANARY)
    outer = json.loads(body)
    inner = outer.get("oslo.message", body)
    return Sample(line["exchange"], line["routing_key"], body.encode(), inner.encode())

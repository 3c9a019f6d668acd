"""What every room that reads or writes rows needs: pieces of long lists, JSON as text, and refs as columns.

Pure; any thread may call.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import msgspec

from obsvc.engine.schema import core
from obsvc.engine.schema.rows import RefColumns
from obsvc.exceptions import InvalidInput
from obsvc.model import Ref
from obsvc.process.batches import batched

T = TypeVar("T")

#: Values in one IN list: every database takes that many, and plans stay small.
CHUNK = 500

_encode = msgspec.json.Encoder().encode


def chunks(values: Sequence[T], size: int = CHUNK) -> Iterator[Sequence[T]]:
    """``values`` in pieces of at most ``size``."""
    return batched(values, size)


def to_json(value: object) -> str:
    return _encode(value).decode()


def check_ref(ref: Ref) -> None:
    """Raise InvalidInput for a ref that can't be stored."""
    limits = (
        ("region", ref.region, core.REGION_LENGTH), ("resource type", ref.resource_type, core.TYPE_LENGTH),
        ("resource id", ref.resource_id, core.RESOURCE_ID_LENGTH),
    )
    for what, text, longest in limits:
        if not text or len(text) > longest or "\0" in text:
            raise InvalidInput(f"expected a {what} of 1 to {longest} characters, got {text[:80]!r} ({len(text)})")


def ref_of(row: RefColumns) -> Ref:
    return Ref(row.region, row.resource_type, row.resource_id)

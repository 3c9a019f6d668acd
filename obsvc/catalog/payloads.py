"""From the payload of a notification to the snapshot that a fetch would have made.  Pure; any thread.

Payloads come from whoever may publish on the bus, and a service writes what its *caller* may see: a payload that is not
complete is refused with the reason, and a fetch is made as usual.
"""
from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import msgspec

from obsvc.catalog import paths
from obsvc.catalog.schema import ResourceType
from obsvc.catalog.snapshots import at, snapshot
from obsvc.model import PayloadState

#: How JSON writes NUL, which no database holds; lone surrogates can't be encoded at all.
_NUL = b"\\u0000"

_ABSENT = object()


def payload_state(resource_type: ResourceType, payload: Any, path: str) -> PayloadState:
    """What ``payload`` says at ``path`` of a resource of a type that has ``payload``."""
    assert resource_type.payload is not None
    body = paths.unwrap(paths.find(payload, path))
    if not isinstance(body, Mapping):
        return PayloadState(lacks="the resource")
    missing = lacks(resource_type, body)
    if missing:
        return PayloadState(lacks=", ".join(missing))
    order = order_of(body, resource_type.payload.order)
    if order is None:
        return PayloadState(lacks=f"a number or a time in {resource_type.payload.order}")
    seen = snapshot(resource_type, body)
    try:
        storable = _NUL not in msgspec.json.encode(seen)
    except (ValueError, RecursionError):
        storable = False
    return PayloadState(seen, order) if storable else PayloadState(lacks="text that can be stored")


def lacks(resource_type: ResourceType, body: Mapping[str, Any]) -> list[str]:
    """The fields that a snapshot is made of and ``body`` does not have, sorted; a null is a value."""
    rule = resource_type.status
    needed = {*resource_type.attributes, *rule.pending_fields, *((rule.field,) if rule.field else ())}
    if resource_type.payload is not None:
        needed.add(resource_type.payload.order)
    missing = {path for path in needed if not _has(body, path)}
    for alternatives in (resource_type.project_fields, resource_type.name_fields, resource_type.updated_fields):
        if alternatives and not any(_has(body, path) for path in alternatives):
            missing.add(alternatives[0])
    return sorted(missing)


def order_of(body: Mapping[str, Any], field: str) -> float | None:
    """The place of ``body`` in the order of the resource's changes; None where it tells none."""
    value = at(body, field)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if abs(value) < 2 ** 53 else None
    try:
        when = datetime.datetime.fromisoformat(value) if isinstance(value, str) else None
        return None if when is None else (when if when.tzinfo else when.replace(tzinfo=datetime.UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _has(body: Any, path: str) -> bool:
    if not isinstance(body, Mapping):
        return False
    if path in body:
        return True
    head, dot, rest = path.partition(".")
    return bool(dot) and _has(body.get(head, _ABSENT), rest)

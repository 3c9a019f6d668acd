"""Reading the body of a service's answer.  Pure; any thread.

What is read here can be stored by every database and sent as JSON in UTF-8.
"""
from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import msgspec

#: JSON escapes of NUL and of surrogates: one report of such a text would hold up all that follow it.
_STRANGE = re.compile(rb"\\u(0000|[dD][89a-fA-F])")

#: One resource, by the API's names.
Resource = dict[str, Any]


def resource_in(body: bytes, key: str | None) -> Resource:
    """The resource in an answer's body, under ``key`` (None: the document itself); raises ValueError, KeyError or
    TypeError when it is not there."""
    document = read_document(body)
    resource = document[key] if key is not None else document
    if not isinstance(resource, dict):
        raise TypeError(f"expected an object, got {type(resource).__name__}")
    return resource


def resources_in(body: bytes, key: str) -> dict[str, Resource]:
    """The resources in a list's body, by id; none where it can't be read."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return {resource["id"]: resource for resource in read_document(body)[key]}
    return {}


def read_document(body: bytes) -> Any:
    """A service's answer as values that every database and JSON in UTF-8 hold; raises ValueError."""
    try:
        document = msgspec.json.decode(body)
    except msgspec.DecodeError:
        document = json.loads(body)  # takes what old services write: NaN, lone surrogates
    return _storable(document) if _STRANGE.search(body) else document


def _storable(value: Any) -> Any:
    """``value`` with U+FFFD for what no database and no JSON in UTF-8 holds: NUL and lone surrogates."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace").replace("\0", "\ufffd")
    if isinstance(value, dict):
        return {_storable(name): _storable(member) for name, member in value.items()}
    return [_storable(member) for member in value] if isinstance(value, list) else value

"""The API's JSON: every field is there, also where it is null, and a ref stands as its three parts.

The structs of the engine contract leave out defaults and write a ref as a list: good between our own processes, bad
for people and their scripts.
"""
from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping
from typing import Any

import falcon
import msgspec

from obsvc.model import MemberId, Ref


def plain(value: Any) -> Any:
    """``value`` as dicts, lists, text and numbers."""
    if isinstance(value, Ref):
        return {"region": value.region, "resource_type": value.resource_type, "resource_id": value.resource_id}
    if isinstance(value, MemberId):
        return {"name": value.name, "incarnation": value.incarnation}
    if isinstance(value, msgspec.Struct):
        shown: dict[str, Any] = {}
        for name in value.__struct_fields__:
            inner = getattr(value, name)
            shown.update(plain(inner) if isinstance(inner, Ref) else {name: plain(inner)})
        return shown
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(inner) for inner in value]
    return value


def answer_raw(resp: falcon.Response, data: bytes) -> None:
    """Answer with data that is JSON already."""
    resp.content_type = falcon.MEDIA_JSON
    resp.data = data


def answer_once(req: falcon.Request, resp: falcon.Response, value: object) -> None:
    """Answer ``value`` with its ETag; 304 without it where the caller has that already (RFC 9110 13.1.2)."""
    data = msgspec.json.encode(plain(value))
    answer_raw(resp, data)
    resp.etag = hashlib.blake2b(data, digest_size=16).hexdigest()
    known = req.if_none_match or []
    if "*" in known or resp.etag.strip('"') in known:
        resp.status, resp.data, resp.content_type = falcon.HTTP_304, None, None


def answer(resp: falcon.Response, value: object, *, status: str = falcon.HTTP_200) -> None:
    """Answer ``value`` as JSON."""
    resp.status = status
    resp.content_type = falcon.MEDIA_JSON
    resp.data = msgspec.json.encode(plain(value))

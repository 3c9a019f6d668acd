"""Paths into a payload, as the catalogue writes them (:class:`obsvc.catalog.schema.Event`).

``a.b`` goes into objects, ``a[*].b`` takes each item of a list.  A versioned object (``{"nova_object.name": …,
"nova_object.data": {…}}``, and the like of other services) is stepped into without being named.

Pure; any thread.  Payloads come from strangers: a value of an unexpected shape is the same as none.
"""
from __future__ import annotations

import functools
from typing import Any

_EACH = "[*]"
_DATA = "_object.data"

#: Ids and projects longer than this, or with characters that can't be printed, are not taken: no service has such,
#: and databases and logs refuse them.
MAX_ID = 255


def unwrap(value: Any) -> Any:
    """The data of a versioned object; anything else as it is."""
    if type(value) is dict and len(value) <= 6:
        for key, inner in value.items():
            if key.endswith(_DATA):
                return inner
    return value


def namespace(payload: Any) -> str | None:
    """Whose versioned object the payload is (``nova`` for ``nova_object.data``); None when it is none."""
    if type(payload) is dict and len(payload) <= 6:
        for key in payload:
            if type(key) is str and key.endswith(_DATA):
                return key[: -len(_DATA)]
    return None


@functools.lru_cache(maxsize=2048)
def _parts(path: str) -> tuple[str, ...]:
    """``a[*].b`` → ``("a", "[*]", "b")``; the argument comes from the catalogue, never from a message."""
    return tuple(part for part in path.replace(_EACH, f".{_EACH}").split(".") if part)


def find(value: Any, path: str) -> Any:
    """The value at ``path`` without ``[*]``, None where there is none."""
    for part in _parts(path):
        value = _into(value, part)
        if value is None:
            return None
    return value


def _into(value: Any, part: str) -> Any:
    """What ``part`` names in an object; no versioned object has such a key beside its data."""
    inner = value.get(part) if type(value) is dict else None
    if inner is None and (data := unwrap(value)) is not value and type(data) is dict:
        return data.get(part)
    return inner


def find_all(value: Any, path: str) -> list[Any]:
    """Every value at ``path``; a list even if the path has no ``[*]``."""
    return _walk(value, _parts(path))


def _walk(value: Any, parts: tuple[str, ...]) -> list[Any]:
    for index, part in enumerate(parts):
        if part == _EACH:
            if type(value) is not list:
                return []
            return [inner for item in value for inner in _walk(item, parts[index + 1:])]
        value = _into(value, part)
        if value is None:
            return []
    return [value]


def text_of(value: Any) -> str | None:
    """An id or a project as text; None for what can't be one."""
    if type(value) is str:
        return value if value and len(value) <= MAX_ID and value.isprintable() else None
    return str(value) if type(value) is int and len(text := str(value)) <= MAX_ID and text else None


def texts(payload: Any, paths: tuple[str, ...]) -> tuple[tuple[str, ...], bool]:
    """The ids at the first of ``paths`` that has any, each once and in order, and whether it was a list's path."""
    for path in paths:
        if _EACH in path:
            ids = tuple(dict.fromkeys(text for item in find_all(payload, path) if (text := text_of(item))))
            if ids:
                return ids, True
        else:
            text = text_of(find(payload, path))
            if text is not None:
                return (text,), False
    return (), False

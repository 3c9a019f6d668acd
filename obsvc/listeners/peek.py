"""Which ref a message is about, from as little of it as possible: most messages concern another member's refs.

A peek reads event type and id and skips the rest of the payload.  It answers only where reading everything would find
the same: where event type and family alone identify one event of the catalogue, and that event one ref by paths without
lists.  Everything else (bulk requests, CADF, guesses, whatever is odd) is left to the decoder.  Even of messages about
refs of our own, only what the event's paths lead to is read.

What is skipped is not validated: a number out of range there does not make a dead letter.

A :class:`Peeker` is immutable except for bounded caches, and may be shared by threads.
"""
from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from obsvc.catalog import Catalog, paths
from obsvc.catalog.matching import Match, Matcher
from obsvc.catalog.schema import Event
from obsvc.messaging import wire
from obsvc.model import Family, Ref, Urgency

#: Event types whose plans are kept, as the matcher keeps its own.
_CACHED = 4096

#: What makes a payload, or a part of it, a versioned object: a key with this ending (:func:`paths.namespace`).
_OBJECT = "_object.data"

#: How such a key could be written without its letters: ASCII as escapes, which no service does.
_BACKSLASH, _ESCAPED_ASCII = "\\", re.compile(r"\\u00[0-7]")

_EVENT_TYPE = '"event_type":'

#: Longest event type that is taken: real ones are below 60 characters, and each may become a cache key.
MAX_EVENT_TYPE = 200


class Inner(msgspec.Struct, gc=False):
    """The keys of an inner notification that are read, except the payload."""

    event_type: Any = None
    priority: Any = None
    publisher_id: Any = None
    timestamp: Any = None
    message_id: Any = None
    request_id: Any = msgspec.field(name="_context_request_id", default=None)
    context_project_id: Any = msgspec.field(name="_context_project_id", default=None)
    context_tenant_id: Any = msgspec.field(name="_context_tenant_id", default=None)
    context_project: Any = msgspec.field(name="_context_project", default=None)
    context_tenant: Any = msgspec.field(name="_context_tenant", default=None)


class Plan(NamedTuple):
    """How one event is read.

    versioned: its payload's family, which is unversioned otherwise.  asks: False where nothing of the ref can have
    changed (``Urgency.NONE``).
    peek: decodes the event type and what leads to an id.  ids: fields of its payload in the order of the event's
    paths to the id, each with the rest of its path.
    read: decodes an Inner and what any path of the event leads to.  names: the keys of the payload that the fields
    of its payload stand for, in their order.
    """

    match: Match
    resource_type: str
    versioned: bool
    asks: bool
    peek: Callable[[str], Any]
    ids: tuple[tuple[str, str], ...]
    read: Callable[[str], Any]
    names: tuple[str, ...]


class Peeked(msgspec.Struct, frozen=True, gc=False):
    """The one ref that a notification is about.  text: the inner notification."""

    ref: Ref
    plan: Plan
    text: str

    def read(self) -> tuple[Inner, dict[str, Any]]:
        """The inner notification, and as much of its payload (of the data of a versioned one) as the event's paths
        lead into."""
        inner = self.plan.read(self.text)
        payload = inner.payload.data if self.plan.versioned else inner.payload
        return inner, dict(zip(self.plan.names, msgspec.structs.astuple(payload), strict=False))


class Peeker:
    """Peeks at notifications.  region: of the services that publish on this bus."""

    def __init__(self, catalog: Catalog, matcher: Matcher, region: str) -> None:
        self._catalog = catalog
        self._matcher = matcher
        self._region = region
        self._plans = functools.lru_cache(maxsize=_CACHED)(self._plans_of)
        self._by_event: dict[tuple[int, bool], Plan | None] = {}  # by id(): the catalogue keeps its events

    def at(self, text: str | bytes) -> Peeked | None:
        """What the inner notification in ``text`` is about; None where only the decoder can tell.

        In one pass: the first event type in the text says what to read, and what was read shows whether it is the
        message's own.
        """
        if isinstance(text, bytes):
            if not text.isascii():  # anything else might not be UTF-8
                return None
            text = text.decode("ascii")
        event_type = _first_event_type(text)
        if len(event_type) > MAX_EVENT_TYPE or (_BACKSLASH in text and _ESCAPED_ASCII.search(text)):
            return None
        plain, of_object = self._plans(event_type)
        plan = of_object if plain is None or _OBJECT in text else plain
        if plan is None:
            return None
        try:
            found = plan.peek(text)
        except wire.DECODE_ERRORS:
            return None
        payload = found.payload
        if found.event_type != event_type or payload is msgspec.UNSET:
            return None
        if plan.versioned:
            payload = payload.data
            if payload is msgspec.UNSET:
                return None
        elif payload.cadf is not None:
            return None
        for field, rest in plan.ids:
            value = getattr(payload, field)
            found_id = paths.text_of(paths.find(value, rest) if rest else value)
            if found_id is not None:
                return Peeked(Ref(self._region, plan.resource_type, found_id), plan, text)
        return None

    def _plans_of(self, event_type: str) -> tuple[Plan | None, Plan | None]:
        """For an unversioned and for a versioned payload."""
        return self._plan_of(event_type, Family.UNVERSIONED), self._plan_of(event_type, Family.VERSIONED)

    def _plan_of(self, event_type: str, family: Family) -> Plan | None:
        match = self._matcher.certain(event_type, family)
        if match is None:
            return None
        key = (id(match.event), family is Family.VERSIONED)
        if key not in self._by_event:
            resource_type = match.event.type
            known = resource_type is not None and resource_type in self._catalog.types
            self._by_event[key] = (
                _plan(match, resource_type, family) if resource_type and known and _is_simple(match.event) else None
            )
        return self._by_event[key]


def _is_simple(event: Event) -> bool:
    """Whether it is about one ref of one type whose id is a plain value of the payload."""
    return not (event.type_field or event.type_where or event.related or event.id_after)


def _first_event_type(text: str) -> str:
    """The value of the first key of that name, wherever it is; anything if there is none."""
    begin = text.find('"', text.find(_EVENT_TYPE) + len(_EVENT_TYPE)) + 1
    return text[begin:text.find('"', begin)]


def _plan(match: Match, resource_type: str, family: Family) -> Plan | None:
    event, service = match.event, match.service
    namespaces = service.objects or (service.service,)
    ids = [path.partition(".") for path in itertools.takewhile(lambda path: "[*]" not in path, event.id)]
    if not ids or len(namespaces) > 1:
        return None
    namespace = namespaces[0] if family is Family.VERSIONED else None
    leading = tuple(dict.fromkeys(name for name, _, _ in ids))
    others = (path for path in (*event.project, event.state, event.task) if path is not None and path != "$context")
    names = tuple(dict.fromkeys([*leading, *(re.split(r"[.[]", path)[0] for path in others)]))
    return Plan(
        match, resource_type, namespace is not None, event.look is not Urgency.NONE,
        peek=_decoder(leading, namespace, _EventType).decode,
        ids=tuple((f"key_{leading.index(name)}", rest) for name, _, rest in ids),
        read=_decoder(names, namespace, Inner).decode, names=names,
    )


class _EventType(msgspec.Struct, gc=False):
    event_type: Any = None


@functools.cache
def _decoder(names: tuple[str, ...], namespace: str | None, base: type[msgspec.Struct]) -> msgspec.json.Decoder[Any]:
    """Reads ``names`` of the payload as ``key_0`` …; namespace: of a versioned one.  Catalogues have few such."""
    fields = [(f"key_{place}", Any, name) for place, name in enumerate(names)]
    if namespace is None:
        payload = _struct([*fields, ("cadf", Any, "eventType")])
    else:
        # Only the keys of a versioned object: so it is short enough to be one, and its data is no other's.
        about = [(name, msgspec.Raw, name) for name in ("name", "namespace", "version", "changes")]
        whole = [(name, kind, f"{namespace}_object.{key}")
                 for name, kind, key in (*about, ("data", _struct(fields), "data"))]
        payload = _struct(whole, forbid_unknown_fields=True)
    return msgspec.json.Decoder(_struct([("payload", payload, "payload")], bases=(base,)))


def _struct(fields: Sequence[tuple[str, Any, str]], **options: Any) -> type[msgspec.Struct]:
    """Of optional fields: (name, type, key in the JSON)."""
    return msgspec.defstruct(
        "Skimmed", [(name, Any, None) if kind is Any else (name, kind | msgspec.UnsetType, msgspec.UNSET)
                    for name, kind, _ in fields],
        rename={name: key for name, _, key in fields}, gc=False, **options,
    )

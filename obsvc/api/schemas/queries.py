"""Query parameters: what each of them is, which ones an operation takes, and how they are read.

A parameter means the same wherever it is taken, so its name says how its text is read (``PARAMETERS``).  An operation
takes the fields of one ``Query``; they have a default where a request leaves the parameter out.
"""
from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import falcon
import msgspec

from obsvc.exceptions import InvalidInput
from obsvc.model import Condition

#: Largest integer: what every database takes.
INTEGER_MAX = 2**63 - 1

#: Largest page.
LIMIT_MAX = 1000


class Query(msgspec.Struct, frozen=True):
    """The query parameters of one operation; each field is one of ``PARAMETERS``, with the type that it reads."""


Q = TypeVar("Q", bound=Query)


class RegionQuery(Query, frozen=True):
    region: str | None = None


class ObservationsQuery(Query, frozen=True):
    resource_type: str | None = None
    resource_id: str | None = None
    region: str | None = None
    stack_id: str | None = None
    project_id: str | None = None
    label: tuple[str, str] | None = None
    condition: Condition | None = None
    member: str | None = None
    marker: str | None = None
    limit: int = 100


class ObservationWaitQuery(Query, frozen=True):
    timeout: float | None = None
    since: int | None = None


class SelectorsQuery(Query, frozen=True):
    resource_type: str | None = None
    region: str | None = None
    project_id: str | None = None
    marker: str | None = None
    limit: int = 100


class ResourcesQuery(Query, frozen=True):
    resource_type: str | None = None
    resource_id: str | None = None
    region: str | None = None
    condition: Condition | None = None
    stack_id: str | None = None
    project_id: str | None = None
    label: tuple[str, str] | None = None
    since: int | None = None
    marker: str | None = None
    limit: int = 100


class ResourceQuery(Query, frozen=True):
    region: str | None = None
    wait: float = 0.0
    since: int | None = None
    until: Condition | None = None
    trail: bool = False


class ChangesQuery(Query, frozen=True):
    since: int = 0
    wait: float = 0.0
    limit: int = 500
    resource_type: str | None = None
    resource_id: str | None = None
    region: str | None = None
    stack_id: str | None = None
    project_id: str | None = None
    label: tuple[str, str] | None = None


class WatchQuery(Query, frozen=True):
    since: int | None = None
    timeout: float | None = None
    heartbeat: float | None = None
    resource_type: str | None = None
    resource_id: str | None = None
    region: str | None = None
    stack_id: str | None = None
    project_id: str | None = None
    label: tuple[str, str] | None = None


class StacksQuery(Query, frozen=True):
    project_id: str | None = None
    marker: str | None = None
    limit: int = 100


class StackQuery(Query, frozen=True):
    wait: float = 0.0


class StackEventsQuery(Query, frozen=True):
    after: int = 0
    wait: float = 0.0
    limit: int = 500


class PartitionsQuery(Query, frozen=True):
    owner: str | None = None
    differs: bool | None = None


class DeadLettersQuery(Query, frozen=True):
    limit: int = 100
    before: int | None = None


@dataclass(frozen=True)
class Parameter:
    """description, schema: for the OpenAPI document.  parse: (name, text) to the value; raises InvalidInput."""

    description: str
    schema: Mapping[str, Any]
    parse: Callable[[str, str], object]


def read_query(req: falcon.Request, kind: type[Q] | None) -> Q | None:
    """The query of a request, as ``kind``; InvalidInput for a parameter that is unknown, repeated or malformed.

    kind: None where no parameter is taken.
    """
    known = kind.__struct_fields__ if kind is not None else ()
    for name in req.params:
        if name not in known:
            raise InvalidInput(f"query parameter {name!r} is not known here: expected {_either(known)}")
    if kind is None:
        return None
    values = {}
    for name in known:
        text = _single(req, name)
        if text is not None:
            values[name] = PARAMETERS[name].parse(name, text)
    return kind(**values)


def _single(req: falcon.Request, name: str) -> str | None:
    """The parameter's text; None where it is missing."""
    values = req.get_param_as_list(name) or []
    if len(values) > 1:
        raise InvalidInput(f"query parameter {name!r}: expected it once, got it {len(values)} times")
    if values == [""]:
        raise InvalidInput(f"query parameter {name!r}: expected a value, got none: leave it out")
    return values[0] if values else None


def text(name: str, given: str) -> str:
    return given


def integer(name: str, given: str, *, least: int = 0) -> int:
    """A whole number from ``least``."""
    try:
        value = int(given)
    except ValueError:
        value = least - 1
    if not least <= value <= INTEGER_MAX:
        raise InvalidInput(f"query parameter {name!r}: expected a whole number from {least}, got {given!r}")
    return value


def limit(name: str, given: str) -> int:
    """Rows of a page; more than LIMIT_MAX counts as that."""
    return min(integer(name, given, least=1), LIMIT_MAX)


def seconds(name: str, given: str) -> float:
    """Seconds from 0."""
    try:
        value = float(given)
    except ValueError:
        value = -1.0
    if not (value >= 0 and math.isfinite(value)):
        raise InvalidInput(f"query parameter {name!r}: expected seconds from 0, got {given!r}")
    return value


def boolean(name: str, given: str) -> bool:
    if given.lower() not in ("true", "false", "1", "0"):
        raise InvalidInput(f"query parameter {name!r}: expected true or false, got {given!r}")
    return given.lower() in ("true", "1")


def label(name: str, given: str) -> tuple[str, str]:
    """``KEY=VALUE`` as a pair."""
    key, sign, value = given.partition("=")
    if not sign or not key:
        raise InvalidInput(f"query parameter {name!r}: expected KEY=VALUE, got {given!r}")
    return key, value


def condition(name: str, given: str) -> Condition:
    return _choice(Condition, name, given)


E = TypeVar("E", bound=enum.Enum)


def _choice(kind: type[E], name: str, given: str) -> E:
    try:
        return kind(given)
    except ValueError:
        values = [str(member.value) for member in kind]
        raise InvalidInput(f"query parameter {name!r}: expected {_either(values)}, got {given!r}") from None


def _either(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


TEXT_SCHEMA = {"type": "string", "minLength": 1}
INTEGER_SCHEMA = {"type": "integer", "minimum": 0, "maximum": INTEGER_MAX}
_LIMIT_SCHEMA = {"type": "integer", "minimum": 1, "maximum": INTEGER_MAX}
_SECONDS_SCHEMA = {"type": "number", "minimum": 0}
_CONDITION_SCHEMA = {"type": "string", "enum": [member.value for member in Condition]}
_BOOLEAN_SCHEMA = {"type": "string", "enum": ["true", "false", "1", "0"]}
_LABEL_SCHEMA = {"type": "string", "pattern": "^[^=]+="}


def _text(description: str) -> Parameter:
    return Parameter(description, TEXT_SCHEMA, text)


def _integer(description: str) -> Parameter:
    return Parameter(description, INTEGER_SCHEMA, integer)


def _seconds(description: str) -> Parameter:
    return Parameter(description, _SECONDS_SCHEMA, seconds)


def _boolean(description: str) -> Parameter:
    return Parameter(description, _BOOLEAN_SCHEMA, boolean)


def _condition(description: str) -> Parameter:
    return Parameter(description, _CONDITION_SCHEMA, condition)


#: Every query parameter of the API.
PARAMETERS: dict[str, Parameter] = {
    "after": _integer("Only what came after this event."),
    "before": _integer("Only those older than this one."),
    "condition": _condition("Only where the resource is in this condition."),
    "differs": _boolean("Whether proposal and grant differ."),
    "heartbeat": _seconds("Seconds between two heartbeats, 1 to 60."),
    "label": Parameter("Only with this label, KEY=VALUE.", _LABEL_SCHEMA, label),
    "limit": Parameter("Rows of a page; more than 1000 count as 1000.", _LIMIT_SCHEMA, limit),
    "marker": _text("`marker` of the page before."),
    "member": _text("Only of resources whose partition this member owns; for admin and service."),
    "owner": _text("Only those granted to this member, or proposed for it."),
    "project_id": _text("Only those of this project; for admin and service."),
    "region": _text("The region, where an id alone is not enough."),
    "resource_id": _text("Only of the resource with this id."),
    "resource_type": _text("Only of resources of this type."),
    "since": _integer("Only what is newer than this version."),
    "stack_id": _text("Only of this stack."),
    "timeout": _seconds("Seconds to wait."),
    "trail": _boolean("Whether the owner's trail is asked for."),
    "until": _condition("The condition to wait for."),
    "wait": _seconds("Seconds to wait for something new."),
}

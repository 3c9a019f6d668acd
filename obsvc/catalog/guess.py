"""What an event type that no entry names probably is about: the fallback rule (docs/catalog.md).

- The service is the one whose versioned objects, exchange or publisher it is; else a name made of the exchange
  (unless that is oslo.messaging's default, ``openstack``), or of the publisher up to its first ``.``, ``:`` or ``@``.
- The noun: the event type's parts, without the phase at the end (``start``, ``end``, ``error``, ``success``,
  ``progress``), and, where more than one is left, without the last (the action); the last one left is the noun.
- The type is ``<service type>.<noun>``, dashes as underscores.
- The id is the first of ``<noun>.id``, ``<noun>_id``, ``<noun>s[*].id``, ``id``, ``uuid``, ``resource_id``,
  ``target.id``, ``resource_info`` that is there; the project the first of ``<noun>.project_id``,
  ``<noun>.tenant_id``, ``project_id``, ``tenant_id``, ``owner``, and the request's own.

A guess is always marked as a guess.  Pure; any thread.
"""
from __future__ import annotations

import re

from obsvc.catalog.schema import Event
from obsvc.model import Family, Phase

#: The exchange of services that set none: it names nobody.
DEFAULT_EXCHANGE = "openstack"

_PHASES = frozenset({*Phase, "success"})
_HEAD = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,40}")
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,60}")


def service_name(exchange: str | None, publisher: str | None) -> str | None:
    """A name for a service that the catalogue does not know; None where nothing tells one."""
    for text in (exchange if exchange != DEFAULT_EXCHANGE else None, publisher):
        head = _HEAD.match(text) if text else None
        if head:
            return head[0].lower()
    return None


def noun_of(event_type: str) -> str | None:
    """``widget`` for ``widget.create.end`` and for ``my.widget.resize``; None where the rule finds none."""
    parts = event_type.split(".")
    if len(parts) > 1 and parts[-1] in _PHASES:
        parts.pop()
    if len(parts) > 1:
        parts.pop()
    return parts[-1] if _WORD.fullmatch(parts[-1]) else None


def event_of(event_type: str, family: Family, service_type: str) -> Event:
    """The entry that the rule makes up; where the service has a type of that name, it can be looked at."""
    noun = noun_of(event_type)
    why = f"the catalogue knows no event {event_type} of family {family}"
    if noun is None:
        return Event(match=event_type, why=why)
    return Event(
        match=event_type, why=why, type=f"{service_type.replace('-', '_')}.{noun.replace('-', '_')}",
        id=(f"{noun}.id", f"{noun}_id", f"{noun}s[*].id", "id", "uuid", "resource_id", "target.id", "resource_info"),
        project=(f"{noun}.project_id", f"{noun}.tenant_id", "project_id", "tenant_id", "owner", "$context"),
    )

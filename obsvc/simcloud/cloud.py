"""What every part of the simulated cloud works with: the world, the notifier, the dials, the counters, the tokens."""
from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import falcon

from obsvc.process.clock import Clock
from obsvc.simcloud import faults
from obsvc.simcloud.dials import Dials, Panel
from obsvc.simcloud.notify import Actor, Notice, Notifier, Send
from obsvc.simcloud.stats import Stats
from obsvc.simcloud.world import Resource, World

#: Makes a service's error answer of a status and a message.
Refusal = Callable[[int, str], faults.Fault]

_NAMESPACE = uuid.UUID("6f1d5f0e-9a55-4c3c-b1c1-2f6d6a5d3c11")


def stable_id(kind: str, name: str) -> str:
    """32 hex digits that are the same for the same name in every run, as keystone's ids look."""
    return uuid.uuid5(_NAMESPACE, f"{kind}:{name}").hex


def iso(seconds: float, *, micro: bool = False, zone: str = "Z") -> str:
    """``2026-11-22T10:31:51Z``; micro: with microseconds and no zone letter, as nova has launched_at."""
    moment = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="microseconds") if micro else moment.isoformat(timespec="seconds") + zone


@dataclass(frozen=True)
class Settings:
    """How the cloud starts.

    token_seconds: how long a token is good for.  password: the one that every user has; the same serves as the
    secret of application credentials.  regions: all served by the same endpoints.
    """

    regions: tuple[str, ...] = ("RegionOne",)
    password: str = "simulated"
    token_seconds: float = 3600.0
    seed: int | None = None


class Cloud:
    """One simulated cloud; every method may be called from any thread."""

    def __init__(self, settings: Settings, clock: Clock, dials: Dials, send: Send | None) -> None:
        self.settings = settings
        self.clock = clock
        self.panel = Panel(dials)
        self.world = World(clock, self.panel, seed=settings.seed)
        self.notifier = Notifier(send, clock, self.panel, seed=settings.seed)
        self.stats = Stats(clock)

    def notify(self, exchange: str, publisher_id: str, event_type: str, payload: Mapping[str, Any], *,
               actor: Actor | None, resource_id: str | None = None, **more: Any) -> None:
        """Emit one notification; ``more``: priority, topic."""
        self.notifier.emit(Notice(exchange, publisher_id, event_type, payload, actor=actor,
                                  resource_id=resource_id, **more))

    @property
    def now(self) -> float:
        return self.clock.time()


def read_body(req: falcon.Request, fault: Refusal) -> dict[str, Any]:
    """The request's body, an object; a 400 of the service's shape when it is none."""
    try:
        body = json.loads(req.bounded_stream.read() or b"null")
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise fault(400, "Invalid input: the body has to be a JSON object.")
    return body


def read_json(req: falcon.Request, key: str, fault: Refusal = faults.nova) -> dict[str, Any]:
    """The object under ``key`` of the request's body; a 400 of the service's shape when there is none."""
    value = read_body(req, fault).get(key)
    if not isinstance(value, dict):
        raise fault(400, f"Invalid input: the body has to be an object with the object '{key}'.")
    return value


def visible(resource: Resource, actor: Actor) -> bool:
    """True when the caller may see the resource: it is an admin or of the resource's project."""
    return "admin" in actor.roles or resource.project_id == actor.project_id


def page(bodies: Iterable[Mapping[str, Any]], req: falcon.Request, *, most: int = 1000) -> list[Mapping[str, Any]]:
    """``marker`` and ``limit`` as every service has them."""
    found = list(bodies)
    marker = req.get_param("marker")
    if marker:
        place = next((index for index, body in enumerate(found) if body["id"] == marker), None)
        if place is None:
            raise faults.nova(400, f"marker [{marker}] not found")
        found = found[place + 1:]
    limit = min(req.get_param_as_int("limit", min_value=0) or most, most)
    req.context.last_of_page = found[limit - 1]["id"] if found[limit:] else None
    return found[:limit]


def next_query(req: falcon.Request) -> str | None:
    """The query of the page after the one that :func:`page` cut; None where that was the last."""
    last = getattr(req.context, "last_of_page", None)
    return None if last is None else urlencode({**req.params, "marker": last}, doseq=True)


def next_links(req: falcon.Request, key: str) -> dict[str, list[dict[str, str]]]:
    """``<key>_links`` as nova, neutron and cinder have it; nothing where there is no further page."""
    query = next_query(req)
    return {} if query is None else {f"{key}_links": [{"rel": "next", "href": f"{req.prefix}{req.path}?{query}"}]}

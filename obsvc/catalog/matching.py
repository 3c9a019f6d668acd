"""From an event type to what the catalogue says of it.

Event types of services collide (``flavor.create`` is nova's, ``flavor.create.end`` neutron's, ``service.update``
has two senders), so the payload's family and object namespace, a service's signs in it, the exchange and the publisher
help to choose, in that order.

Pure except for bounded caches; any thread.
"""
from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from obsvc.catalog import guess, paths
from obsvc.catalog.loader import Catalog
from obsvc.catalog.schema import Event, Service
from obsvc.model import Family

#: Event types whose candidates are cached.  A real cloud has a few hundred; whoever may publish can invent more.
_CACHED = 4096


class Match(NamedTuple):
    """What an event type means; guessed: more than one service could be meant and nothing told which."""

    service: Service
    event: Event
    guessed: bool


class Candidate(NamedTuple):
    """An event whose pattern fits, with its service."""

    service: Service
    event: Event


class Matcher:
    """Finds the event of a catalogue that a notification is."""

    def __init__(self, catalog: Catalog) -> None:
        self._entries = [
            (re.compile(fnmatch.translate(event.match)), Candidate(service, event))
            for service in catalog.services.values()
            for event in service.events
        ]
        self._services = tuple(catalog.services.values())
        self.candidates = functools.lru_cache(maxsize=_CACHED)(self._candidates)
        self.certain = functools.lru_cache(maxsize=_CACHED)(self._if_certain)
        self._made_up = functools.lru_cache(maxsize=_CACHED)(guess.event_of)

    def _candidates(self, event_type: str) -> tuple[Candidate, ...]:
        return tuple(candidate for pattern, candidate in self._entries if pattern.match(event_type))

    def _if_certain(self, event_type: str, family: Family) -> Match | None:
        """The match where event type and family alone decide: the answer for nearly every message."""
        fitting = [candidate for candidate in self.candidates(event_type)
                   if not candidate.event.families or family in candidate.event.families]
        if any(candidate.event.publishers or candidate.service is not fitting[0].service for candidate in fitting):
            return None
        return Match(*fitting[0], False) if fitting else None

    def match(
        self,
        event_type: str,
        family: Family,
        *,
        namespace: str | None = None,
        exchange: str | None = None,
        publisher: str | None = None,
        payload: Any = None,
    ) -> Match | None:
        """The event that the notification is, None when the catalogue knows none.

        namespace: of a versioned payload (``nova`` for ``nova_object.…``).  exchange, publisher: None where they
        are not known.  payload: asked for the signs of a service where several remain.
        """
        certain = self.certain(event_type, family)
        if certain is not None:
            return certain
        fitting: dict[str, Candidate] = {}
        for candidate in self.candidates(event_type):
            event = candidate.event
            if event.families and family not in event.families:
                continue
            if event.publishers and not _is_any(event.publishers, publisher):
                continue
            fitting.setdefault(candidate.service.service, candidate)
        candidates = list(fitting.values())
        hints: tuple[Callable[[Service], bool], ...] = (
            lambda service: namespace is not None and namespace in service.objects,
            lambda service: signed(service, payload),
            lambda service: exchange is not None and exchange in service.exchanges,
            lambda service: _is_any(service.publishers, publisher),
        )
        for fits in hints:
            if len(candidates) < 2:
                break
            candidates = [candidate for candidate in candidates if fits(candidate.service)] or candidates
        return Match(*candidates[0], len(candidates) > 1) if candidates else None

    def service(self, namespace: str | None, exchange: str | None, publisher: str | None) -> Service | None:
        """The service that probably sent an event that the catalogue does not know."""
        for service in self._services:
            if namespace is not None and namespace in service.objects:
                return service
        named = [service for service in self._services if exchange is not None and exchange in service.exchanges]
        for service in named or self._services:
            if _is_any(service.publishers, publisher):
                return service
        return named[0] if len(named) == 1 else None

    def guess(
        self, event_type: str, family: Family, *, namespace: str | None, exchange: str | None, publisher: str | None
    ) -> Match | None:
        """What an event that no entry names probably is (:mod:`obsvc.catalog.guess`); None: nothing tells its service.

        A service that the catalogue does not know comes without types, so nothing of it can be looked at.
        """
        service = self.service(namespace, exchange, publisher)
        if service is None:
            name = guess.service_name(exchange, publisher)
            if name is None:
                return None
            service = Service(service=name, service_type=name)
        return Match(service, self._made_up(event_type, family, service.service_type), True)


def signed(service: Service, payload: Any) -> bool:
    """Whether one of the service's ``signs`` is in the payload."""
    return any(
        isinstance(value := paths.find(payload, path), str) and _is_any(globs, value)
        for path, globs in service.signs.items()
    )


@functools.lru_cache(maxsize=1024)
def _pattern(globs: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(fnmatch.translate(glob) for glob in globs))


def _is_any(globs: tuple[str, ...], text: str | None) -> bool:
    return text is not None and bool(globs) and _pattern(globs).match(text) is not None

"""From an event type to what the catalogue says of it.

Event types of services collide (``flavor.create`` is nova's, ``flavor.create.end`` neutron's, ``service.update``
has two senders), so the payload's family and object namespace, the exchange and the publisher help to choose.

Pure but for a bounded cache; any thread.
"""
from __future__ import annotations

import fnmatch
import functools
import re
from typing import NamedTuple

from obsvc.catalog.loader import Catalog
from obsvc.catalog.schema import Event, Service
from obsvc.model import Family

#: Event types whose candidates are kept.  A real cloud has a few hundred; whoever may publish can make up more.
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
        self._globs: dict[tuple[str, ...], re.Pattern[str]] = {}
        self.candidates = functools.lru_cache(maxsize=_CACHED)(self._candidates)

    def _candidates(self, event_type: str) -> tuple[Candidate, ...]:
        return tuple(candidate for pattern, candidate in self._entries if pattern.match(event_type))

    def match(
        self,
        event_type: str,
        family: Family,
        *,
        namespace: str | None = None,
        exchange: str | None = None,
        publisher: str | None = None,
    ) -> Match | None:
        """The event that the notification is, None when the catalogue knows none.

        namespace: of a versioned payload (``nova`` for ``nova_object.…``).  exchange, publisher: None where they
        are not known.
        """
        fitting: dict[str, Candidate] = {}
        for candidate in self.candidates(event_type):
            event = candidate.event
            if event.families and family not in event.families:
                continue
            if event.publishers and not self._is_any(event.publishers, publisher):
                continue
            fitting.setdefault(candidate.service.service, candidate)
        if not fitting:
            return None
        found = list(fitting.values())
        if len(found) == 1:
            return Match(*found[0], False)
        for told in (
            [c for c in found if namespace is not None and namespace in c.service.objects],
            [c for c in found if exchange is not None and exchange in c.service.exchanges],
            [c for c in found if self._is_any(c.service.publishers, publisher)],
        ):
            if told:
                return Match(*told[0], len(told) > 1)
        return Match(*found[0], True)

    def service(self, namespace: str | None, exchange: str | None, publisher: str | None) -> Service | None:
        """The service that probably sent an event that the catalogue does not know."""
        for service in self._services:
            if namespace is not None and namespace in service.objects:
                return service
        named = [service for service in self._services if exchange is not None and exchange in service.exchanges]
        for service in named or self._services:
            if self._is_any(service.publishers, publisher):
                return service
        return named[0] if len(named) == 1 else None

    def _is_any(self, globs: tuple[str, ...], text: str | None) -> bool:
        if text is None or not globs:
            return False
        pattern = self._globs.get(globs)
        if pattern is None:
            pattern = self._globs[globs] = re.compile("|".join(fnmatch.translate(glob) for glob in globs))
        return pattern.match(text) is not None

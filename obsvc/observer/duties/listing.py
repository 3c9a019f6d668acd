"""One listing of a resource type in a region, page by page, within the request budget that all looks share.

Any thread may call; a call holds its thread until the last page, and gives up where the service is left alone for
longer than ``TURN_TIMEOUT``.
"""
from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode

from obsvc import metrics
from obsvc.catalog import Catalog
from obsvc.catalog.schema import ResourceType
from obsvc.cloud.sessions import Answer, RequestFailed
from obsvc.cloud.verdicts import ServiceVerdict, verdict
from obsvc.engine_client.duties import SweepItem
from obsvc.exceptions import NotFound, ObsvcError
from obsvc.model import Ref
from obsvc.observer.duties import pages
from obsvc.observer.fetching.documents import read_document
from obsvc.observer.fetching.fetcher import THROTTLED_PAUSE, Sessions
from obsvc.observer.fetching.gate import ServiceGate, ServiceLane
from obsvc.process.clock import Clock

#: Seconds that one page waits for its turn at the service.
TURN_TIMEOUT = 60.0

#: Most pages of one listing: a million resources; a list that never ends is a fault of the service.
PAGES_MAX = 1000


class ListingFailed(ObsvcError):
    """A list could not be read to its end.  refused: the service does not take the request as it is (400)."""

    code = "listing_failed"
    http_status = 502

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused


class Abandoned(ObsvcError):
    """Whoever lists leads no more, or ends."""

    code = "abandoned"
    http_status = 503


@dataclass(frozen=True)
class Listed:
    """items: as they were listed.  whole: whether they are everything that exists.  pages: how many requests that took.
    began_at: when the first was sent, by the engine's clock."""

    items: tuple[SweepItem, ...]
    whole: bool
    pages: int
    began_at: float


class Lister:
    """engine_time: the engine's clock as well as this member knows it."""

    def __init__(self, catalog: Catalog, sessions: Sessions, gate: ServiceGate, *, engine_time: Callable[[], float],
                 clock: Clock) -> None:
        self._catalog = catalog
        self._sessions = sessions
        self._gate = gate
        self._engine_time = engine_time
        self._clock = clock

    def list_type(self, region: str, type_name: str, since: float | None, *, may_continue: Callable[[], bool],
                  stop: threading.Event) -> Listed:
        """List the resources of a type: what changed ``since`` (seconds since the epoch), or everything.

        may_continue: asked before each page.  Raises ListingFailed, or Abandoned.
        """
        resource_type: ResourceType = self._catalog.types[type_name]
        listing = resource_type.listing
        assert listing is not None
        began_at = self._engine_time()
        text = None if since is None else datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        query: dict[str, str] | None = pages.first_query(listing, text)
        filtered = since is not None and listing.changed_since is not None
        items: list[SweepItem] = []
        queries: list[dict[str, str]] = []
        whole = not filtered and listing.all_projects
        while query is not None:
            if query in queries or len(queries) >= PAGES_MAX:
                raise ListingFailed(f"the list of {type_name} does not end: page {len(queries) + 1} repeats another")
            queries.append(query)
            body, page, listed_at = self._page(region, type_name, resource_type, query, may_continue, stop)
            items += self._items(type_name, resource_type, page, listed_at)
            query = pages.next_query(query, body, listing.key)
            if query is None and pages.cut_off(body, len(page), listing):
                whole = False
        return Listed(tuple(items), whole, len(queries), began_at)

    @staticmethod
    def _items(type_name: str, resource_type: ResourceType, page: list[object], listed_at: float) -> list[SweepItem]:
        try:
            return list(pages.items(resource_type, page, listed_at))
        except ValueError as error:
            raise ListingFailed(f"the list of {type_name} can't be read: {error}") from error

    def _page(
        self, region: str, type_name: str, resource_type: ResourceType, query: dict[str, str],
        may_continue: Callable[[], bool], stop: threading.Event,
    ) -> tuple[object, list[object], float]:
        """``(body, resources, listed_at)`` of one page."""
        service = self._catalog.service_of(type_name)
        lane = (region, service.service)
        listing, fetch = resource_type.listing, resource_type.fetch
        assert listing is not None
        self._enter(lane, may_continue, stop)
        began, listed_at = time.perf_counter(), self._engine_time()
        metrics.SWEEP_REQUESTS.labels(region, service.service).inc()
        try:
            answer = self._sessions.get(
                region, service.service_type, f"{listing.path}?{urlencode(query)}" if query else listing.path,
                aliases=service.aliases, version_prefix=fetch.version_prefix,
                microversion=listing.microversion or fetch.microversion, headers=fetch.headers or None,
            )
            self._record_answer(lane, type_name, answer)
        except (RequestFailed, NotFound) as error:
            self._failed(lane, type_name, error.message)
            raise ListingFailed(f"the list of {type_name} in {region}: {error.message}") from error
        finally:
            metrics.FETCH_SECONDS.labels(service.service).observe(time.perf_counter() - began)
            self._gate.leave(lane, self._clock.monotonic())
        if answer.status != 200:
            raise ListingFailed(f"the list of {type_name} in {region} answered HTTP {answer.status}",
                                refused=answer.status == 400)
        try:
            body = read_document(answer.body)
            page = body[listing.key]
            if not isinstance(page, list):
                raise TypeError(f"expected a list under {listing.key!r}, got {type(page).__name__}")
        except (ValueError, KeyError, TypeError) as error:
            raise ListingFailed(f"the list of {type_name} in {region} can't be read: {error!r}") from error
        return body, page, listed_at

    def _enter(self, lane: ServiceLane, may_continue: Callable[[], bool], stop: threading.Event) -> None:
        end = self._clock.monotonic() + TURN_TIMEOUT
        while True:
            if stop.is_set() or not may_continue():
                raise Abandoned("another leads now, or this member ends")
            wait = self._gate.enter(lane, self._clock.monotonic())
            if wait <= 0:
                return
            if self._clock.monotonic() >= end:
                raise ListingFailed(f"{lane[1]} in {lane[0]} took no request for {TURN_TIMEOUT:.0f} s")
            stop.wait(min(wait, 0.5))

    def _record_answer(self, lane: ServiceLane, type_name: str, answer: Answer) -> None:
        """Tell the gate what the answer says of the service, for all who ask it."""
        now = self._clock.monotonic()
        says = verdict(answer.status)
        if says is ServiceVerdict.THROTTLES:
            self._gate.throttled(lane, now, THROTTLED_PAUSE if answer.retry_after is None else answer.retry_after)
        elif says is ServiceVerdict.FAILS:
            self._failed(lane, type_name, f"HTTP {answer.status}", answer.retry_after)
        else:
            self._gate.answered(lane, now)

    def _failed(self, lane: ServiceLane, type_name: str, error: str, retry_after: float | None = None) -> None:
        self._gate.failed(lane, Ref(lane[0], type_name, "*"), self._clock.monotonic(), retry_after=retry_after,
                          error=error)

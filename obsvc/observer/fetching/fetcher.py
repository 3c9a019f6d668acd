"""The requests of looks: what the catalogue describes, and what the answers mean.

Promises: never raises for what a cloud does; a failure of the network, of Keystone or of a service, or an answer
that can't be read, is a ``FAILED`` fetch.  Tells the gate what the service answered.  Waits for nothing but the
request itself: budget, breaker and the share of the threads were asked before (the work queue does it).

Any thread may call; each call holds its thread for at most the connect and the answer time-out.
"""
from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote, urlencode

from obsvc import metrics
from obsvc.catalog import Catalog
from obsvc.catalog.payloads import order_of
from obsvc.catalog.schema import ResourceType, Service
from obsvc.catalog.snapshots import snapshot
from obsvc.cloud.sessions import Answer, RequestFailed
from obsvc.cloud.verdicts import ServiceVerdict, verdict
from obsvc.exceptions import NotFound
from obsvc.model import Ref
from obsvc.observer.fetching.documents import Resource, resource_in, resources_in
from obsvc.observer.fetching.gate import ServiceGate, lanes_of
from obsvc.observer.fetching.result import FetchOutcome, FetchResult
from obsvc.process.clock import Clock, SystemClock

#: Seconds for which a service is left alone that says 429 without saying for how long.
THROTTLED_PAUSE = 5.0

#: Most refs that one request asks for: at 36 characters an id about 2,000 of URL, below what servers refuse (8,190 in
#: Apache), and below the page size of a list (neutron's ``pagination_max_limit``, mostly 1,000).
TOGETHER_MAX = 50


class Sessions(Protocol):
    """What the fetcher needs of :class:`obsvc.cloud.sessions.CloudSessions`."""

    def get(self, region: str, service_type: str, path: str, *, aliases: Sequence[str] = (), version_prefix: str = "",
            microversion: str | None = None, headers: Mapping[str, str] | None = None) -> Answer:
        """``GET``; any answer that came.  Raises RequestFailed when none came, NotFound without such a service."""


@dataclass(frozen=True, slots=True)
class _Request:
    """One request, for ``ref`` or for several like it; both times were read just before it was sent."""

    ref: Ref
    type: ResourceType
    service: Service
    began_at: float  # monotonic seconds
    fetched_at: float  # seconds since the epoch


class Fetcher:
    """catalog: how each type is fetched.  gate: told of each answer; None: nobody is."""

    def __init__(self, catalog: Catalog, sessions: Sessions, *, gate: ServiceGate | None = None,
                 clock: Clock | None = None) -> None:
        self._catalog = catalog
        self._sessions = sessions
        self._gate = gate
        self._clock = clock or SystemClock()
        self.lane_of = lanes_of(catalog)

    def fetch(self, ref: Ref) -> FetchResult:
        """Ask the service for ``ref``, once."""
        resource_type = self._catalog.types.get(ref.resource_type)
        if resource_type is None:
            return FetchResult(ref, FetchOutcome.UNSUPPORTED, self._clock.monotonic(), self._clock.time(),
                               reason="type", error=f"the catalogue does not know how {ref.resource_type} is fetched")
        request = self._request(ref, resource_type)
        path = resource_type.fetch.path.replace("{id}", quote(ref.resource_id, safe=""))
        answer = self._ask(request, path, resource_type.fetch.microversion)
        return answer if isinstance(answer, FetchResult) else self._read(request, answer)

    def most_together(self, ref: Ref) -> int:
        """How many refs of this type and region may share one request; 1: its API lists nothing by ids."""
        resource_type = self._catalog.types.get(ref.resource_type)
        listing = resource_type.listing if resource_type is not None else None
        return TOGETHER_MAX if listing is not None and listing.ids is not None else 1

    def fetch_many(self, refs: Sequence[Ref]) -> dict[Ref, FetchResult]:
        """Ask the service for ``refs``, all of one type and region, by one request for a list of just these.

        What the list does not name is left out of the answer: absence from a list proves nothing, only
        :meth:`fetch` can say that it is gone.  So is what can't be read, and everything when the service does not
        take the request (400, 403, 404, 414 …).
        """
        resource_type = self._catalog.types[refs[0].resource_type]
        listing = resource_type.listing
        assert listing is not None and listing.ids is not None  # most_together said so
        request = self._request(refs[0], resource_type)
        query = urlencode([*listing.params.items(), *((listing.ids, ref.resource_id) for ref in refs)])
        answer = self._ask(request, f"{listing.path}?{query}", listing.microversion or resource_type.fetch.microversion)
        metrics.LIST_FETCHES.labels(request.service.service).inc()
        if isinstance(answer, Answer) and verdict(answer.status) is not ServiceVerdict.ANSWERS:
            answer = self._failed(request, f"HTTP {answer.status}", f"http_{answer.status}", answer)
        if isinstance(answer, FetchResult):
            return {ref: answer.of(ref) for ref in refs}
        self._answered(refs[0])
        listed = resources_in(answer.body, listing.key) if answer.status == 200 else {}
        results = {}
        for ref in refs:
            with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
                results[ref] = self._found(request, listed[ref.resource_id], answer).of(ref)
        return results

    # -- one request

    def _request(self, ref: Ref, resource_type: ResourceType) -> _Request:
        return _Request(ref, resource_type, self._catalog.service_of(ref.resource_type), self._clock.monotonic(),
                        self._clock.time())

    def _ask(self, request: _Request, path: str, microversion: str | None) -> Answer | FetchResult:
        """Any answer that came, or the failure when none did."""
        service, fetch = request.service, request.type.fetch
        began = time.perf_counter()
        try:
            with metrics.FETCHES_IN_FLIGHT.track_inprogress():
                return self._sessions.get(
                    request.ref.region, service.service_type, path, aliases=service.aliases,
                    version_prefix=fetch.version_prefix, microversion=microversion, headers=fetch.headers or None,
                )
        except RequestFailed as error:
            return self._failed(request, error.message, error.reason)
        except NotFound as error:
            return self._failed(request, error.message, "no_endpoint")
        finally:
            metrics.FETCH_SECONDS.labels(service.service).observe(time.perf_counter() - began)

    def _read(self, request: _Request, answer: Answer) -> FetchResult:
        """What the answer to a request for one ref says of it."""
        if answer.status == 200:
            try:
                result = self._found(request, resource_in(answer.body, request.type.fetch.key), answer)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                expected = f"expected the resource as JSON, got {len(answer.body)} bytes: {error}"
                return self._failed(request, expected, "unreadable", answer)
            self._answered(request.ref)
            return result
        if answer.status in (404, 410):
            self._answered(request.ref)
            return FetchResult(request.ref, FetchOutcome.ABSENT, request.began_at, request.fetched_at,
                               request_id=answer.request_id)
        return self._failed(request, f"HTTP {answer.status}", f"http_{answer.status}", answer)

    def _found(self, request: _Request, resource: Resource, answer: Answer) -> FetchResult:
        """The result for a resource that was in the answer; raises what a snapshot can't be made of."""
        shown = snapshot(request.type, resource, fetched_at=request.fetched_at, request_id=answer.request_id)
        payload = request.type.payload
        order = order_of(resource, payload.order) if payload is not None else None
        return FetchResult(request.ref, FetchOutcome.FOUND, request.began_at, request.fetched_at, shown, order,
                           request_id=answer.request_id)

    def _failed(self, request: _Request, error: str, reason: str, answer: Answer | None = None) -> FetchResult:
        """Tell the gate of a request that says nothing of its resource."""
        ref, service = request.ref, request.service.service
        metrics.FETCH_ERRORS.labels(service, reason).inc()
        retry_after = answer.retry_after if answer is not None else None
        status = answer.status if answer is not None else None
        if status == 429 and retry_after is None:
            retry_after = THROTTLED_PAUSE
        if self._gate is not None:
            now, lane = self._clock.monotonic(), self.lane_of(ref)
            says = ServiceVerdict.FAILS if status in (None, 200) else verdict(status)  # 200: but not what was asked for
            if says is ServiceVerdict.THROTTLES:
                self._gate.throttled(lane, now, retry_after or 0.0)
            elif says is ServiceVerdict.ANSWERS:
                self._gate.answered(lane, now)
            else:
                self._gate.failed(lane, ref, now, retry_after=retry_after, error=error)
        return FetchResult(ref, FetchOutcome.FAILED, request.began_at, request.fetched_at, retry_after=retry_after,
                           reason=reason, error=f"{service} in {ref.region}: {error}",
                           request_id=answer.request_id if answer is not None else None)

    def _answered(self, ref: Ref) -> None:
        if self._gate is not None:
            self._gate.answered(self.lane_of(ref), self._clock.monotonic())

"""One look at one ref: the request that the catalogue describes, and what its answer means.

Promises: never raises for what a cloud does; a failure of the network, of Keystone or of a service, or an answer
that can't be read, is a ``FAILED`` fetch.  Tells the gate what the service answered.  Waits for nothing but the
request itself: budget, breaker and the share of the threads were asked before (the work queue does it).

Any thread may call; each call holds its thread for at most the connect and the answer time-out.
"""
from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import time
from collections.abc import Sequence
from typing import Any, Protocol
from urllib.parse import quote, urlencode

import msgspec

from obsvc import metrics
from obsvc.catalog.payloads import order_of
from obsvc.catalog.schema import ResourceType, Service
from obsvc.catalog.snapshots import snapshot
from obsvc.cloud.sessions import Answer, RequestFailed
from obsvc.cloud.verdicts import ServiceVerdict, verdict
from obsvc.exceptions import NotFound
from obsvc.model import Ref
from obsvc.observer.fetching.gate import ServiceGate, lanes_of
from obsvc.observer.fetching.result import FetchOutcome, FetchResult
from obsvc.process.clock import Clock, SystemClock

#: Seconds for which a service is left alone that says 429 without saying for how long.
THROTTLED_PAUSE = 5.0

#: Most refs that one request asks for: at 36 characters an id about 2,000 of URL, below what servers refuse (8,190 in
#: Apache), and below the page size of a list (neutron's ``pagination_max_limit``, mostly 1,000).
TOGETHER_MAX = 50

#: JSON escapes of NUL and of surrogates: one report of such a text would hold up all that follow it.
_STRANGE = re.compile(rb"\\u(0000|[dD][89a-fA-F])")


class Sessions(Protocol):
    """What the fetcher needs of :class:`obsvc.cloud.sessions.CloudSessions`."""

    def get(self, region: str, service_type: str, path: str, *, aliases: Any = (), version_prefix: str = "",
            microversion: str | None = None, headers: Any = None) -> Answer: ...


class Fetcher:
    """catalog: of :func:`obsvc.catalog.load`.  gate: told of each answer; None: nobody is."""

    def __init__(self, catalog: Any, sessions: Sessions, *, gate: ServiceGate | None = None,
                 clock: Clock | None = None) -> None:
        self._catalog = catalog
        self._sessions = sessions
        self._gate = gate
        self._clock = clock or SystemClock()
        self.lane_of = lanes_of(catalog)

    def fetch(self, ref: Ref) -> FetchResult:
        """Ask the service for ``ref``, once."""
        began_at, fetched_at = self._clock.monotonic(), self._clock.time()
        resource_type = self._catalog.types.get(ref.resource_type)
        if resource_type is None:
            return FetchResult(ref, FetchOutcome.UNSUPPORTED, began_at, fetched_at, reason="type",
                           error=f"the catalogue does not know how {ref.resource_type} is fetched")
        service: Service = self._catalog.service_of(ref.resource_type)
        fetch = resource_type.fetch
        began = time.perf_counter()
        try:
            with metrics.FETCHES_IN_FLIGHT.track_inprogress():
                answer = self._sessions.get(
                    ref.region, service.service_type, fetch.path.replace("{id}", quote(ref.resource_id, safe="")),
                    aliases=service.aliases, version_prefix=fetch.version_prefix, microversion=fetch.microversion,
                    headers=fetch.headers or None,
                )
        except RequestFailed as error:
            return self._failed(ref, service, began_at, fetched_at, error.message, error.reason)
        except NotFound as error:
            return self._failed(ref, service, began_at, fetched_at, error.message, "no_endpoint")
        finally:
            metrics.FETCH_SECONDS.labels(service.service).observe(time.perf_counter() - began)
        return self._read(ref, service, resource_type, answer, began_at, fetched_at)

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
        began_at, fetched_at = self._clock.monotonic(), self._clock.time()
        first = refs[0]
        resource_type: ResourceType = self._catalog.types[first.resource_type]
        service: Service = self._catalog.service_of(first.resource_type)
        fetch, listing = resource_type.fetch, resource_type.listing
        assert listing is not None and listing.ids is not None
        query = urlencode([*listing.params.items(), *((listing.ids, ref.resource_id) for ref in refs)])
        began = time.perf_counter()
        try:
            with metrics.FETCHES_IN_FLIGHT.track_inprogress():
                answer = self._sessions.get(
                    first.region, service.service_type, f"{listing.path}?{query}", aliases=service.aliases,
                    version_prefix=fetch.version_prefix, microversion=listing.microversion or fetch.microversion,
                    headers=fetch.headers or None,
                )
            answers = verdict(answer.status) is ServiceVerdict.ANSWERS
            trouble = None if answers else f"http_{answer.status}"
            failed = self._failed(first, service, began_at, fetched_at, f"HTTP {answer.status}", trouble, answer
                                  ) if trouble else None
        except RequestFailed as error:
            failed = self._failed(first, service, began_at, fetched_at, error.message, error.reason)
        except NotFound as error:
            failed = self._failed(first, service, began_at, fetched_at, error.message, "no_endpoint")
        finally:
            metrics.FETCH_SECONDS.labels(service.service).observe(time.perf_counter() - began)
        metrics.LIST_FETCHES.labels(service.service).inc()
        if failed is not None:
            return {ref: dataclasses.replace(failed, ref=ref) for ref in refs}
        self._answered(first)
        listed = _by_id(answer.body, listing.key) if answer.status == 200 else {}
        found = {}
        for ref in refs:
            with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
                body = listed[ref.resource_id]
                seen = snapshot(resource_type, body, fetched_at=fetched_at, request_id=answer.request_id)
                found[ref] = FetchResult(ref, FetchOutcome.FOUND, began_at, fetched_at, seen,
                                         _order(resource_type, body), request_id=answer.request_id)
        return found

    def _read(self, ref: Ref, service: Service, resource_type: ResourceType, answer: Answer, began_at: float,
              fetched_at: float) -> FetchResult:
        if answer.status == 200:
            try:
                body = _resource(answer.body, resource_type.fetch.key)
                seen = snapshot(resource_type, body, fetched_at=fetched_at, request_id=answer.request_id)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                return self._failed(ref, service, began_at, fetched_at,
                                    f"expected the resource as JSON, got {len(answer.body)} bytes: {error}",
                                    "unreadable", answer)
            self._answered(ref)
            return FetchResult(ref, FetchOutcome.FOUND, began_at, fetched_at, seen, _order(resource_type, body),
                           request_id=answer.request_id)
        if answer.status in (404, 410):
            self._answered(ref)
            return FetchResult(ref, FetchOutcome.ABSENT, began_at, fetched_at, request_id=answer.request_id)
        return self._failed(ref, service, began_at, fetched_at, f"HTTP {answer.status}", f"http_{answer.status}",
                            answer)

    def _failed(self, ref: Ref, service: Service, began_at: float, fetched_at: float, error: str, reason: str,
                answer: Answer | None = None) -> FetchResult:
        metrics.FETCH_ERRORS.labels(service.service, reason).inc()
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
        return FetchResult(ref, FetchOutcome.FAILED, began_at, fetched_at, retry_after=retry_after, reason=reason,
                       error=f"{service.service} in {ref.region}: {error}",
                       request_id=answer.request_id if answer is not None else None)

    def _answered(self, ref: Ref) -> None:
        if self._gate is not None:
            self._gate.answered(self.lane_of(ref), self._clock.monotonic())


def _order(resource_type: ResourceType, body: dict[str, Any]) -> float | None:
    return order_of(body, resource_type.payload.order) if resource_type.payload is not None else None


def _resource(body: bytes, key: str | None) -> dict[str, Any]:
    """The resource in an answer's body; raises ValueError, KeyError or TypeError when it is not there."""
    document = read_document(body)
    resource = document[key] if key is not None else document
    if not isinstance(resource, dict):
        raise TypeError(f"expected an object, got {type(resource).__name__}")
    return resource


def _by_id(body: bytes, key: str) -> dict[str, dict[str, Any]]:
    """The resources in a list's body; none where it can't be read."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return {each["id"]: each for each in read_document(body)[key]}
    return {}


def read_document(body: bytes) -> Any:
    """A service's answer as values that every database and JSON in UTF-8 hold; raises ValueError."""
    try:
        document = msgspec.json.decode(body)
    except msgspec.DecodeError:
        document = json.loads(body)  # takes what services of old write: NaN, lone surrogates
    return _storable(document) if _STRANGE.search(body) else document


def _storable(value: Any) -> Any:
    """``value`` with U+FFFD for what no database and no JSON in UTF-8 holds: NUL and lone surrogates."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace").replace("\0", "\ufffd")
    if isinstance(value, dict):
        return {_storable(name): _storable(each) for name, each in value.items()}
    return [_storable(each) for each in value] if isinstance(value, list) else value

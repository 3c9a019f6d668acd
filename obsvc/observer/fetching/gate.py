"""Which service may be asked now: budget, breaker and fair share of the threads, for each (region, service).

The work queue asks it before it hands out a look (:class:`obsvc.observer.queue.lanes.Gate`), so that no thread ever
waits for a service that is slow, shut or over its budget: its looks wait in the queue, and the thread makes another
service's.  The fetcher tells it what the service answered.

Thread-safe; no method blocks.
"""
from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from oslo_config import cfg

from obsvc import metrics
from obsvc.catalog import Catalog
from obsvc.model import Ref
from obsvc.observer.fetching.breaker import Breaker, BreakerState
from obsvc.process.token_bucket import TokenBucket

LOG = logging.getLogger(__name__)

#: Longest that a service's ``Retry-After`` is followed without asking again, seconds.
RETRY_AFTER_MAX = 300.0

#: Seconds' worth of requests that may be made at once after quiet.
BURST_SECONDS = 1.0

#: (region, service name): what shares one fate.
ServiceLane = tuple[str, str]


@dataclass(frozen=True)
class GateSettings:
    """threads: fetches under way at once, ``[observer] fetch_threads``; the others as in ``[cloud]``.

    requests_per_second: of the whole cluster for one lane (:meth:`ServiceGate.share`).
    """

    threads: int = 32
    requests_per_second: float = 150.0
    breaker_failures: int = 5
    breaker_pause: float = 5.0
    breaker_pause_max: float = 60.0

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> GateSettings:
        """Read ``[observer]`` and ``[cloud]``."""
        cloud = conf.cloud
        return cls(conf.observer.fetch_threads, cloud.requests_per_second, cloud.breaker_failures,
                   cloud.breaker_pause, cloud.breaker_pause_max)


class _Service:
    """One lane: its budget, its breaker, how many requests are under way, and until when it asked to be left alone."""

    def __init__(self, settings: GateSettings, rate: float, now: float) -> None:
        self.budget = TokenBucket(rate, rate * BURST_SECONDS, now)
        self.breaker = Breaker(settings.breaker_failures, settings.breaker_pause, settings.breaker_pause_max)
        self.inside = 0
        self.quiet_until = now


class ServiceGate:
    """See the module.  A lane is ``(region, service name)``."""

    def __init__(self, settings: GateSettings) -> None:
        self._settings = settings
        #: Called with a lane whose breaker has closed; under no lock.  Set once, before the first look.
        self.on_back: Callable[[ServiceLane], None] | None = None
        self._lock = threading.Lock()
        self._services: dict[ServiceLane, _Service] = {}
        self._inside = 0
        self._sharers = 1

    @property
    def rate(self) -> float:
        """Requests a second that this member may make in one lane."""
        return self._settings.requests_per_second / self._sharers

    def share(self, members: int, now: float) -> None:
        """``members`` members, this one among them, share each lane's limit from now on, in equal parts.

        Members learn of a change at different moments, so for about a beat the sum may differ from the limit.
        """
        with self._lock:
            if members == self._sharers or members < 1:
                return
            self._sharers = members
            for service in self._services.values():
                service.budget.change_rate(self.rate, self.rate * BURST_SECONDS, now)
        LOG.info("%d members share each service's budget: %.1f requests a second are ours", members, self.rate)

    def enter(self, lane: ServiceLane, now: float) -> float:
        """0.0: go, and :meth:`leave` must follow.  Else seconds until it is worth asking again."""
        with self._lock:
            service = self._service(lane, now)
            wait = max(service.quiet_until - now, service.breaker.wait(now))
            if wait > 0:
                return wait
            if service.inside and service.inside >= self._settings.threads - self._inside:
                return float("inf")  # no more than are free: one service takes half, two take a third each …
            wait = service.budget.wait(now)
            if wait > 0:
                return wait
            service.budget.take(now)
            service.breaker.begun(now)
            service.inside += 1
            self._inside += 1
            return 0.0

    def leave(self, lane: ServiceLane, now: float) -> None:
        """What entered has ended; called after :meth:`answered` or :meth:`failed` if there was a request."""
        with self._lock:
            service = self._service(lane, now)
            service.inside -= 1
            self._inside -= 1
            if not service.inside:
                service.breaker.ended()

    def shut(self, lane: ServiceLane, now: float) -> bool:
        """Whether the lane is closed: by its breaker, or because the service asked for it."""
        with self._lock:
            service = self._services.get(lane)
            if service is None:
                return False
            return service.quiet_until > now or service.breaker.state(now) is not BreakerState.CLOSED

    def answered(self, lane: ServiceLane, now: float) -> None:
        """The service gave an answer (a 404 is one)."""
        with self._lock:
            closed = self._service(lane, now).breaker.succeeded()
        if closed:
            metrics.BREAKER_OPEN.labels(*lane).set(0)
            LOG.info("%s in %s answers again", lane[1], lane[0])
            if self.on_back is not None:
                self.on_back(lane)

    def throttled(self, lane: ServiceLane, now: float, retry_after: float) -> None:
        """The service said 429: it is left alone for ``retry_after`` seconds."""
        with self._lock:
            service = self._service(lane, now)
            service.quiet_until = max(service.quiet_until, now + min(retry_after, RETRY_AFTER_MAX))

    def failed(self, lane: ServiceLane, ref: Ref, now: float, *, retry_after: float | None = None,
               error: str | None = None) -> None:
        """The service gave no usable answer for ``ref``."""
        with self._lock:
            pause = self._service(lane, now).breaker.failed(ref, now, at_least=retry_after or 0.0)
        if pause is not None:
            metrics.BREAKER_OPEN.labels(*lane).set(1)
            LOG.warning("%s in %s is left alone for %.0f s: it fails for every resource, lastly %s: %s",
                        lane[1], lane[0], pause, ref, error)

    def open_breakers(self, now: float) -> tuple[str, ...]:
        """``region/service`` of every service that is left alone, sorted: for the member's beat."""
        with self._lock:
            return tuple(sorted(f"{region}/{name}" for (region, name), service in self._services.items()
                                if service.breaker.state(now) is not BreakerState.CLOSED))

    def _service(self, lane: ServiceLane, now: float) -> _Service:
        service = self._services.get(lane)
        if service is None:
            service = self._services[lane] = _Service(self._settings, self.rate, now)
        return service


def lanes_of(catalog: Catalog) -> Callable[[Ref], ServiceLane]:
    """The lane of a ref: ``(region, service name)``; its type's own where the catalogue does not know the type."""
    services = {name: catalog.service_of(name).service for name in catalog.types}

    def lane_of(ref: Ref) -> ServiceLane:
        return ref.region, services.get(ref.resource_type, ref.resource_type)

    return lane_of

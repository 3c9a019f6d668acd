"""Limits of the API for one project and for all together: requests per second, and requests that wait at once.

Each API process counts separately.  Callers are distinguished by project, or by user where they have none; admin and
service are subject only to the limit for all.  A caller above its limit is answered 429 with ``Retry-After``, and
nothing is done for it; when more requests wait than there are threads to hold them, the answer is 503.  Paths without
identity (``/healthz`` among them) are never counted.
"""
from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

import falcon

from obsvc.api.caller import Caller
from obsvc.exceptions import TooManyRequests, Unavailable
from obsvc.process.clock import Clock, SystemClock
from obsvc.process.token_bucket import TokenBucket

#: Query parameters by which a request says that it waits.
WAITING = ("wait", "timeout")

#: Path endings of requests that wait by default.
WAITING_PATHS = ("/wait", "/watch")

#: Upper bound of callers remembered; above it, those whose bucket is full again are dropped.
REMEMBERED = 10_000


class Allowance:
    """Requests a second by key, as a token bucket each (``burst`` at once, refilled at ``rate``).  Any thread."""

    def __init__(self, rate: float, burst: int, *, clock: Clock | None = None) -> None:
        self._rate, self._burst = rate, burst
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._buckets: dict[str, TokenBucket] = {}

    def take(self, key: str) -> float:
        """0.0 when one more request is allowed now; else the seconds until one is."""
        with self._lock:
            now = self._clock.monotonic()
            bucket = self._buckets.get(key)
            if bucket is None:
                if len(self._buckets) >= REMEMBERED:
                    self._buckets = {known: spent for known, spent in self._buckets.items() if not spent.full(now)}
                bucket = self._buckets[key] = TokenBucket(self._rate, self._burst, now)
            missing = bucket.wait(now)
            if missing <= 0:
                bucket.take(now)
            return missing


class Limits:
    """falcon middleware, behind the one that finds out who asks.

    max_waiters: waits at once of this process; waiters_per_project: of one project, 0: half of them.  rate: requests a
    second of one project, 0: not limited; burst: of those at once.
    """

    def __init__(
        self, *, max_waiters: int = 1000, waiters_per_project: int = 0, rate: float = 0.0, burst: int = 1,
        clock: Clock | None = None,
    ) -> None:
        self._max = max_waiters
        self._per_project = waiters_per_project or max(1, max_waiters // 2)
        self._allowance = Allowance(rate, burst, clock=clock) if rate > 0 else None
        self._lock = threading.Lock()
        self._waiting: Counter[str] = Counter()

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller: Caller | None = getattr(req.context, "caller", None)
        if caller is None:
            return
        if caller.privileged:  # operators and other services: together with all, not each by itself
            if waits(req):
                self._enter(req, "", self._max)
            return
        key = f"project {caller.project_id}" if caller.project_id else f"user {caller.user_id}"
        if self._allowance is not None and (missing := self._allowance.take(key)) > 0:
            raise TooManyRequests("expected fewer requests a second of this project, got more: slow down, or wait by "
                                  "long poll in place of asking again", retry_after=math.ceil(missing))
        if waits(req):
            self._enter(req, key, self._per_project)

    def _enter(self, req: falcon.Request, key: str, most: int) -> None:
        with self._lock:
            if self._waiting.total() >= self._max:
                raise Unavailable(f"expected at most {self._max} requests that wait at this API process, got one more: "
                                  "send it again, to another one if there is")
            if self._waiting[key] >= most:
                raise TooManyRequests(f"expected at most {most} requests of this project that wait at "
                                      "once, got one more: follow /v1/changes by one wait in place of many")
            self._waiting[key] += 1
            req.context.waiting = key

    def process_response(self, req: falcon.Request, resp: falcon.Response, resource: object, succeeded: bool) -> None:
        key = getattr(req.context, "waiting", None)
        if key is None:
            return
        if isinstance(resp.stream, Closable):  # the response has only begun
            resp.stream = Ending(resp.stream, lambda: self._leave(key))
        else:
            self._leave(key)

    def _leave(self, key: str) -> None:
        with self._lock:
            self._waiting[key] -= 1
            if not self._waiting[key]:
                del self._waiting[key]


@runtime_checkable
class Closable(Protocol):
    """The body of an answer that must be closed."""

    def __iter__(self) -> Iterator[bytes]: ...

    def close(self) -> None: ...


class Ending:
    """A stream that calls ``ended`` once the WSGI server is done with it."""

    def __init__(self, stream: Closable, ended: Callable[[], None]) -> None:
        self._stream, self._ended = stream, ended

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._stream)

    def close(self) -> None:
        ended, self._ended = self._ended, lambda: None
        try:
            self._stream.close()
        finally:
            ended()


def waits(req: falcon.Request) -> bool:
    """Whether a request waits: because a parameter asks for it (``wait=0`` does not), or by default."""
    asked = [req.params[name] for name in WAITING if name in req.params]
    return req.method == "GET" and (asked or ["60" if req.path.endswith(WAITING_PATHS) else "0"]) != ["0"]

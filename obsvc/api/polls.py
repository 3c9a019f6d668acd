"""How many threads of the API may hold long polls: some stay free for ``/healthz`` and for what waits for nothing."""
from __future__ import annotations

import threading

import falcon

#: Seconds that a long poll lasts when there are as many as allowed.
CROWDED_WAIT = 0.25

#: Query parameters by which a request says that it waits.
WAITING = ("wait", "timeout")


class LongPolls:
    """falcon middleware: counts the requests that wait; ``req.context.longest_wait`` caps those above ``limit``."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._count = 0

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        if req.method != "GET" or not any(name in req.params for name in WAITING):
            return
        with self._lock:
            self._count += 1
            crowded = self._count > self._limit
        req.context.waits = True
        if crowded:
            req.context.longest_wait = CROWDED_WAIT

    def process_response(self, req: falcon.Request, resp: falcon.Response, resource: object, succeeded: bool) -> None:
        if getattr(req.context, "waits", False):
            with self._lock:
                self._count -= 1

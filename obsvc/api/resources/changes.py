"""``/v1/changes``: the changes feed by long poll; ``/v1/watch``: as Server-Sent Events."""
from __future__ import annotations

from contextlib import nullcontext

import falcon

from obsvc.api.access.policy import Caller
from obsvc.api.context import Api
from obsvc.api.render import answer_raw
from obsvc.api.schemas.requests import WHOLE_MAX, Query
from obsvc.api.streaming import sse
from obsvc.api.streaming.feed import Filter, Page
from obsvc.exceptions import InvalidInput
from obsvc.web import request_ids

#: Seconds between two heartbeats: by default, at least and at most.
BEAT, BEAT_MIN, BEAT_MAX = 15.0, 1.0, 60.0


def asked(caller: Caller, query: Query) -> Filter:
    """What the query wants of the feed."""
    return Filter(caller, resource_type=query.text("resource_type"), resource_id=query.text("resource_id"),
                  region=query.text("region"), stack_id=query.text("stack_id"), project_id=query.text("project_id"),
                  label=query.label())


class Changes:
    def __init__(self, api: Api) -> None:
        self._api = api

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Deltas after ``since``, oldest first; pass ``next`` as the next ``since``."""
        caller = self._api.allow(req, "changes:read")
        query = Query(req, "since", "wait", "limit", "resource_type", "resource_id", "region", "stack_id", "project_id",
                      "label")
        wanted, limit = asked(caller, query), query.limit(500)
        wait = query.seconds("wait", 0.0, self._api.max_wait)
        clock = self._api.clock
        end = clock.monotonic() + wait
        page = Page([], query.integer("since", 0))
        with self._api.feed.signal() if wait else nullcontext() as signal:
            while True:
                page = self._api.feed.page(wanted, page.next, limit)
                left = end - clock.monotonic()
                if page.entries or signal is None or left <= 0:
                    break
                signal.wait(left)
        answer_raw(resp, b'{"changes":[%s],"next":%d}' % (b",".join(each.data for each in page.entries), page.next))


class Watch:
    def __init__(self, api: Api) -> None:
        self._api = api

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Deltas after ``since`` (by default from now on) as Server-Sent Events, until ``timeout`` seconds are over.

        Events: ``change``, its data a delta; ``heartbeat``, its data ``{"next": …}``; ``error``, its data as of any
        error.  The id of each is the version to come back with, as ``Last-Event-ID`` or ``since``.
        """
        caller = self._api.allow(req, "changes:read")
        query = Query(req, "since", "timeout", "heartbeat", "resource_type", "resource_id", "region", "stack_id",
                      "project_id", "label")
        wanted = asked(caller, query)
        lasts = query.seconds("timeout", self._api.max_watch, self._api.max_watch)
        beat = max(BEAT_MIN, query.seconds("heartbeat", BEAT, BEAT_MAX))
        since = query.integer("since", 0) if query.text("since") is not None else None
        if (last := last_event_id(req)) is not None:
            since = last
        feed = self._api.feed
        first = Page([], feed.newest()) if since is None else feed.page(wanted, since, sse.PIECE)
        resp.content_type = sse.MEDIA
        resp.set_header("Cache-Control", "no-store")
        resp.set_header("X-Accel-Buffering", "no")  # nginx would keep events back
        resp.stream = sse.Stream(feed, wanted, first, beat=beat, lasts=lasts, clock=self._api.clock,
                                 request_id=request_ids.begin(req.env))


def last_event_id(req: falcon.Request) -> int | None:
    """The version that a client names which comes back by itself; None where it names none."""
    text = req.get_header("Last-Event-ID")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= WHOLE_MAX):
        raise InvalidInput(f"header Last-Event-ID: expected a version, got {text[:40]!r}")
    return int(text)

"""``/v1/changes``: the changes feed by long poll; ``/v1/watch``: as Server-Sent Events."""
from __future__ import annotations

from contextlib import nullcontext

import falcon

from obsvc.api.caller import Caller
from obsvc.api.context import Api
from obsvc.api.render import answer_raw
from obsvc.api.schemas.queries import INTEGER_MAX, ChangesQuery, WatchQuery
from obsvc.api.streaming import sse
from obsvc.api.streaming.feed import Filter, Page
from obsvc.exceptions import InvalidInput
from obsvc.web import request_ids

#: Seconds between two heartbeats: default, minimum and maximum.
HEARTBEAT, HEARTBEAT_MIN, HEARTBEAT_MAX = 15.0, 1.0, 60.0


def feed_filter(caller: Caller, query: ChangesQuery | WatchQuery) -> Filter:
    """Which changes of the feed the query asks for."""
    return Filter(caller, resource_type=query.resource_type, resource_id=query.resource_id, region=query.region,
                  stack_id=query.stack_id, project_id=query.project_id, label=query.label)


class Changes:
    def __init__(self, api: Api) -> None:
        self._api = api

    def on_get(self, req: falcon.Request, resp: falcon.Response, caller: Caller, query: ChangesQuery) -> None:
        """Deltas after ``since``, oldest first; pass ``next`` as the next ``since``."""
        wanted, wait, clock = feed_filter(caller, query), self._api.bounded_wait(query.wait), self._api.clock
        end = clock.monotonic() + wait
        page = Page([], query.since)
        with self._api.feed.signal() if wait else nullcontext() as signal:
            while True:
                page = self._api.feed.page(wanted, page.next, query.limit)
                left = end - clock.monotonic()
                if page.entries or signal is None or left <= 0:
                    break
                signal.wait(left)
        answer_raw(resp, b'{"changes":[%s],"next":%d}' % (b",".join(entry.data for entry in page.entries), page.next))


class Watch:
    def __init__(self, api: Api) -> None:
        self._api = api

    def on_get(self, req: falcon.Request, resp: falcon.Response, caller: Caller, query: WatchQuery) -> None:
        """Deltas after ``since`` (by default from now on) as Server-Sent Events, until ``timeout`` seconds are over.

        Events: ``change``, its data a delta; ``heartbeat``, its data ``{"next": …}``; ``error``, its data as of any
        error.  The id of each is the version to come back with, as ``Last-Event-ID`` or ``since``.
        """
        wanted = feed_filter(caller, query)
        longest = self._api.max_watch
        lasts = longest if query.timeout is None else min(query.timeout, longest)
        heartbeat = HEARTBEAT if query.heartbeat is None else min(max(HEARTBEAT_MIN, query.heartbeat), HEARTBEAT_MAX)
        last = last_event_id(req)
        since = query.since if last is None else last
        feed = self._api.feed
        first = Page([], feed.newest()) if since is None else feed.page(wanted, since, sse.PIECE)
        resp.content_type = sse.MEDIA
        resp.set_header("Cache-Control", "no-store")
        resp.set_header("X-Accel-Buffering", "no")  # or nginx buffers events
        resp.stream = sse.Stream(feed, wanted, first, heartbeat=heartbeat, lasts=lasts, clock=self._api.clock,
                                 request_id=request_ids.begin(req.env))


def last_event_id(req: falcon.Request) -> int | None:
    """The version that a reconnecting client names; None where it names none."""
    text = req.get_header("Last-Event-ID")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= INTEGER_MAX):
        raise InvalidInput(f"header Last-Event-ID: expected a version, got {text[:40]!r}")
    return int(text)

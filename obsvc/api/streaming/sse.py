"""The changes feed as Server-Sent Events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

A stream holds its request's thread.  Events: ``change`` (data: a delta as JSON, id: its version), ``heartbeat`` (data:
``{"next": …}``, id: the version up to which everything was sent), ``error`` (data: an error body; the stream ends).
A client that returns with the last id, as ``Last-Event-ID`` or ``since``, continues where the stream ended.
"""
from __future__ import annotations

from collections.abc import Generator, Iterator

import msgspec

from obsvc import api_types as types
from obsvc.api.streaming.feed import Feed, Filter, Page, Signal
from obsvc.exceptions import ObsvcError, Unavailable
from obsvc.process.clock import Clock
from obsvc.web import request_ids
from obsvc.web.errors import error_body
from obsvc.web.openapi import ErrorReply

MEDIA = "text/event-stream"

#: What comes, by name, with the type of its data.
EVENTS = (("change", types.Delta), ("heartbeat", types.Position), ("error", ErrorReply))

#: Changes sent in one piece, before other streams get a chance.
PIECE = 500


def event(name: str, data: bytes, version: int | None = None) -> bytes:
    """One event; ``data`` has no line break."""
    head = b"" if version is None else b"id: %d\n" % version
    return b"%sevent: %s\ndata: %s\n\n" % (head, name.encode(), data)


def heartbeat(version: int) -> bytes:
    return event("heartbeat", msgspec.json.encode({"next": version}), version)


class Stream:
    """The body of one watch, for the WSGI server to iterate over once, and to close.

    first: what it begins with.  heartbeat: longest seconds between two heartbeats while nothing else is sent.  lasts:
    seconds until it ends; the caller comes back and authenticates again.
    """

    def __init__(
        self, feed: Feed, asked: Filter, first: Page, *, heartbeat: float, lasts: float, clock: Clock, request_id: str
    ) -> None:
        self._feed, self._asked, self._first = feed, asked, first
        self._heartbeat, self._clock, self._request_id = heartbeat, clock, request_id
        self._end = clock.monotonic() + lasts
        self._events = self._until_the_end()

    def __iter__(self) -> Iterator[bytes]:
        return self._events

    def close(self) -> None:
        self._events.close()

    def _until_the_end(self) -> Generator[bytes, None, None]:
        with request_ids.bound(self._request_id):
            try:
                with self._feed.signal() as signal:
                    yield from self._pieces(signal)
            except Unavailable as error:
                if not self._feed.stopped:  # else this process is stopping, and the caller comes back to another one
                    yield event("error", msgspec.json.encode(error_body(error)))
            except ObsvcError as error:
                yield event("error", msgspec.json.encode(error_body(error)))

    def _pieces(self, signal: Signal) -> Generator[bytes, None, None]:
        page, sent = self._first, -1
        beat_at = self._clock.monotonic()
        while True:
            now = self._clock.monotonic()
            over = now >= self._end
            if page.entries:
                yield b"".join(event("change", entry.data, entry.delta.version) for entry in page.entries)
                sent, beat_at = page.entries[-1].delta.version, now + self._heartbeat
            if now >= beat_at or (over and page.next > sent):
                yield heartbeat(page.next)
                sent, beat_at = page.next, now + self._heartbeat
            if over:
                return
            if len(page.entries) < PIECE:
                signal.wait(max(0.0, min(beat_at, self._end) - now))
            page = self._feed.page(self._asked, page.next, PIECE)

"""Following the changes feed: ``for change in client.watch(since=…)``.

Each change comes once, in order of its version, whatever happens to the connection, the API or the engine: a lost
stream is opened again after the last version that came.  Where that version is no longer kept (410), the newest state
of each resource that changed since then comes in place of its changes, with ``cause`` ``listed``, also in order of
version; nothing comes then for what nobody observes any more.

A Watch belongs to one thread; ``close`` may be called from any.
"""
from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol, TypeVar

import msgspec

from obsvc import api_types as types
from obsvc.exceptions import FeedTruncated, ObsvcError, TooManyRequests, Unavailable, by_code
from obsvc.process.backoff import Backoff

LOG = logging.getLogger(__name__)

#: Seconds before a lost stream is opened again: the first time, and the maximum.
PAUSE_INITIAL, PAUSE_MAX = 0.1, 5.0
_BACKOFF = Backoff(PAUSE_INITIAL, PAUSE_MAX)

#: ``cause`` of what a listing gave in place of the feed.
LISTED = "listed"

T = TypeVar("T")

_CHANGE = msgspec.json.Decoder(types.Delta)
_HEARTBEAT = msgspec.json.Decoder(types.Position)


class Event(NamedTuple):
    """One server-sent event."""

    name: str
    data: bytes


class Source(Protocol):
    """One stream's bytes, in pieces as they come; ``close`` ends it, from any thread."""

    def __iter__(self) -> Iterator[bytes]: ...

    def close(self) -> None: ...


def events(pieces: Iterable[bytes]) -> Iterator[Event]:
    """The events within a stream's bytes (WHATWG HTML, 9.2.6); one that the stream's end cuts off is dropped.

    Lines end by LF alone, as our API writes them; comments and fields of other names are passed over.
    """
    rest, name = b"", "message"
    data: list[bytes] = []
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if not line:
                if data:
                    yield Event(name, b"\n".join(data))
                name, data = "message", []
                continue
            key, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if key == b"event":
                name = value.decode()
            elif key == b"data":
                data.append(value)


class Watch:
    """The changes after ``since``; None: from now on.

    connect: begins a stream after a version.  listing: what has changed after a version, as it is now.
    patience: seconds without a stream until Unavailable is raised; None: never.
    position: the version up to which everything has come.  Store a change's ``version`` once it is dealt with, and pass
    it as ``since`` to go on after it.
    """

    def __init__(
        self, connect: Callable[[int | None], Source], listing: Callable[[int | None], types.Listing],
        since: int | None, *, patience: float | None = None, sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.position = since
        self._connect, self._listing = connect, listing
        self._patience, self._sleep = patience, sleep
        self._source: Source | None = None
        self._closed = False
        self._failures = 0
        self._heard_at = time.monotonic()

    def close(self) -> None:
        """End the iteration."""
        self._closed = True
        source = self._source
        if source is not None:
            source.close()

    def __iter__(self) -> Iterator[types.Delta]:
        self._heard_at = time.monotonic()
        while not self._closed:
            try:
                yield from self._stream()
                self._sleep(random.uniform(0, PAUSE_INITIAL))  # ended on time; clients do not all return at once
            except FeedTruncated as error:
                LOG.warning("changes after version %s are no longer kept, what there is is listed: %s",
                            self.position, error.message)
                yield from self._listed()
            except (Unavailable, TooManyRequests) as error:
                self._lost(error)

    def _stream(self) -> Iterator[types.Delta]:
        self._source = source = self._connect(self.position)
        try:
            for event in () if self._closed else events(source):
                self._heard_at, self._failures = time.monotonic(), 0
                if event.name == "change":
                    delta = _read(event, _CHANGE)
                    if self.position is None or delta.version > self.position:
                        self.position = delta.version
                        yield delta
                elif event.name == "heartbeat":
                    self.position = _read(event, _HEARTBEAT).next
                elif event.name == "error":
                    raise error_of(event.data)
        finally:
            self._source = None
            source.close()

    def _listed(self) -> Iterator[types.Delta]:
        try:
            listing = self._listing(self.position)
            if self.position is not None and listing.version < self.position:  # a new feed, without our version
                listing = self._listing(None)
        except (Unavailable, TooManyRequests) as error:
            self._lost(error)
            return
        for resource in sorted(listing.resources, key=lambda resource: resource.version):
            if resource.version:
                yield as_delta(resource)
        self.position = listing.version

    def _lost(self, error: ObsvcError) -> None:
        if self._closed:
            return
        if self._patience is not None and time.monotonic() - self._heard_at > self._patience:
            raise error
        LOG.info("the watch is interrupted and goes on after version %s: %s", self.position, error.message)
        wait = getattr(error, "retry_after", 0) if isinstance(error, TooManyRequests) else 0
        self._failures += 1
        self._sleep(wait + _BACKOFF.delay(self._failures))


def _read(event: Event, decoder: msgspec.json.Decoder[T]) -> T:
    try:
        return decoder.decode(event.data)
    except msgspec.MsgspecError as error:
        raise ObsvcError(f"expected a {event.name} of the obsvc API, got another ({error}): check the URL") from error


def as_delta(resource: types.Resource) -> types.Delta:
    """The newest change of a resource, as far as its copy shows it."""
    snapshot = resource.snapshot
    return types.Delta(
        version=resource.version, at=resource.reported_at or 0.0, region=resource.region,
        resource_type=resource.resource_type, resource_id=resource.resource_id, condition=resource.condition,
        before_condition="unknown", standing="none", status=snapshot.status if snapshot else None,
        settled=snapshot.settled if snapshot else True, project_id=snapshot.project_id if snapshot else None,
        member=resource.reported_by, generation=resource.generation, cause=LISTED,
        fetched_at=snapshot.fetched_at if snapshot else None,
    )


def error_of(data: bytes) -> ObsvcError:
    """The error that an error body stands for."""
    body = msgspec.json.decode(data)["error"]
    return by_code(str(body["code"]))(str(body["message"]), code=str(body["code"]))

"""The changes feed as the waiters of one API process share it: followed once at the engine, kept in memory for a while.

However many wait here, the engine answers one long poll: a thousand watchers cost it nothing, and a change reaches
them without being read a thousand times.  ``signal`` says that something may have happened, ``page`` says what did.
What is no longer (or not yet) in memory is read from the engine, so the memory affects only the cost.

Any thread may call.  One daemon thread follows, and only while somebody waits.
"""
from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from obsvc.api.caller import Caller
from obsvc.api.render import plain
from obsvc.engine_client.contract import ChangesApi
from obsvc.engine_client.observations import ChangesRequest, Delta
from obsvc.exceptions import FeedTruncated, ObsvcError, Unavailable
from obsvc.model import Ref
from obsvc.process.threads import Loop

LOG = logging.getLogger(__name__)

#: Lower bound of changes kept in memory, once there were that many: about 2 KB each.
KEPT = 5000

#: Seconds of one long poll at the engine.
POLL = 20.0

#: Changes in one answer of the engine.
PAGE = 1000

#: Shortest time between two answers, seconds: changes that come close together are sent together, since each answer
#: wakes every watcher's thread.  The first one after a quiet time is sent at once.
GATHER = 0.05

#: Seconds without a waiter until the feed is no longer followed.
LINGER = 30.0

#: Seconds until the engine is asked again after a failure.
PAUSE = 0.5


class Entry(NamedTuple):
    """A change, and its JSON as the API shows it."""

    delta: Delta
    data: bytes


def entry(delta: Delta) -> Entry:
    return Entry(delta, msgspec.json.encode(plain(delta)))


class Filter(msgspec.Struct, frozen=True):
    """Which changes one caller asked for; None: any.  label: one that the resource is observed with, by the caller's
    project; only the engine knows which resources that is true of, so these changes are never taken from memory."""

    caller: Caller
    resource_type: str | None = None
    resource_id: str | None = None
    region: str | None = None
    stack_id: str | None = None
    project_id: str | None = None
    label: tuple[str, str] | None = None

    def passes(self, delta: Delta) -> bool:
        """Whether the caller asked for ``delta`` and may see it: by the project in the snapshot alone.  The label is
        not considered."""
        return (
            self.caller.sees(delta.project_id)
            and self.resource_type in (None, delta.ref.resource_type)
            and self.resource_id in (None, delta.ref.resource_id) and self.region in (None, delta.ref.region)
            and self.stack_id in (None, delta.stack_id) and self.project_id in (None, delta.project_id)
        )

    def request(self, since: int | None, limit: int) -> ChangesRequest:
        """The same as a request to the engine."""
        return ChangesRequest(
            since=since, limit=limit, resource_type=self.resource_type, resource_id=self.resource_id,
            stack_id=self.stack_id, project_id=self.project_id if self.caller.privileged else self.caller.scope,
            label=self.label, labelled_by=self.caller.scope)


class Page(NamedTuple):
    """Entries in order of their versions, and the version to go on from."""

    entries: list[Entry]
    next: int


class Signal:
    """Set when a change may concern its waiter: of ``ref``, or of anything."""

    def __init__(self, feed: Feed, ref: Ref | None) -> None:
        self.ref = ref
        self._feed = feed
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    def wait(self, timeout: float) -> None:
        """Until it is set, ``timeout`` seconds are over, or the process ends: then Unavailable.  Clears it."""
        if not self._feed.stopped:
            self._event.wait(timeout)
            self._event.clear()
        if self._feed.stopped:
            raise Unavailable("this process ends: send the request again, to another one")


class Feed:
    """engine: whose feed it is.  kept: changes kept in memory, at least."""

    def __init__(self, engine: ChangesApi, *, kept: int = KEPT) -> None:
        self._engine = engine
        self._kept = kept
        self._lock = threading.Lock()
        self._entries: list[Entry] = []  # versions without a gap, the last one's is _newest
        self._newest: int | None = None  # None: not followed
        self._any: set[Signal] = set()
        self._by_ref: dict[Ref, set[Signal]] = {}
        self._left_at = 0.0
        self._somebody = threading.Event()
        self._follower: Loop | None = None
        self.stopped = False

    @contextlib.contextmanager
    def signal(self, ref: Ref | None = None) -> Iterator[Signal]:
        """A signal for changes of ``ref``, or of anything.  It is set for every change that came after it was made."""
        made = Signal(self, ref)
        with self._lock:
            (self._any if ref is None else self._by_ref.setdefault(ref, set())).add(made)
            if self._follower is None and not self.stopped:
                self._follower = Loop("feed", self._follow).start()
        self._somebody.set()
        try:
            yield made
        finally:
            with self._lock:
                if ref is None:
                    self._any.discard(made)
                else:
                    self._by_ref[ref].discard(made)
                    if not self._by_ref[ref]:
                        del self._by_ref[ref]
                self._left_at = time.monotonic()

    def waiters(self) -> int:
        """How many wait now."""
        with self._lock:
            return len(self._any) + sum(map(len, self._by_ref.values()))

    def tell(self, ref: Ref) -> None:
        """Have those who wait for ``ref`` read it again, for something that is not a change in the feed."""
        with self._lock:
            for signal in self._by_ref.get(ref, ()):
                signal.set()

    def page(self, asked: Filter, since: int, limit: int) -> Page:
        """Changes after ``since`` that pass, at most ``limit``.  FeedTruncated for a version that is not kept."""
        entries = self._after(since) if asked.label is None else None
        if entries is None:
            return self._asked_for(asked, since, limit)
        passing = []
        for item in entries:
            if asked.passes(item.delta):
                passing.append(item)
                if len(passing) == limit:
                    break
        reached = passing[-1] if len(passing) == limit else entries[-1] if entries else None
        return Page(passing, reached.delta.version if reached else since)

    def _asked_for(self, asked: Filter, since: int, limit: int) -> Page:
        """From the engine; skips pages of which nothing passes, since nobody is woken for what follows them."""
        while True:
            answer = self._engine.changes(asked.request(since, limit))
            passing = [entry(delta) for delta in answer.deltas if asked.passes(delta)]
            if passing or answer.next == since:
                return Page(passing, answer.next)
            since = answer.next

    def newest(self) -> int:
        """The newest version, as the engine says."""
        return self._engine.changes(ChangesRequest(since=None)).next

    def _after(self, since: int) -> list[Entry] | None:
        """What is in memory after ``since``; None where the memory does not reach that far."""
        with self._lock:
            if self._newest is None or not self._newest - len(self._entries) <= since <= self._newest:
                return None
            return self._entries[len(self._entries) - (self._newest - since):]

    def stop(self) -> None:
        """Wake everybody; from now on every wait ends at once."""
        self.stopped = True
        if self._follower is not None:
            self._follower.stop()
        self._somebody.set()
        self._wake_all()

    # the follower

    def _follow(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._somebody.wait()
            try:
                self._step()
            except FeedTruncated as error:  # the engine has a new feed, or no longer keeps the version we are at
                LOG.warning("the changes feed is followed anew: %s", error)
                self._forget()
            except ObsvcError as error:
                if not stop.is_set():
                    LOG.warning("the changes feed can't be followed for now: %s", error)
                stop.wait(PAUSE)

    def _step(self) -> None:
        """One long poll; or stop following when nobody has waited for a while."""
        if not self.waiters() and time.monotonic() - self._left_at > LINGER:
            self._somebody.clear()
            if not self.waiters():  # else somebody came just before the event was cleared
                self._forget()
                return
            self._somebody.set()
        if self._newest is None:
            newest = self.newest()
            with self._lock:
                self._newest = newest
            self._wake_all()  # what they read before may be older than where we begin
        page = self._engine.changes(ChangesRequest(since=self._newest, wait=POLL, limit=PAGE))
        if page.deltas:
            self._take([entry(delta) for delta in page.deltas])
            time.sleep(GATHER)

    def _take(self, entries: list[Entry]) -> None:
        with self._lock:
            self._entries += entries
            self._newest = entries[-1].delta.version
            if len(self._entries) > 2 * self._kept:
                del self._entries[:-self._kept]
            concerned = set(self._any)
            for ref in {item.delta.ref for item in entries} & self._by_ref.keys():
                concerned |= self._by_ref[ref]
        for signal in concerned:
            signal.set()

    def _forget(self) -> None:
        with self._lock:
            self._entries, self._newest = [], None

    def _wake_all(self) -> None:
        with self._lock:
            concerned = self._any.union(*self._by_ref.values())
        for signal in concerned:
            signal.set()

"""Waiting for commits: long polls of one process, woken by its own commits at once, by others' within an interval.

``wait`` and ``wait_until`` may be called from any thread and hold it.  One daemon thread reads the change counters
every ``poll_interval`` seconds, and only while anyone waits.  ``shutdown`` ends every wait, now and later.
"""
from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from obsvc.exceptions import ObsvcError
from obsvc.process.threads import Loop

LOG = logging.getLogger(__name__)
T = TypeVar("T")

#: Pause of the poller while the counters can't be read.
ERROR_PAUSE = 1.0

#: Longest wait of one request, seconds: below what proxies and load balancers cut off.
WAIT_MAX = 50.0

#: How long a wait lasts when there are as many waiters as allowed: threads must stay free for what is no wait.
CROWDED_WAIT = 0.25


class _Waiter:
    def __init__(self, counters: frozenset[str]) -> None:
        self.counters = counters
        self.woken = threading.Event()


class Waiters:
    """Waits on change counters.

    read: the present counters by name.  poll_interval: seconds.  limit: waiters at once.
    """

    def __init__(
        self, read: Callable[[], Mapping[str, int]], *, poll_interval: float = 0.1, limit: int = 1000
    ) -> None:
        self._read = read
        self._interval = poll_interval
        self._limit = limit
        self._lock = threading.Lock()
        self._waiting: set[_Waiter] = set()
        self._anyone_waiting = threading.Event()
        self._closed = threading.Event()
        self._last: Mapping[str, int] | None = None
        self._poller: Loop | None = None

    def wait(self, counters: Iterable[str], check: Callable[[], T | None], timeout: float) -> T | None:
        """The first result of ``check`` that is not None; None when the time is over.  As :meth:`wait_until`."""
        return self.wait_until(counters, check, lambda result: result is not None, timeout)

    def wait_until(
        self, counters: Iterable[str], read: Callable[[], T], ready: Callable[[T], bool], timeout: float
    ) -> T:
        """The first result of ``read`` that is ``ready``, or the last one when the time is over.

        ``read`` runs at once, and again after each commit that touched one of ``counters``.  The time is ``timeout``
        seconds, but at most WAIT_MAX, and no more than CROWDED_WAIT while too many wait: every long poll comes
        through here, so no request can hold its thread for longer.
        """
        end = time.monotonic() + min(timeout, WAIT_MAX)
        with self._registered(frozenset(counters)) as waiter:
            if len(self._waiting) > self._limit:
                end = min(end, time.monotonic() + CROWDED_WAIT)
            while True:
                waiter.woken.clear()
                result = read()
                remaining = end - time.monotonic()
                if ready(result) or remaining <= 0 or self._closed.is_set():
                    return result
                self._ensure_poller()
                waiter.woken.wait(remaining)
                if self._closed.is_set():
                    return read()

    @contextlib.contextmanager
    def _registered(self, counters: frozenset[str]) -> Iterator[_Waiter]:
        waiter = _Waiter(counters)
        with self._lock:
            self._waiting.add(waiter)
        try:
            yield waiter
        finally:
            with self._lock:
                self._waiting.discard(waiter)
                if not self._waiting:
                    self._anyone_waiting.clear()

    def notify(self, counters: Iterable[str]) -> None:
        """Wake those who wait for one of ``counters``: the store's ``on_commit`` listener."""
        touched = frozenset(counters)
        with self._lock:
            for waiter in self._waiting:
                if waiter.counters & touched:
                    waiter.woken.set()

    def shutdown(self) -> None:
        """End every wait; later ones return at once."""
        with self._lock:
            self._closed.set()
            for waiter in self._waiting:
                waiter.woken.set()
            poller = self._poller
        if poller is not None:
            poller.stop()
        self._anyone_waiting.set()

    @property
    def waiting(self) -> int:
        """How many wait now."""
        return len(self._waiting)

    def _ensure_poller(self) -> None:
        self._anyone_waiting.set()
        with self._lock:
            if self._poller is None and not self._closed.is_set():
                self._poller = Loop("waiters-poller", self._poll).start()

    def poll_once(self) -> None:
        """Read the counters and wake whom the difference to the last reading concerns."""
        now = dict(self._read())
        last, self._last = self._last, now
        if last is None:
            self.notify(now)
        else:
            self.notify(name for name, value in now.items() if value != last.get(name))

    def _poll(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._anyone_waiting.wait()
            try:
                self.poll_once()
            except ObsvcError as error:
                LOG.warning("the change counters can't be read: %s", error)
                stop.wait(ERROR_PAUSE)
            stop.wait(self._interval)

"""Sending messages that can't be read to the engine, without stopping the intake.

One thread per bus sends the letters in order.  A delivery is settled when its letter is stored; while the engine is
away it stays unsettled, so the message stays in the broker and is delivered again after a restart.  The backlog is
bounded by the bus's prefetch, beyond which nothing is delivered; letters of a lost connection are forgotten
(:meth:`DeadLetterSender.forget`), because their messages are delivered again.  Only the first of a large backlog keep
their bodies.
"""
from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from typing import Protocol

import msgspec

from obsvc import metrics
from obsvc.engine_client.reports import DeadLetter
from obsvc.exceptions import Unavailable
from obsvc.listeners import redact
from obsvc.process.outage_log import OutageLog
from obsvc.process.threads import Loop

LOG = logging.getLogger(__name__)

#: Seconds between two attempts while the engine is away.
_RETRY = 2.0

#: Waiting letters that keep their body: 64 MB at most, and more than any misbehaving service makes in a minute.
WHOLE_KEPT = 1000


class Settleable(Protocol):
    def settle(self) -> None: ...


class DeadLetterSender:
    """The thread that sends; ``store`` returns when the letter is stored, or raises Unavailable."""

    def __init__(self, bus: str, store: Callable[[DeadLetter], None]) -> None:
        self._bus = bus
        self._store = store
        self._outage = OutageLog(LOG, f"bus {bus}: dead letters wait for the engine")
        self._letters: queue.Queue[tuple[int, DeadLetter, Settleable] | None] = queue.Queue()
        self._connection = 0  # the number of the connection that letters come by now
        self._loop = Loop(f"dead-letters-{bus}", self._run)

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        """End after the current letter; the messages of the others are still in the broker."""
        self._loop.stop()
        self._letters.put(None)

    def join(self, timeout: float | None = None) -> bool:
        return self._loop.join(timeout)

    def put(self, letter: DeadLetter, delivery: Settleable) -> None:
        """Have ``letter`` stored and ``delivery`` settled after that; any thread; returns at once."""
        metrics.DEAD_LETTERS.labels(self._bus, letter.reason).inc()
        if self._letters.qsize() >= WHOLE_KEPT:
            letter = msgspec.structs.replace(letter, body="", detail=f"{letter.detail} (one of more than {WHOLE_KEPT} "
                                             "that waited for the engine: its body was not kept)")
        self._letters.put((self._connection, letter, delivery))

    def forget(self) -> None:
        """The connection is gone: the messages of all letters, also the one being sent, are delivered again by the
        next."""
        self._connection += 1
        with contextlib.suppress(queue.Empty):
            while True:
                self._letters.get_nowait()
        if self._loop.stopping:
            self._letters.put(None)  # the order to end may have been among what was removed

    @property
    def waiting(self) -> int:
        """Number of letters that are not being sent yet."""
        return self._letters.qsize()

    def _run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            item = self._letters.get()
            if item is None:
                continue
            connection, letter, delivery = item
            while not stop.is_set() and connection == self._connection:
                try:
                    self._store(letter)
                except Unavailable as error:
                    self._outage.failed(error)
                    stop.wait(_RETRY)
                    continue
                except Exception as error:  # noqa: BLE001 - better a line than a delivery stuck for ever
                    LOG.error("bus %s: a dead letter (%s) could not be stored: %s", self._bus, letter.reason,
                              redact.error_without_text(error))
                else:
                    self._outage.recovered()
                delivery.settle()
                break

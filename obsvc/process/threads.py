"""Threads that never die silently.

A long-running loop is a function that takes the stop event and returns when it is set.  When it raises, the
error is logged with its traceback and the loop is begun again after a pause: a service half of whose threads
are gone is worse than one that repeats an error in its log.
"""
from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from obsvc.process.backoff import Backoff

LOG = logging.getLogger(__name__)

#: Seconds between a crash of a loop and its new start, and the longest such pause: an error that stays must
#: not fill the disk with its log.
RESTART = Backoff(0.5, 30.0, jitter=(1.0, 1.0))


class Loop:
    """One named daemon thread that runs ``target(stop)`` until stopped.

    last_error: ``TYPE: TEXT`` of the newest error that it raised; None when it never did.
    """

    def __init__(self, name: str, target: Callable[[threading.Event], None]) -> None:
        self.name = name
        self.last_error: str | None = None
        self._target = target
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> Loop:
        self._thread.start()
        return self

    def stop(self) -> None:
        """Ask the loop to end; returns at once."""
        self._stop.set()

    @property
    def stopping(self) -> bool:
        """Whether it was asked to end."""
        return self._stop.is_set()

    def join(self, timeout: float | None = None) -> bool:
        """Wait up to ``timeout`` seconds; True when the thread has ended."""
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                self._target(self._stop)
                return
            except Exception as error:  # the one place where an error must not end its thread
                self.last_error = f"{type(error).__name__}: {error}"
                # where it ran well in between it is not the same trouble over and over
                failures = 1 if time.monotonic() - began > RESTART.most else failures + 1
                pause = RESTART.delay(failures)
                LOG.exception("thread %s failed and starts again in %.1f s", self.name, pause)
                self._stop.wait(pause)

"""The threads of a member that run a loop each: begun together, ended together, and how they fare.

:meth:`Loops.add` is for the thread that puts the member together; :attr:`Loops.last_error` may be read by any.
"""
from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from obsvc.process.threads import Loop

LOG = logging.getLogger(__name__)

#: Seconds that each thread is given to end.
JOIN = 5.0


class Loops:
    """Every loop of one member."""

    def __init__(self) -> None:
        self._loops: list[Loop] = []
        self._long_polls: list[Loop] = []

    def add(self, name: str, body: Callable[[threading.Event], None], *, long_poll: bool = False) -> None:
        """Have ``body`` run in a thread ``name``.

        long_poll: it spends its life in requests that the engine answers when there is news, so its end is not waited
        for; it has nothing to finish.
        """
        (self._long_polls if long_poll else self._loops).append(Loop(name, body))

    @property
    def last_error(self) -> str | None:
        """``thread NAME: ERROR`` of the first loop that ever raised; None when none did."""
        return next((f"thread {loop.name}: {loop.last_error}" for loop in self._all() if loop.last_error), None)

    def start(self) -> None:
        for loop in self._all():
            loop.start()

    def stop(self) -> None:
        """Ask every loop to end; returns at once."""
        for loop in self._all():
            loop.stop()

    def join(self) -> None:
        """Wait for those that may have something to finish, up to ``JOIN`` seconds each."""
        for loop in self._loops:
            if not loop.join(JOIN):
                LOG.warning("thread %s did not end within %.0f s", loop.name, JOIN)

    def _all(self) -> list[Loop]:
        return [*self._loops, *self._long_polls]

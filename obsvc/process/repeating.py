"""The body of a loop that does something again and again, and outlives whatever it needs being away."""
from __future__ import annotations

import threading
from collections.abc import Callable

from obsvc.exceptions import ObsvcError


def repeat(
    stop: threading.Event,
    once: Callable[[], float],
    *,
    on_failure: Callable[[ObsvcError], None],
    pause: float,
    wake: threading.Event | None = None,
    errors: tuple[type[ObsvcError], ...] = (ObsvcError,),
) -> None:
    """Call ``once`` until ``stop`` is set; after each call wait for as many seconds as it returned.

    wake: ends that wait early; cleared before each call, so that what is told during a call is not missed.
    on_failure: called with what ``once`` raised of ``errors`` (:meth:`~obsvc.process.outage_log.OutageLog.failed`, for
    one), after which the next call is made in ``pause`` seconds.  Any other error leaves:
    :class:`~obsvc.process.threads.Loop` logs it and begins anew.
    """
    while not stop.is_set():
        if wake is not None:
            wake.clear()
        try:
            seconds = once()
        except errors as error:
            on_failure(error)
            stop.wait(pause)
            continue
        if seconds > 0:
            (stop if wake is None else wake).wait(seconds)

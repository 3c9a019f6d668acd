"""SIGTERM and SIGINT, handled by a thread: whatever the main thread waits for, and whichever thread gets the signal.

A handler in Python runs in the main thread, between two of its instructions.  A main thread that waits for a lock is
not always woken for it (the kernel may give the signal to another thread; libfaketime 0.9.10 swallows a quarter of
them), and a handler that sets an event can interrupt the main thread inside that event's lock: a deadlock.  What the
interpreter itself does at once, in whichever thread, is to write the signal's number to a file (``set_wakeup_fd``):
here a pipe, which a thread reads.
"""
from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

from obsvc.process.threads import Loop

ENDING = (signal.SIGTERM, signal.SIGINT)


def on_termination(callback: Callable[[], None]) -> Callable[[], None]:
    """Call ``callback`` for each SIGTERM and SIGINT, in a thread of its own.

    For the main thread, which can have one such listener.  Returns a function that restores what was before, to be
    called there too.
    """
    receiving, sending = os.pipe()
    os.set_blocking(sending, False)
    previous_file = signal.set_wakeup_fd(sending)  # before the handlers: a signal between the two would be lost
    previous_handlers = {number: signal.signal(number, _nothing) for number in ENDING}

    def listen(_stop: threading.Event) -> None:
        while number := os.read(receiving, 1):
            if number[0] in ENDING:
                callback()
        os.close(receiving)

    loop = Loop("signals", listen).start()

    def undo() -> None:
        for number, handler in previous_handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(previous_file)
        loop.stop()
        os.close(sending)  # ends the reading

    return undo


def _nothing(*_: object) -> None:
    """A handler in Python, without which the interpreter would not take the signal."""

"""SIGTERM and SIGINT, heard by a thread: whatever the main thread waits for, and whichever thread the signal reaches.

A handler in Python runs in the main thread, between two of its instructions.  One that waits for a lock is not always
woken for that (the kernel may give a process's signal to another thread; libfaketime 0.9.10 swallows a quarter of
them), and a handler that sets an event can meet the main thread inside that very event's lock, for ever.  What the
interpreter itself does at once, in whichever thread, is to write the signal's number to a file (``set_wakeup_fd``):
a pipe, which a thread reads here.
"""
from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

ENDING = (signal.SIGTERM, signal.SIGINT)


def on_termination(told: Callable[[], None]) -> Callable[[], None]:
    """Call ``told`` for each SIGTERM and SIGINT, in a thread of its own.

    For the main thread, which can have one such listener.  Returns a function that makes everything as it was before,
    to be called there too.
    """
    receiving, sending = os.pipe()
    os.set_blocking(sending, False)
    other = signal.set_wakeup_fd(sending)  # before the handlers: a signal between the two would be lost
    before = {number: signal.signal(number, _nothing) for number in ENDING}

    def listen() -> None:
        with open(receiving, "rb", buffering=0) as pipe:
            while number := pipe.read(1):
                if number[0] in ENDING:
                    told()

    threading.Thread(target=listen, name="signals", daemon=True).start()

    def undo() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(other)
        os.close(sending)

    return undo


def _nothing(*_: object) -> None:
    """A handler in Python, without which the interpreter would not take the signal."""

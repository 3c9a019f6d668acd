"""Ports for servers that are started a moment later.

A port that the kernel finds free is free for no longer than that: it gives the next one to whoever asks, to a
connection as well.  So these lie below the kernel's own, and each process of the tests has a block of them that no
other one has, held by a lock that ends with the process.
"""
from __future__ import annotations

import contextlib
import fcntl
import functools
import itertools
import os
import pathlib
import random
import socket
import tempfile
from collections.abc import Iterator

#: The ports of all processes together: above those of known services, below the kernel's (32768 unless changed).
PORTS = range(16384, 32768)

#: Those of one process: more than one has in use and in mind at once.
BLOCK = 256


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on; nobody else of these tests is given it."""
    mine = _mine(os.getpid())
    for port in itertools.islice(mine, BLOCK):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError(f"expected a free port among {BLOCK}, found a server on each: end those that are left over")


@functools.cache
def _mine(process: int) -> Iterator[int]:
    """The ports of ``process``, which is this one, round and round."""
    folder = pathlib.Path(tempfile.gettempdir()) / "obsvc-ports"
    folder.mkdir(exist_ok=True)
    starts = range(PORTS.start, PORTS.stop, BLOCK)
    for start in random.SystemRandom().sample(starts, len(starts)):
        held = os.open(folder / str(start), os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)  # and held until this process ends
        except BlockingIOError:
            os.close(held)
            continue
        return itertools.cycle(range(start, start + BLOCK))
    raise RuntimeError(f"expected one of {len(starts)} blocks of ports to be free in {folder}, all are held")

"""The history of one run: events as JSON lines, each with its kind and ``t``, monotonic seconds of this machine.

The monotonic clock is one for all processes of a machine and no fault moves it; wall-clock times (of the database,
of the simulated cloud) are converted where they are read.  ``Writer`` may be used from any thread.
"""
from __future__ import annotations

import json
import pathlib
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

Event = Mapping[str, Any]


def mono_of_wall() -> float:
    """What to add to a time of this machine's wall clock to have the monotonic one."""
    return time.monotonic() - time.time()


class Writer:
    """Appends events to a file; ``t`` is now unless given."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._file = path.open("w", encoding="utf-8")

    def note(self, kind: str, **fields: Any) -> None:
        line = json.dumps({"kind": kind, "t": time.monotonic(), **fields}, default=str)
        with self._lock:
            self._file.write(line + "\n")
            self._file.flush()

    def close(self) -> None:
        self._file.close()


class History:
    """Events in the order of ``t`` (those of equal ``t`` as they were given), by kind."""

    def __init__(self, events: Iterable[Event]) -> None:
        self._by_kind: dict[str, list[Event]] = defaultdict(list)
        for event in sorted(events, key=lambda each: each["t"]):
            self._by_kind[event["kind"]].append(event)

    def of(self, kind: str) -> list[Event]:
        return self._by_kind.get(kind, [])

    def one(self, kind: str) -> Event:
        """The only event of its kind; an empty one where the run ended before it."""
        found = self.of(kind)
        return found[0] if found else {}

    @classmethod
    def read(cls, path: pathlib.Path) -> History:
        return cls(read_lines(path))


def read_lines(path: pathlib.Path) -> list[Event]:
    """The events of a file; a last line that a killed process left unfinished is left out."""
    found = []
    for line in path.read_text(errors="replace").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found

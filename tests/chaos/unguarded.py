"""``python -m tests.chaos.unguarded GUARD COMMAND …``: a process of obsvc with one of its guards taken out.

Only for showing that the checker of the chaos suite sees what the guard prevents: the guard is replaced here, in
this process; the code of obsvc has no switch that turns it off.
"""
from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from tests.chaos import entry


def _replace(owner: Any, name: str, new: Any) -> None:
    """Put ``new`` in the place of something that is there."""
    getattr(owner, name)
    setattr(owner, name, new)


def fence() -> None:
    """The engine takes every write for one of the partition's owner."""
    from obsvc.engine.ownership import grants

    _replace(grants, "holds", lambda row, member, generation: True)


def sequence() -> None:
    """The engine takes every report for the newest of its ref."""
    from obsvc.engine.observations import judging

    _replace(judging, "order", lambda known, generation, number: 1)


def rejoin() -> None:
    """A member joins its group once; when it is put out of it, it stays out."""
    from obsvc.partitioning.backend import Backend

    join, leave, inside = Backend.join, Backend.leave, []

    def join_once(self: Any) -> None:
        if not inside:
            join(self)
            inside.append(True)

    def leave_for_good(self: Any) -> None:
        inside.clear()
        leave(self)

    _replace(Backend, "join", join_once)
    _replace(Backend, "leave", leave_for_good)


def memory() -> None:
    """A member that takes a partition over remembers nothing of what it dropped."""
    from obsvc.observer.state.takeover_memory import TakeoverMemory

    _replace(TakeoverMemory, "recall", lambda self, since: {number: [] for number in since})


def marks() -> None:
    """What can't be settled in time is acknowledged without a look mark at the engine."""
    from obsvc.engine_client.reports import MarkReply
    from obsvc.observer.engine_link.marks import Marker

    class Nothing:
        def mark(self, request: Any) -> MarkReply:
            return MarkReply((None,) * len(request.refs))

    begin = Marker.__init__

    def without(self: Any, **parts: Any) -> None:
        begin(self, **{**parts, "engine": Nothing()})

    _replace(Marker, "__init__", without)


#: Each guard with the process that it stands in.
GUARDS: dict[str, tuple[str, Callable[[], None]]] = {
    "fence": ("engine", fence), "sequence": ("engine", sequence),
    "rejoin": ("observer", rejoin), "memory": ("observer", memory), "marks": ("observer", marks),
}


def main(arguments: Sequence[str]) -> int:
    name, *rest = arguments
    where, take_out = GUARDS[name]
    return entry.main(rest, lambda command: take_out() if command == where else None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

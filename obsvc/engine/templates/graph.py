"""The graph of a template: in which order its resources can be made, and whether some require each other.

Pure: no database, no clock.  What the engine has made so far it counts in its own tables
(:mod:`obsvc.engine.stacks.edges`).
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter


class Graph:
    """An immutable directed graph over resource names; an edge says "requires".

    requires: name → the names that must be finished before it.  Every name stands as a key.  Raises ValueError for a
    requirement that is none of them; whether there is a cycle is asked by :meth:`cycle`.
    """

    def __init__(self, requires: Mapping[str, Iterable[str]]) -> None:
        self._requires = {name: tuple(dict.fromkeys(required)) for name, required in requires.items()}
        for name, required in self._requires.items():
            for other in required:
                if other not in self._requires:
                    raise ValueError(f"expected every requirement to be a node, got {other!r} required by {name!r}")

    def order(self) -> list[str]:
        """All names, each after what it requires; of equals, the one given first.  ValueError where a cycle is."""
        try:
            return list(self._sorter().static_order())
        except CycleError:
            cycle = " -> ".join(self.cycle() or ())
            raise ValueError(f"expected a graph without cycles, got the cycle {cycle}") from None

    def cycle(self) -> list[str] | None:
        """One cycle as ``[a, b, …, a]`` (each requires the next, ``a`` is given first), None where there is none."""
        try:
            self._sorter().prepare()
        except CycleError as error:
            around: list[str] = error.args[1][:0:-1]  # graphlib has each before what requires it
            positions = {name: position for position, name in enumerate(self._requires)}
            first = min(range(len(around)), key=lambda at: positions[around[at]])
            return [*around[first:], *around[:first], around[first]]
        return None

    def _sorter(self) -> TopologicalSorter[str]:
        sorter = TopologicalSorter(dict.fromkeys(self._requires, ()))  # every name first: equals keep their order
        for name, required in self._requires.items():
            sorter.add(name, *required)
        return sorter

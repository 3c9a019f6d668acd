"""The graph of a stack: who requires whom, in which order, and what becomes ready when a node finishes.

Pure: no database, no clock.  The engine keeps the unmet counters of :class:`Unmet` in its node table and moves
them by the same rule, so that a finished node costs O(its dependents) there too.
"""
from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping


class Graph:
    """An immutable directed graph over node names; an edge says "requires".

    requires: node → the nodes that must be finished before it.  Every node stands as a key.  Raises ValueError
    for a requirement that is no node; whether there is a cycle is asked by :meth:`cycle`.
    """

    def __init__(self, requires: Mapping[str, Iterable[str]]) -> None:
        self._requires: dict[str, tuple[str, ...]] = {
            name: tuple(dict.fromkeys(wanted)) for name, wanted in requires.items()
        }
        dependents: dict[str, list[str]] = {name: [] for name in self._requires}
        for name, wanted in self._requires.items():
            for other in wanted:
                if other not in dependents:
                    raise ValueError(f"expected every requirement to be a node, got {other!r} required by {name!r}")
                dependents[other].append(name)
        self._dependents = {name: tuple(others) for name, others in dependents.items()}

    @property
    def nodes(self) -> Collection[str]:
        return self._requires.keys()

    def requires(self, name: str) -> tuple[str, ...]:
        """What must be finished before ``name``."""
        return self._requires[name]

    def dependents(self, name: str) -> tuple[str, ...]:
        """What waits for ``name``."""
        return self._dependents[name]

    def reversed(self) -> Graph:
        """The graph of a deletion: everything that required a node must be gone before it."""
        return Graph(self._dependents)

    def order(self) -> list[str]:
        """All nodes, each after what it requires; of equals, the one given first.  ValueError where a cycle is."""
        unmet = Unmet(self)
        ready = deque(unmet.ready())
        ordered = []
        while ready:
            name = ready.popleft()
            ordered.append(name)
            ready.extend(unmet.finish(name))
        if len(ordered) != len(self._requires):
            raise ValueError(f"expected a graph without cycles, got the cycle {' -> '.join(self.cycle() or ())}")
        return ordered

    def cycle(self) -> list[str] | None:
        """One cycle as ``[a, b, …, a]`` (each requires the next), None where there is none."""
        finished: set[str] = set()
        for root in self._requires:
            if root in finished:
                continue
            path: dict[str, None] = {root: None}
            walk = [iter(self._requires[root])]
            while walk:
                following = next(walk[-1], None)
                if following is None:
                    walk.pop()
                    finished.add(path.popitem()[0])
                elif following in path:
                    names = list(path)
                    return [*names[names.index(following):], following]
                elif following not in finished:
                    path[following] = None
                    walk.append(iter(self._requires[following]))
        return None


class Unmet:
    """The counters of one traversal of a graph: how many requirements of each node are not finished yet."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._counts = {name: len(graph.requires(name)) for name in graph.nodes}
        self._finished: set[str] = set()

    def count(self, name: str) -> int:
        return self._counts[name]

    def ready(self) -> list[str]:
        """Nodes that wait for nothing and are not finished."""
        return [name for name, count in self._counts.items() if not count and name not in self._finished]

    def finish(self, name: str) -> list[str]:
        """Note that ``name`` is finished; answers what became ready by it.  A second time has no effect."""
        if name in self._finished:
            return []
        self._finished.add(name)
        ready = []
        for dependent in self._graph.dependents(name):
            self._counts[dependent] -= 1
            if not self._counts[dependent]:
                ready.append(dependent)
        return ready

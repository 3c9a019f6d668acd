"""Who called what: counters and a log of every call, for tests and benchmarks to assert on."""
from __future__ import annotations

import re
import threading
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec

from obsvc.process.clock import Clock

#: Calls kept in the log; older ones are forgotten (the counters are not).
CALLS_KEPT = 300_000

_IN_PARENTHESES = re.compile(r"\(([^()]*)\)")


def caller_of(user_agent: str | None, user_name: str | None) -> str:
    """``observer obs-1`` of ``obsvc/0.1.0 (observer obs-1)``, else the token's user, else ``-``.

    Only an agent that begins with ``obsvc/`` names a caller: other libraries write their platform in parentheses.
    """
    if user_agent and "obsvc/" in user_agent:
        found = _IN_PARENTHESES.search(user_agent, user_agent.index("obsvc/"))
        if found and found[1].strip():
            return found[1].strip()
    return user_name or "-"


class Call(msgspec.Struct, frozen=True, gc=False):
    """One call that was answered.  time: epoch seconds.  route: method and path template.

    resource_ids: those that a list by ids answered; ``resource_id`` is of a path.
    """

    seq: int
    time: float
    caller: str
    method: str
    path: str
    route: str
    status: int
    resource_id: str | None
    revision: int | None
    request_id: str
    resource_ids: tuple[str, ...] = ()


class Stats:
    """Counts of calls; every method may be called from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget everything; the numbering of the call log continues."""
        with self._lock:
            self._calls: list[Call] = []
            self._seq = getattr(self, "_seq", 0)
            self._by_caller: Counter[str] = Counter()
            self._gets_by_caller: Counter[str] = Counter()
            self._by_route: Counter[str] = Counter()
            self._by_caller_route: defaultdict[str, Counter[str]] = defaultdict(Counter)
            self._by_status: Counter[int] = Counter()
            self._gets_by_resource: defaultdict[str, Counter[str]] = defaultdict(Counter)
            self._gets_by_revision: defaultdict[tuple[str, int], Counter[str]] = defaultdict(Counter)

    def count(self, caller: str, method: str, template: str, path: str, status: int, resource_id: str | None,
              revision: int | None, request_id: str, listed: Sequence[tuple[str, int]] = ()) -> None:
        """Record one call that was answered; resource_id: what it asked for, revision: the one that it was shown.

        listed: the resources that a list by ids answered, each with its revision; each counts as a fetch of it.
        """
        route = f"{method} {template}"
        with self._lock:
            self._seq += 1
            self._calls.append(Call(self._seq, self._clock.time(), caller, method, path, route, status, resource_id,
                                    revision, request_id, tuple(each for each, _ in listed)))
            if len(self._calls) > CALLS_KEPT:
                del self._calls[: CALLS_KEPT // 10]
            self._by_caller[caller] += 1
            self._by_route[route] += 1
            self._by_caller_route[caller][route] += 1
            self._by_status[status] += 1
            if method == "GET":
                self._gets_by_caller[caller] += 1
                if resource_id is not None:
                    self._gets_by_resource[resource_id][caller] += 1
                    if revision is not None:
                        self._gets_by_revision[resource_id, revision][caller] += 1
                for listed_id, number in listed:
                    self._gets_by_resource[listed_id][caller] += 1
                    self._gets_by_revision[listed_id, number][caller] += 1

    def totals(self) -> dict[str, Any]:
        """All counters as one object."""
        with self._lock:
            return {
                "calls": sum(self._by_caller.values()),
                "by_caller": dict(self._by_caller),
                "gets_by_caller": dict(self._gets_by_caller),
                "by_route": dict(self._by_route),
                "by_caller_route": {caller: dict(routes) for caller, routes in self._by_caller_route.items()},
                "by_status": {str(status): count for status, count in self._by_status.items()},
                "gets_by_resource": {resource_id: dict(callers)
                                     for resource_id, callers in self._gets_by_resource.items()},
            }

    def fetches(self, role: str) -> dict[str, Any]:
        """GETs of single resources by callers of one role (``observer`` → ``observer obs-1`` and the like).

        A list by ids is one GET of each resource that it answered.
        gets: how many.  revisions: of how many states.  repeated: those beyond the first of the same state.
        doubled: states that two or more callers fetched, each with ``id``, ``revision`` and ``callers``.
        """
        with self._lock:
            of_role = {key: {caller: count for caller, count in callers.items() if caller.split(" ")[0] == role}
                       for key, callers in self._gets_by_revision.items()}
        by_state = {key: callers for key, callers in of_role.items() if callers}
        gets = sum(sum(callers.values()) for callers in by_state.values())
        by_caller: Counter[str] = Counter()
        for callers in by_state.values():
            by_caller.update(callers)
        return {"gets": gets, "resources": len({resource_id for resource_id, _ in by_state}),
                "revisions": len(by_state), "repeated": gets - len(by_state), "by_caller": dict(by_caller),
                "doubled": [{"id": resource_id, "revision": revision, "callers": callers}
                            for (resource_id, revision), callers in sorted(by_state.items()) if len(callers) > 1]}

    def calls(self, since: int, limit: int) -> list[Call]:
        """Calls after the one numbered ``since``, oldest first."""
        with self._lock:
            first = self._seq - len(self._calls) + 1
            start = max(0, since + 1 - first)
            return self._calls[start:start + limit]

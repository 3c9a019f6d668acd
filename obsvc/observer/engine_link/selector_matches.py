"""What selectors select: every member holds all of them, and has what it hears of observed.

A notification of a ref in our partitions that nobody observes, of a kind that a selector selects, makes it *found*: the
engine is asked to have it observed, and from then on it is a ref as any other.  The delivery is settled when the engine
has answered.  A payload's project only spares the question: what it names as another's is not found, and whoever's it
is in truth a sweep finds it.

Found once, a ref is not asked for again for ``AGAIN`` seconds: what is gone is heard of a while longer.

Any thread may call; :meth:`SelectorMatcher.run_follow` and :meth:`SelectorMatcher.run` are the bodies of one
:class:`~obsvc.process.threads.Loop` each.
"""
from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from obsvc import metrics
from obsvc.engine_client.contract import SelectorMatchesApi
from obsvc.engine_client.selectors import DiscoverRequest, SelectorsReply, SelectorsRequest
from obsvc.model import Ref
from obsvc.observer.state.deliveries import UnsettledDeliveries
from obsvc.process.clock import Clock
from obsvc.process.outage_log import OutageLog
from obsvc.process.repeating import repeat

LOG = logging.getLogger(__name__)

#: Seconds of the long poll that follows the selectors.
WAIT = 20.0

#: Seconds until a request that failed is made again.
PAUSE = 1.0

#: Refs in one request.
BATCH = 500

#: Seconds in which a ref is asked for once, and how many are remembered.
AGAIN = 60.0
REMEMBERED = 100_000


@dataclass(frozen=True)
class Selectors:
    """All of them as of one version, by region and type: the projects; None among them: everybody's."""

    version: int = -1
    projects: Mapping[tuple[str, str], frozenset[str | None]] = field(default_factory=dict)

    @classmethod
    def of(cls, reply: SelectorsReply) -> Selectors:
        found: dict[tuple[str, str], set[str | None]] = {}
        for each in reply.selectors:
            found.setdefault((each.region, each.resource_type), set()).add(each.project_id)
        return cls(reply.version, {kind: frozenset(projects) for kind, projects in found.items()})

    def may_select(self, ref: Ref, project_id: str | None) -> bool:
        """Whether one may want ``ref``.  project_id: as a message names it; None: it does not say."""
        projects = self.projects.get((ref.region, ref.resource_type))
        return projects is not None and (project_id is None or None in projects or project_id in projects)


class SelectorMatcher:
    """dropped: the refs in our partitions of which notifications were dropped lately."""

    def __init__(
        self, *, engine: SelectorMatchesApi, deliveries: UnsettledDeliveries,
        dropped: Callable[[], Iterable[Ref]], clock: Clock,
    ) -> None:
        self._engine = engine
        self._deliveries = deliveries
        self._dropped = dropped
        self._clock = clock
        self._selectors = Selectors()
        self._lock = threading.Lock()
        self._found: dict[Ref, None] = {}
        self._asked: dict[Ref, float] = {}  # when, oldest first
        self._wake = threading.Event()
        self._following = OutageLog(LOG, "the selectors can't be followed")
        self._asking = OutageLog(LOG, "what selectors select can't be observed")

    # -- what is heard

    def wants(self, ref: Ref, project_id: str | None = None) -> bool:
        """Whether ``ref``, which nobody observes, is to be found."""
        if not self._selectors.may_select(ref, project_id):
            return False
        return self._clock.monotonic() - self._asked.get(ref, float("-inf")) > AGAIN

    def found(self, refs: Iterable[Ref]) -> None:
        """Have ``refs`` observed soon; what is heard of them is settled then."""
        with self._lock:
            self._found.update(dict.fromkeys(refs))
        self._wake.set()

    def kinds(self) -> set[tuple[str, str]]:
        """Of which regions and types there are selectors."""
        return set(self._selectors.projects)

    # -- the loops

    def run_follow(self, stop: threading.Event) -> None:
        def follow() -> float:
            self.follow(WAIT)
            self._following.recovered()
            return 0.0

        repeat(stop, follow, on_failure=self._following.failed, pause=PAUSE)

    def follow(self, wait: float) -> None:
        """Take the selectors as they are, or as they come to be within ``wait`` seconds."""
        before = self._selectors
        known = None if before.version < 0 else before.version
        reply = self._engine.selectors(SelectorsRequest(known, 0.0 if known is None else wait))
        if reply.version == before.version:
            return
        self._selectors = after = Selectors.of(reply)
        if after.projects == before.projects:
            return
        LOG.info("selectors, version %d: %s", after.version, ", ".join(
            f"{type_name} in {region}" for region, type_name in sorted(after.projects)) or "none")
        with self._lock:
            self._asked.clear()
        # what was dropped before we knew of them; what nobody told us of lately the sweep finds
        self.found(ref for ref in self._dropped() if self.wants(ref))

    def run(self, stop: threading.Event) -> None:
        def ask_all() -> float:
            while self.ask():
                pass
            self._asking.recovered()
            return 1.0

        repeat(stop, ask_all, on_failure=self._asking.failed, pause=PAUSE, wake=self._wake)

    def ask(self) -> bool:
        """Have one batch of what was found observed; False where there is none."""
        with self._lock:
            batch = list(self._found)[:BATCH]
        if not batch:
            return False
        asked = self._clock.monotonic()
        started = self._engine.discover(DiscoverRequest(tuple(batch))).started
        with self._lock:
            for ref in batch:
                self._found.pop(ref, None)
                self._asked.pop(ref, None)
                self._asked[ref] = asked
            while len(self._asked) > REMEMBERED:
                del self._asked[next(iter(self._asked))]
        metrics.DISCOVERED.inc(started)
        self._deliveries.marked(batch, asked)
        return True

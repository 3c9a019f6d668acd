"""What selectors match: every member knows all of them, and has what it hears of observed.

A notification of a ref in our partitions that nobody observes, of a kind that a selector selects, makes it *found*: the
engine is asked to have it observed, and from then on it is a ref like any other.  The delivery is settled when the
engine has answered.  A payload's project only saves the question: what it names as another's is not found; if it is in
truth ours, a sweep finds it.

Found once, a ref is not asked for again for ``ASK_AGAIN_AFTER`` seconds: what is gone is heard of for a while longer.

Any thread may call; :meth:`SelectorMatcher.run_follow` and :meth:`SelectorMatcher.run_discover` are the bodies of one
:class:`~obsvc.process.threads.Loop` each.
"""
from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from obsvc import metrics
from obsvc.engine_client.contract import SelectorMatchesApi
from obsvc.engine_client.selectors import DiscoverRequest, SelectorsReply, SelectorsRequest
from obsvc.model import Ref
from obsvc.observer.state.deliveries import UnsettledDeliveries
from obsvc.observer.state.holdings import Holdings, RefStatus
from obsvc.observer.state.takeover_memory import TakeoverMemory
from obsvc.process.clock import Clock
from obsvc.process.outage_log import OutageLog
from obsvc.process.recency_map import RecencyMap
from obsvc.process.repeating import repeat

LOG = logging.getLogger(__name__)

#: Seconds of the long poll that follows the selectors.
WAIT = 20.0

#: Seconds until a request that failed is made again.
PAUSE = 1.0

#: Refs in one request.
BATCH = 500

#: Seconds within which a ref is asked for once, and how many refs are remembered for that.
ASK_AGAIN_AFTER = 60.0
ASKED_MAX = 100_000


@dataclass(frozen=True)
class Selectors:
    """All selectors as of one version.

    projects: by region and type, the projects that are selected; None among them: every project.
    """

    version: int = -1
    projects: Mapping[tuple[str, str], frozenset[str | None]] = field(default_factory=dict)

    @classmethod
    def of(cls, reply: SelectorsReply) -> Selectors:
        """The selectors of the engine's reply."""
        projects: dict[tuple[str, str], set[str | None]] = {}
        for selector in reply.selectors:
            projects.setdefault((selector.region, selector.resource_type), set()).add(selector.project_id)
        return cls(reply.version, {kind: frozenset(ids) for kind, ids in projects.items()})

    def may_select(self, ref: Ref, project_id: str | None) -> bool:
        """Whether one of them may select ``ref``.  project_id: as a notification names it; None: it names none."""
        projects = self.projects.get((ref.region, ref.resource_type))
        return projects is not None and (project_id is None or None in projects or project_id in projects)


class SelectorMatcher:
    """memory: the refs of which notifications were dropped lately."""

    def __init__(
        self, *, engine: SelectorMatchesApi, holdings: Holdings, memory: TakeoverMemory,
        deliveries: UnsettledDeliveries, clock: Clock,
    ) -> None:
        self._engine = engine
        self._holdings = holdings
        self._memory = memory
        self._deliveries = deliveries
        self._clock = clock
        self._selectors = Selectors()
        self._lock = threading.Lock()
        self._found: dict[Ref, None] = {}
        self._asked: RecencyMap[Ref, float] = RecencyMap(ASKED_MAX)  # when, monotonic seconds
        self._wake = threading.Event()
        self._following_outage = OutageLog(LOG, "the selectors can't be followed")
        self._discovering_outage = OutageLog(LOG, "what selectors select can't be observed")

    # -- what is heard

    def matches(self, ref: Ref, project_id: str | None = None) -> bool:
        """Whether ``ref``, which nobody observes, is to be discovered.  project_id: as a payload names it, if any."""
        if not self._selectors.may_select(ref, project_id):
            return False
        return self._clock.monotonic() - self._asked.get(ref, float("-inf")) > ASK_AGAIN_AFTER

    def discover(self, refs: Iterable[Ref]) -> None:
        """Have ``refs`` observed soon; what was heard of them is settled then."""
        with self._lock:
            self._found.update(dict.fromkeys(refs))
        self._wake.set()

    def kinds(self) -> set[tuple[str, str]]:
        """``(region, resource type)`` of every selector."""
        return set(self._selectors.projects)

    # -- the loops

    def run_follow(self, stop: threading.Event) -> None:
        """Follow the selectors until ``stop`` is set."""
        def follow() -> float:
            self.follow(WAIT)
            self._following_outage.recovered()
            return 0.0

        repeat(stop, follow, on_failure=self._following_outage.failed, pause=PAUSE)

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
        # What was dropped before we knew of the selectors; what nothing was heard of lately, a sweep finds.
        self.discover(ref for ref in self._dropped_lately() if self.matches(ref))

    def _dropped_lately(self) -> list[Ref]:
        """What was heard lately in our partitions and is not observed, as far as it is remembered."""
        since = {number: float("-inf") for number, _generation, _version in self._holdings.to_follow()}
        return [ref for refs in self._memory.recall(since).values() for ref in refs
                if self._holdings.ref_status(ref) is RefStatus.NOT_OBSERVED]

    def run_discover(self, stop: threading.Event) -> None:
        """Have observed what is found until ``stop`` is set."""
        def discover_all() -> float:
            while self.discover_batch():
                pass
            self._discovering_outage.recovered()
            return 1.0

        repeat(stop, discover_all, on_failure=self._discovering_outage.failed, pause=PAUSE, wake=self._wake)

    def discover_batch(self) -> bool:
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
                self._asked.put(ref, asked)
        metrics.DISCOVERED.inc(started)
        self._deliveries.marked(batch, asked)
        return True

"""How the lists of observed refs come here and stay true.

* :class:`ListLoader` reads the list of each granted partition, page by page, and tells its listener of each that is
  complete.
* :class:`ListFollower` follows the complete ones by long polls, in two lanes: the *steady* one waits long on what it
  knew when its poll began; partitions that became complete since are followed by the *fresh* one in short polls until
  the steady one comes round.  So a start in a partition gained a moment ago reaches us within a second too.

Each ``run…`` method is the body of one :class:`~obsvc.process.threads.Loop`.
"""
from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from obsvc.engine_client.contract import FollowerApi, ListsApi
from obsvc.engine_client.ownership import FollowReply, FollowRequest, ObservedRequest
from obsvc.engine_client.trails import TellTrailsRequest, TrailAnswer
from obsvc.exceptions import ObsvcError, Unavailable
from obsvc.model import Generation, MemberId, PartitionId, Ref
from obsvc.observer.state.holdings import Holdings
from obsvc.observer.state.values import AppliedChanges, CompletedList
from obsvc.process.outage_log import OutageLog
from obsvc.process.repeating import repeat

LOG = logging.getLogger(__name__)

#: Seconds of the steady lane's long poll, and of the fresh lane's.
STEADY_WAIT = 20.0
FRESH_WAIT = 1.0

#: Refs in one page of a list: a few hundred kilobytes of JSON.
PAGE = 1000

#: Seconds until the next poll after one that told of partitions asked for or lost.
HAND_OVER_PAUSE = 0.2

#: Seconds until a request that failed is made again.
PAUSE = 1.0


class OwnershipNews(Protocol):
    """What Ownership is told of by the lists (:class:`obsvc.partitioning.ownership.Ownership`)."""

    def asked_for(self, partitions: Iterable[PartitionId]) -> None:
        """Others wait for these partitions."""

    def lost_by_engine(
        self, partitions: Iterable[PartitionId], known: Mapping[PartitionId, Generation] | None = None
    ) -> None:
        """The engine says that these are not granted to us.  known: the generations that were asked about."""


class ListListener(Protocol):
    """Who is told of what the lists bring."""

    def lists_completed(self, completed: list[CompletedList]) -> None:
        """The lists of these partitions are complete now."""

    def changes_applied(self, applied: AppliedChanges) -> None:
        """A poll brought starts, stops and marks."""


class TrailSource(Protocol):
    """Who knows what was done with each ref lately."""

    def tell(self, refs: Sequence[Ref]) -> Sequence[TrailAnswer]:
        """The trail of each of ``refs`` whose partition is held."""


class ListLoader:
    """Reads the lists of granted partitions.  newly_complete: set whenever lists became complete."""

    def __init__(
        self, *, engine: ListsApi, member: MemberId, holdings: Holdings, ownership: OwnershipNews,
        listener: ListListener,
    ) -> None:
        self.newly_complete = threading.Event()
        self._engine = engine
        self._member = member
        self._holdings = holdings
        self._ownership = ownership
        self._listener = listener
        self._outage = OutageLog(LOG, "the lists of observed resources can't be read")

    def wake(self) -> None:
        """Look at once whether something is to be read."""
        self._holdings.to_load.set()

    def run(self, stop: threading.Event) -> None:
        """Read what is to be read until ``stop`` is set."""
        def read_all() -> float:
            while not stop.is_set() and (todo := self._holdings.loading()):
                self.load(dict(todo))
            self._outage.recovered()
            return 1.0

        repeat(stop, read_all, on_failure=self._outage.failed, pause=PAUSE, wake=self._holdings.to_load)

    def load(self, todo: dict[PartitionId, Generation]) -> None:
        """Read the lists of ``todo`` to their ends; raises ObsvcError where the engine can't answer."""
        self._holdings.restart_loading(todo)
        after: str | None = None
        rest = dict(todo)
        while rest:
            request = ObservedRequest(self._member, tuple(sorted(todo.items())), after=after, limit=PAGE)
            page = self._engine.observed(request)
            self._holdings.load(todo, page.refs)
            self._complete(page.complete, rest)
            if page.lost:
                LOG.info("%d partitions were lost while their lists were read", len(page.lost))
                self._ownership.lost_by_engine(page.lost, todo)
                for number in page.lost:
                    # Ownership drops it if it knows of it; if not, it must not be read again and again.
                    self._holdings.hand_over(number, todo.get(number))
                    rest.pop(number, None)
            after = page.next
            if after is None:
                break
        if rest:
            raise Unavailable(f"expected the lists of {len(rest)} more partitions, the pages ended: reading again")

    def _complete(self, complete: Iterable[tuple[PartitionId, int]], rest: dict[PartitionId, Generation]) -> None:
        """``complete``, with the version of each: they are taken out of ``rest``."""
        completed = []
        for number, version in complete:
            if number in rest:
                completed_list = self._holdings.complete(number, rest.pop(number), version)
                if completed_list is not None:
                    completed.append(completed_list)
        if completed:
            self._listener.lists_completed(completed)
            self.newly_complete.set()


class ListFollower:
    """Follows the complete partitions.  newly_complete: the loader's, so that they are followed at once."""

    def __init__(
        self, *, engine: FollowerApi, member: MemberId, holdings: Holdings, ownership: OwnershipNews,
        listener: ListListener, trails: TrailSource, newly_complete: threading.Event,
    ) -> None:
        self._engine = engine
        self._member = member
        self._holdings = holdings
        self._ownership = ownership
        self._listener = listener
        self._trails = trails
        self._newly_complete = newly_complete
        self._outage = OutageLog(LOG, "started and stopped observations can't be followed")
        self._steady: frozenset[tuple[PartitionId, Generation]] = frozenset()

    def run_steady(self, stop: threading.Event) -> None:
        """Follow everything that is complete when a poll begins."""
        while not stop.is_set():
            known = self._holdings.to_follow()
            self._steady = frozenset((number, generation) for number, generation, _version in known)
            if not known:
                stop.wait(FRESH_WAIT)
                continue
            self._follow(known, STEADY_WAIT, stop)

    def run_fresh(self, stop: threading.Event) -> None:
        """Follow what became complete since the steady lane's poll began."""
        while not stop.is_set():
            known = [partition for partition in self._holdings.to_follow() if partition[:2] not in self._steady]
            if not known:
                self._newly_complete.wait(FRESH_WAIT)
                self._newly_complete.clear()
                continue
            self._follow(known, FRESH_WAIT, stop)

    def _follow(
        self, known: list[tuple[PartitionId, Generation, int]], wait: float, stop: threading.Event
    ) -> None:
        try:
            reply = self._engine.follow(FollowRequest(self._member, tuple(known), wait))
        except ObsvcError as error:
            self._outage.failed(error)
            stop.wait(PAUSE)
            return
        self._outage.recovered()
        self.take(reply, {number: generation for number, generation, _version in known})
        if reply.explain:
            self._tell_trails(reply.explain, stop)
        if reply.asked or reply.lost:
            stop.wait(HAND_OVER_PAUSE)  # until they are handed over each poll answers at once

    def _tell_trails(self, refs: Sequence[Ref], stop: threading.Event) -> None:
        """Somebody asked for trails; until they are told, each poll answers at once."""
        try:
            self._engine.tell_trails(TellTrailsRequest(self._member, tuple(self._trails.tell(refs))))
        except ObsvcError as error:
            LOG.info("%d trails can't be told: %s", len(refs), error)
            stop.wait(PAUSE)

    def take(self, reply: FollowReply, generations: dict[PartitionId, Generation]) -> None:
        """Apply what a poll under ``generations`` brought."""
        for changes in reply.changes:
            generation = generations.get(changes.partition)
            if generation is None:
                continue
            self._listener.changes_applied(self._holdings.apply(changes, generation))
            if changes.reload:
                LOG.info("partition %d generation %d: its list is read again", changes.partition, generation)
        if reply.lost:
            self._ownership.lost_by_engine(reply.lost, generations)
            for number in reply.lost:
                self._holdings.hand_over(number, generations.get(number))
        if reply.asked:
            self._ownership.asked_for(reply.asked)

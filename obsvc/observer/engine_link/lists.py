"""How the lists of observed refs come here and stay true (DESIGN 2).

* :class:`Loader` reads the list of each granted partition, page by page, and hands what is complete to the
  schedule of looks.
* :class:`Follower` follows the complete ones by long polls, in two lanes: the *steady* one waits long on what it
  knew when its poll began; partitions that became complete since are followed by the *fresh* one in short polls until
  the steady one comes round.  So a start in a partition gained a moment ago reaches us within a second too.

Each ``run…`` method is the body of one :class:`~obsvc.process.threads.Loop`.
"""
from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from obsvc.engine_client.contract import FollowerApi, ListsApi
from obsvc.engine_client.ownership import FollowReply, FollowRequest, ObservedRequest
from obsvc.engine_client.trails import TellTrailsRequest, ToldTrail
from obsvc.exceptions import ObsvcError, Unavailable
from obsvc.model import Generation, MemberId, PartitionId, Ref
from obsvc.observer.state.holdings import AppliedChanges, CompletedList, Holdings
from obsvc.process.outage_log import OutageLog
from obsvc.process.repeating import repeat

LOG = logging.getLogger(__name__)

#: Seconds of the steady lane's long poll, and of the fresh lane's.
STEADY_WAIT = 20.0
FRESH_WAIT = 1.0

#: Refs in one page of a list: a few hundred kilobytes of JSON.
PAGE = 1000

#: Seconds until the next poll after one that told of partitions asked for or lost.
HANDING_PAUSE = 0.2

#: Seconds until a request that failed is made again.
PAUSE = 1.0


class Owner(Protocol):
    """The part of Ownership that is fed from here."""

    def asked_for(self, partitions: Iterable[PartitionId]) -> None: ...

    def lost_by_engine(
        self, partitions: Iterable[PartitionId], known: Mapping[PartitionId, Generation] | None = None
    ) -> None: ...


class Loader:
    """Reads the lists of granted partitions.  completed: takes what became complete, a few at a time."""

    def __init__(
        self, *, engine: ListsApi, member: MemberId, holdings: Holdings, owner: Callable[[], Owner],
        completed: Callable[[list[CompletedList]], None],
    ) -> None:
        self._engine = engine
        self._member = member
        self._holdings = holdings
        self._owner = owner
        self._completed = completed
        self._wake = threading.Event()
        self._outage = OutageLog(LOG, "the lists of observed resources can't be read")

    def wake(self) -> None:
        """Something was granted or is to be read again."""
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        def read_all() -> float:
            while not stop.is_set() and (todo := self._holdings.loading()):
                self.load(dict(todo))
            self._outage.recovered()
            return 1.0

        repeat(stop, read_all, on_failure=self._outage.failed, pause=PAUSE, wake=self._wake)

    def load(self, todo: dict[PartitionId, Generation]) -> None:
        """Read the lists of ``todo`` to their ends; raises ObsvcError where the engine can't answer."""
        self._holdings.restart_loading(todo)
        after: str | None = None
        rest = dict(todo)
        while rest:
            request = ObservedRequest(self._member, tuple(sorted(todo.items())), after=after, limit=PAGE)
            page = self._engine.observed(request)
            self._holdings.load(todo, page.refs)
            done = []
            for number, version in page.complete:
                if number in rest and (one := self._holdings.complete(number, rest.pop(number), version)) is not None:
                    done.append(one)
            if done:
                self._completed(done)
            if page.lost:
                LOG.info("%d partitions were lost while their lists were read", len(page.lost))
                self._owner().lost_by_engine(page.lost, todo)
                for number in page.lost:
                    # Ownership drops it if it knows of it; if not, it must not be read again and again.
                    self._holdings.hand_over(number, todo.get(number))
                    rest.pop(number, None)
            after = page.next
            if after is None:
                break
        if rest:
            raise Unavailable(f"expected the lists of {len(rest)} more partitions, the pages ended: reading again")


class Follower:
    """Follows the complete partitions.  applied: takes what changed; reload: a list must be read again; explain: the
    trails of refs that somebody asked for."""

    def __init__(
        self, *, engine: FollowerApi, member: MemberId, holdings: Holdings, owner: Callable[[], Owner],
        applied: Callable[[AppliedChanges], None], reload: Callable[[], None],
        explain: Callable[[Sequence[Ref]], Sequence[ToldTrail]] = lambda refs: (),
    ) -> None:
        self._engine = engine
        self._member = member
        self._holdings = holdings
        self._owner = owner
        self._explain = explain
        self._applied = applied
        self._reload = reload
        self._outage = OutageLog(LOG, "started and stopped observations can't be followed")
        self._fresh = threading.Event()
        self._steady: frozenset[tuple[PartitionId, Generation]] = frozenset()

    def completed(self) -> None:
        """Partitions became complete: follow them at once."""
        self._fresh.set()

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
            known = [one for one in self._holdings.to_follow() if one[:2] not in self._steady]
            if not known:
                self._fresh.wait(FRESH_WAIT)
                self._fresh.clear()
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
            self._tell(reply.explain, stop)
        if reply.asked or reply.lost:
            stop.wait(HANDING_PAUSE)  # till they are handed over each poll answers at once

    def _tell(self, refs: Sequence[Ref], stop: threading.Event) -> None:
        """Somebody asked for trails; till they are told, each poll answers at once."""
        try:
            self._engine.tell_trails(TellTrailsRequest(self._member, tuple(self._explain(refs))))
        except ObsvcError as error:
            LOG.info("%d trails can't be told: %s", len(refs), error)
            stop.wait(PAUSE)

    def take(self, reply: FollowReply, generations: dict[PartitionId, Generation]) -> None:
        """Apply what a poll under ``generations`` brought."""
        for changes in reply.changes:
            generation = generations.get(changes.partition)
            if generation is None:
                continue
            self._applied(self._holdings.apply(changes, generation))
            if changes.reload:
                LOG.info("partition %d generation %d: its list is read again", changes.partition, generation)
                self._reload()
        if reply.lost:
            self._owner().lost_by_engine(reply.lost, generations)
            for number in reply.lost:
                self._holdings.hand_over(number, generations.get(number))
        if reply.asked:
            self._owner().asked_for(reply.asked)

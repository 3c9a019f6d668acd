"""Planned moves: a partition that another member waits for is handed over in order.

No new work is begun in it; what is under way is finished and reported; what is still due, or unsettled, is marked at
the engine; the partition is dropped; what slipped in meanwhile is marked too; only then is it released.  So the next
owner finds every open look as a mark.  Many are handed over in batches: those that wait for their turn are worked on,
so that no resource rests for longer than its own batch takes.

:class:`HandOverRequests` is for any thread; :meth:`HandOver.run` is the body of one
:class:`~obsvc.process.threads.Loop`.
"""
from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Collection, Iterable
from typing import Protocol

from obsvc.exceptions import ObsvcError
from obsvc.model import Generation, PartitionId, Ref
from obsvc.observer.engine_link.marks import Marker
from obsvc.observer.looks.reports import LookReports
from obsvc.observer.looks.schedule import LookSchedule
from obsvc.observer.queue.work_queue import WorkQueue
from obsvc.observer.state.deliveries import UnsettledDeliveries
from obsvc.observer.state.holdings import Holdings
from obsvc.process.clock import Clock
from obsvc.process.outage_log import OutageLog

LOG = logging.getLogger(__name__)

#: Seconds until marks that the engine did not take are tried again during a hand-over.
PAUSE = 0.5

#: Share of drain_timeout that a hand-over waits for what is under way: one fetch that hangs must leave time to mark,
#: to release and to be granted to the next owner.
WAIT_SHARE = 0.5

#: Partitions that are handed over together: few, so that a resource rests only for a moment; each costs a mark request.
BATCH = 64


class Owner(Protocol):
    """The part of :class:`obsvc.partitioning.ownership.Ownership` that lets go of partitions."""

    def release(self, partition: PartitionId, generation: Generation, *, taken: bool = True) -> None:
        """The partition is handed over.  taken: whether we ever took it over ourselves."""

    def drain(self, timeout: float = 30.0) -> bool:
        """Have everything handed over; True when that was done within ``timeout`` seconds."""


class HandOverRequests:
    """The partitions that other members wait for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: dict[PartitionId, Generation] = {}
        self._wake = threading.Event()

    def add(self, number: PartitionId, generation: Generation) -> None:
        """Hand the partition over, if it is still held under ``generation`` then."""
        with self._lock:
            self._asked[number] = generation
        self._wake.set()

    def put_back(self, asked: dict[PartitionId, Generation]) -> None:
        """``asked`` could not be handed over: it is taken again; what was asked for since stands."""
        with self._lock:
            self._asked = {**asked, **self._asked}

    def take(self, timeout: float = 0.0) -> dict[PartitionId, Generation]:
        """All that is asked for, waiting up to ``timeout`` seconds for something."""
        self._wake.wait(timeout)
        self._wake.clear()
        with self._lock:
            asked, self._asked = self._asked, {}
        return asked


class PartitionLooks:
    """The looks in partitions that are let go of: those under way are waited for, those due are forgotten."""

    def __init__(self, *, queue: WorkQueue, reports: LookReports, schedule: LookSchedule, clock: Clock) -> None:
        self._queue = queue
        self._reports = reports
        self._schedule = schedule
        self._clock = clock

    def wait_finished(self, concerns: Callable[[Ref], bool], end: float) -> bool:
        """Wait until no look that ``concerns`` says yes to is under way or unanswered, up to ``end`` (monotonic
        seconds); True when that came about."""
        finished = self._queue.wait_unprocessed(concerns, max(0.0, end - self._clock.monotonic()))
        return self._reports.wait_answered(concerns, max(0.0, end - self._clock.monotonic())) and finished

    def forget(self, refs: Iterable[Ref]) -> None:
        """``refs`` are not ours to look at any more."""
        self._schedule.forget(refs)


class HandOver:
    """drain_timeout: seconds that all partitions are to be handed over in."""

    def __init__(
        self,
        *,
        requests: HandOverRequests,
        holdings: Holdings,
        deliveries: UnsettledDeliveries,
        looks: PartitionLooks,
        marker: Marker,
        owner: Owner,
        drain_timeout: float,
        clock: Clock,
    ) -> None:
        self._requests = requests
        self._holdings = holdings
        self._deliveries = deliveries
        self._looks = looks
        self._marker = marker
        self._owner = owner
        self._drain_timeout = drain_timeout
        self._clock = clock
        self._outage = OutageLog(LOG, "partitions can't be handed over")

    def run(self, stop: threading.Event) -> None:
        """Hand over what is asked for until ``stop`` is set."""
        while not stop.is_set():
            self.hand_over(self._requests.take(0.5), stop)

    def drain(self, timeout: float) -> bool:
        """Hand everything over before the end; True when that was done within ``timeout`` seconds."""
        done = self._owner.drain(timeout)
        with contextlib.suppress(ObsvcError):
            self._marker.mark_pending()  # what slipped in at the last moment
        if not done:
            LOG.warning("this member ends with %d partitions held: the others take them when its lease is over",
                        len(self._holdings.generations()))
        return done

    def hand_over(self, asked: dict[PartitionId, Generation], stop: threading.Event) -> None:
        """Hand over all of ``asked``, a batch after the other, within the one ``drain_timeout``.

        What fails is asked for again: what is not handed over would be neither worked on nor released.
        """
        end = self._clock.monotonic() + self._drain_timeout * WAIT_SHARE
        rest = sorted(asked)
        try:
            while rest and not stop.is_set():
                batch, rest = rest[:BATCH], rest[BATCH:]
                held = {number: asked[number] for number in batch
                        if self._holdings.hand_over(number, asked[number]) is not None}
                if held:
                    self._hand_over_batch(held, end, stop)
        except Exception:
            self._requests.put_back(asked)
            raise

    def _hand_over_batch(self, asked: dict[PartitionId, Generation], end: float, stop: threading.Event) -> None:
        """end: monotonic seconds until which looks under way are waited for."""
        numbers = set(asked)
        if not self._looks.wait_finished(lambda ref: self._holdings.partition_of(ref) in numbers, end):
            LOG.warning("%d partitions are handed over with looks under way: these are marked", len(numbers))
        # Read before the looks that are awaited: a takeover that ends in between has its looks requested.
        not_taken_over = set(self._holdings.not_taken_over())
        awaiting = [ref for number in numbers for ref in self._holdings.awaiting_look(number)]
        if not self._mark([*awaiting, *self._unsettled(numbers)], numbers, stop):
            return
        for number, generation in asked.items():
            refs, _awaiting = self._holdings.drop(number, generation)
            self._looks.forget(refs)
        if not self._mark(self._unsettled(numbers), None, stop):
            return
        for number, generation in sorted(asked.items()):
            self._owner.release(number, generation, taken=number not in not_taken_over)

    def _mark(self, refs: list[Ref], numbers: set[PartitionId] | None, stop: threading.Event) -> bool:
        """Mark ``refs``, again until the engine takes them; False when the partitions (if they are named) were lost
        meanwhile, or this process ends."""
        if not refs:
            return True
        while not stop.is_set():
            try:
                self._marker.mark(refs)
                self._outage.recovered()
                return True
            except ObsvcError as error:
                self._outage.failed(error)
                stop.wait(PAUSE)
            if numbers is not None and not any(number in numbers for number in self._holdings.generations()):
                return False
        return False

    def _unsettled(self, numbers: Collection[PartitionId]) -> list[Ref]:
        return unsettled_in(numbers, self._deliveries, self._holdings)


def unsettled_in(numbers: Collection[PartitionId], deliveries: UnsettledDeliveries, holdings: Holdings) -> list[Ref]:
    """The refs in these partitions that a delivery waits for."""
    return [ref for ref in deliveries.refs() if holdings.partition_of(ref) in numbers]

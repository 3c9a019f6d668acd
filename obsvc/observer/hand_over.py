"""The observer as the owner of partitions: what Ownership calls when one is granted, asked for or lost (DESIGN 2).

A partition asked for is handed over in order: no new work there; what is under way is finished and reported; what
is left awaiting or unsettled is marked at the engine; the partition is dropped; what slipped in is marked too; only
then it is released.  So the next owner finds every open look as a mark.  Many are handed over in batches: those that
wait for their turn are worked on, so that no resource rests for longer than its own batch takes.

Ownership's methods (``granted`` … ``status``) may be called from any thread and return at once.
"""
from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Protocol

from obsvc.engine_client.ownership import Grant
from obsvc.exceptions import ObsvcError
from obsvc.model import Generation, PartitionId, Ref, partition
from obsvc.observer.engine_link.lists import Loader
from obsvc.observer.engine_link.marks import Marker
from obsvc.observer.looks.runner import LookRunner
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

#: Partitions that are handed over together: few, so that a resource rests but a moment; each costs a mark request.
BATCH = 64


class Releaser(Protocol):
    def release(self, partition: PartitionId, generation: Generation, *, taken: bool = True) -> Any: ...


class HandOver:
    """ready: whether every bus is consumed.  status: the fields of a beat that the process knows.
    withdraw: drops the reports of a partition that were not sent yet.

    drain_timeout: seconds that a hand-over waits for what is under way.
    """

    def __init__(
        self,
        *,
        partitions: int,
        holdings: Holdings,
        queue: WorkQueue,
        schedule: LookSchedule,
        deliveries: UnsettledDeliveries,
        marker: Marker,
        loader: Loader,
        look_runner: LookRunner,
        withdraw: Callable[[PartitionId, Generation], Any],
        owner: Callable[[], Releaser],
        ready: Callable[[], bool],
        status: Callable[[], dict[str, Any]],
        drain_timeout: float,
        clock: Clock,
    ) -> None:
        self._partitions = partitions
        self._holdings = holdings
        self._queue = queue
        self._schedule = schedule
        self._deliveries = deliveries
        self._marker = marker
        self._loader = loader
        self._look_runner = look_runner
        self._withdraw = withdraw
        self._owner = owner
        self._ready = ready
        self._status = status
        self._drain_timeout = drain_timeout
        self._clock = clock
        self._lock = threading.Lock()
        self._asked: dict[PartitionId, Generation] = {}
        self._wake = threading.Event()
        self._outage = OutageLog(LOG, "partitions can't be handed over")

    # -- called by Ownership

    def granted(self, grant: Grant) -> None:
        self._holdings.begin(grant)
        self._loader.wake()

    def asked(self, number: PartitionId) -> None:
        """Another member waits for the partition."""
        generation = self._holdings.generation(number)
        if generation is None:
            return
        with self._lock:
            self._asked[number] = generation
        self._wake.set()

    def lost(self, number: PartitionId, generation: Generation, why: str) -> None:
        """The partition is not ours any more: mark what is owed there."""
        refs, awaiting = self._holdings.drop(number, generation)
        self._withdraw(number, generation)
        if not refs:
            return
        self._schedule.forget(refs)
        left = {*awaiting, *self._waiting({number})}
        self._marker.mark_soon(left)
        LOG.info("partition %d generation %d was lost (%s): %d refs, %d of them marked",
                 number, generation, why, len(refs), len(left))

    def ready(self) -> bool:
        return self._ready()

    def status(self) -> dict[str, Any]:
        return self._status()

    # -- handing over

    def run(self, stop: threading.Event) -> None:
        """The body of one Loop: hand over what is asked for."""
        while not stop.is_set():
            self._wake.wait(0.5)
            self._wake.clear()
            with self._lock:
                asked, self._asked = self._asked, {}
            if not asked:
                continue
            try:
                self._hand_over(asked, stop)
            except Exception:
                with self._lock:  # what is not handed over would be neither worked on nor released: try again
                    self._asked = {**asked, **self._asked}
                raise

    def _hand_over(self, asked: dict[PartitionId, Generation], stop: threading.Event) -> None:
        """All of ``asked``, a batch after the other, within the one patience."""
        end = self._clock.monotonic() + self._drain_timeout * WAIT_SHARE
        rest = sorted(asked)
        while rest and not stop.is_set():
            batch, rest = rest[:BATCH], rest[BATCH:]
            held = {number: asked[number] for number in batch
                    if self._holdings.hand_over(number, asked[number]) is not None}
            if held:
                self._hand_over_batch(held, end, stop)

    def _hand_over_batch(self, asked: dict[PartitionId, Generation], end: float, stop: threading.Event) -> None:
        """end: monotonic seconds until which looks under way are waited for."""
        numbers = set(asked)

        def concerns(ref: Ref) -> bool:
            return partition(ref, self._partitions) in numbers

        finished = self._queue.wait_unprocessed(concerns, max(0.0, end - self._clock.monotonic()))
        finished &= self._look_runner.wait_answered(concerns, max(0.0, end - self._clock.monotonic()))
        if not finished:
            LOG.warning("%d partitions are handed over with looks under way: these are marked", len(numbers))
        # Read before the looks that are awaited: a takeover that ends in between has its looks requested.
        not_taken_over = set(self._holdings.not_taken_over())
        awaiting = [ref for number in numbers for ref in self._holdings.awaiting_look(number)]
        if not self._mark([*awaiting, *self._waiting(numbers)], numbers, stop):
            return
        for number, generation in asked.items():
            refs, _awaiting = self._holdings.drop(number, generation)
            self._schedule.forget(refs)
        if not self._mark(self._waiting(numbers), None, stop):
            return
        for number, generation in sorted(asked.items()):
            self._owner().release(number, generation, taken=number not in not_taken_over)

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

    def _waiting(self, numbers: set[PartitionId]) -> list[Ref]:
        return [ref for ref in self._deliveries.refs() if partition(ref, self._partitions) in numbers]

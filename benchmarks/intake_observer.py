"""The intake of an observer without its two ends: no engine grants partitions, and no cloud is asked."""
from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable

from benchmarks.messages import SERVERS, server_ids
from obsvc import catalog as catalogs
from obsvc.engine_client.ownership import Grant, ObservedRef
from obsvc.listeners.decode import Decoder
from obsvc.listeners.listener import BusListener, Receiver
from obsvc.listeners.settings import BusSettings
from obsvc.model import DEFAULT_PARTITIONS, Generation, Notification, PartitionId, Ref, partition
from obsvc.observer.fetching.gate import GateSettings, ServiceGate
from obsvc.observer.intake.intake import Intake
from obsvc.observer.looks.catch_up import CatchUp
from obsvc.observer.looks.policy import LookPolicy, with_observation
from obsvc.observer.looks.schedule import LookSchedule
from obsvc.observer.looks.values import LookSettings
from obsvc.observer.queue.work_queue import QueueSettings, WorkQueue
from obsvc.observer.state.deliveries import Delivery, UnsettledDeliveries
from obsvc.observer.state.holdings import Holdings
from obsvc.observer.state.mark_requests import MarkRequests
from obsvc.observer.state.takeover_memory import TakeoverMemory
from obsvc.process import gc_tuning
from obsvc.process.clock import SystemClock

#: One in so many partitions is ours.
SHARE = 4

#: Seconds, the default of ``[observer] settle_delay``.
SETTLE_DELAY = 1.0


class Member:
    """One observer's intake on the queue of ``bus`` at ``url``; on_message is called before each is taken in."""

    def __init__(self, url: str, bus: BusSettings, *, on_message: Callable[[], object], look_seconds: float) -> None:
        clock = SystemClock()
        self._clock = clock
        self._on_message = on_message
        self._look_seconds = look_seconds
        self._stop = threading.Event()
        self._looks = 0
        policy = LookPolicy(LookSettings(), clock=clock, engine_clock=clock)
        self.holdings = Holdings(DEFAULT_PARTITIONS, new_look=policy.new_state, renewed_look=with_observation)
        self.deliveries = UnsettledDeliveries(clock=clock)
        self.queue = WorkQueue(QueueSettings(settle_delay=SETTLE_DELAY), clock=clock)
        memory = TakeoverMemory(window=120.0, limit=200_000, partitions=DEFAULT_PARTITIONS, clock=clock)
        marks = MarkRequests(deliveries=self.deliveries, clock=clock)
        schedule = LookSchedule(
            policy=policy, queue=self.queue, holdings=self.holdings, deliveries=self.deliveries, memory=memory,
            marks=marks,
            catch_up=CatchUp(queue=self.queue, holdings=self.holdings, budget=ServiceGate(GateSettings()), spread=0.0),
        )
        self.intake = Intake(holdings=self.holdings, memory=memory, deliveries=self.deliveries, listener=schedule,
                             marks=marks)
        self.listener = BusListener(
            dataclasses.replace(bus, url=url), "bench", Decoder(catalogs.load()),
            Receiver(self._take, on_gap=lambda bus, reason: None, store_dead_letter=self._bury,
                     skip_reason=self._skip_reason),
        )
        self._settler = threading.Thread(target=self._settle, daemon=True)
        self._own()

    def _own(self) -> None:
        observed: dict[int, list[ObservedRef]] = {number: [] for number in range(0, DEFAULT_PARTITIONS, SHARE)}
        for one in server_ids(SERVERS):
            ref = Ref("RegionOne", "compute.server", one)
            if (number := partition(ref)) in observed:
                observed[number].append(ObservedRef(ref, started_at=0.0))
        for number, refs in observed.items():
            grant = Grant(PartitionId(number), Generation(1), observation_version=1)
            self.holdings.begin(grant)
            self.holdings.load({grant.partition: grant.generation}, refs)
            self.holdings.complete(grant.partition, grant.generation, 1)

    def _take(self, notification: Notification, delivery: Delivery) -> None:
        self._on_message()
        self.intake.take(notification, delivery)

    def _skip_reason(self, ref: Ref, asks: bool) -> str | None:
        fate = self.intake.skip_reason(ref, asks)
        if fate is not None:
            self._on_message()
        return fate

    def _bury(self, letter: object) -> None:
        raise AssertionError(f"expected only readable messages, got {letter}")

    def _settle(self) -> None:
        """Fetch and report, stood in for: what is due now is answered after a while."""
        while not self._stop.is_set():
            works = []
            while (look := self.queue.get()) is not None:
                works.append(look)
            began = self._clock.monotonic()  # not before they were taken: what came in between is theirs too
            self._stop.wait(self._look_seconds)
            for work in works:
                self.deliveries.looked(work.ref, began)
                self.queue.done(work)
            self._looks += len(works)

    def start(self) -> None:
        self._settler.start()
        self.listener.start()
        gc_tuning.freeze_gc()  # as the observer does

    def wait_settled(self, bound: float) -> None:
        """Until everything taken is settled."""
        deadline = self._clock.monotonic() + bound
        while self.listener.unsettled:
            if self._clock.monotonic() > deadline:
                raise RuntimeError(f"expected everything settled within {bound} s, {self.listener.unsettled} are not")
            threading.Event().wait(0.02)

    def stop(self) -> None:
        self.listener.stop()
        self._stop.set()
        self._settler.join()

    def figures(self) -> dict[str, float]:
        return {"looks": float(self._looks)}

"""The buses of this member: a listener each, and since when all of them were heard without a gap.

Any thread may call; :meth:`Buses.connect`, :meth:`Buses.start` and :meth:`Buses.stop` are for one.
"""
from __future__ import annotations

import logging
import threading
from typing import Protocol

from oslo_config import cfg

from obsvc.catalog import Catalog
from obsvc.engine_client.ownership import BusStatus
from obsvc.engine_client.reports import DeadLetter
from obsvc.exceptions import ConfigError
from obsvc.listeners import settings
from obsvc.listeners.decode import Decoder
from obsvc.listeners.listener import BusListener, Receiver
from obsvc.observer.intake.intake import Intake
from obsvc.process.clock import Clock

LOG = logging.getLogger(__name__)


class GapListener(Protocol):
    """Who sees to what a gap may have hidden."""

    def gap(self, bus: str, region: str, reason: str) -> None:
        """Notifications of ``bus``, in ``region``, may have been missed."""


class DeadLetterStore(Protocol):
    """Where messages go that can't be read."""

    def bury(self, letter: DeadLetter) -> None:
        """Store ``letter``; raises Unavailable while that is impossible."""


class Room(Protocol):
    """Who knows how much waits."""

    def has_room(self) -> bool:
        """Whether there is room for more notifications."""


class Buses:
    """Raises ConfigError where no bus is configured."""

    def __init__(self, conf: cfg.ConfigOpts, *, clock: Clock) -> None:
        self._settings = {bus.name: bus for bus in settings.buses(conf)}
        if not self._settings:
            raise ConfigError("expected the names of the notification buses in [buses] names, found none: name at "
                              "least one, and give its options in [bus:NAME]")
        self._clock = clock
        self._lock = threading.Lock()
        self._gap_at: dict[str, float] = {}
        self._listeners: dict[str, BusListener] = {}
        self._gaps: GapListener | None = None
        self._room: Room | None = None
        self._paused = False

    def connect(
        self, intake: Intake, *, member_name: str, catalog: Catalog, gaps: GapListener, dead_letters: DeadLetterStore,
        room: Room,
    ) -> None:
        """Have what comes go to ``intake``; once, before :meth:`start`.

        member_name: names our queues.  Raises ConfigError for a bus that can't be used.
        """
        self._gaps, self._room = gaps, room
        receiver = Receiver(intake.take, self._gap, dead_letters.bury, self._may_take, intake.skip_reason)
        self._listeners = {
            bus.name: BusListener(
                bus, member_name, Decoder(catalog, region=bus.region), receiver, clock=self._clock,
            )
            for bus in self._settings.values()
        }

    @property
    def names(self) -> list[str]:
        return list(self._settings)

    def start(self) -> None:
        for listener in self._listeners.values():
            listener.start()

    def stop(self) -> None:
        for listener in self._listeners.values():
            listener.stop()

    def consuming(self) -> bool:
        """Whether every bus is consumed."""
        return not self.missing()

    def missing(self) -> list[str]:
        """The buses that are not consumed now."""
        return [name for name in self._settings
                if name not in self._listeners or not self._listeners[name].consuming]

    def consumes(self, region: str) -> bool:
        """Whether every bus of ``region`` is consumed."""
        return not any(self._settings[name].region == region for name in self.missing())

    def heard_since(self) -> float | None:
        """Monotonic time since which every bus was heard without a gap; None when one is not consumed."""
        epoch_to_monotonic = self._clock.monotonic() - self._clock.time()
        if not self._listeners:
            return None
        heard_since = float("-inf")
        for status in self.statuses():
            if not status.connected or status.heard_since is None:
                return None
            with self._lock:
                gap_at = self._gap_at.get(status.name, float("-inf"))
            heard_since = max(heard_since, status.heard_since + epoch_to_monotonic, gap_at)
        return heard_since

    def drained_within(self, seconds: float) -> bool:
        """Whether each broker had nothing waiting for us at some time in the last ``seconds``: what it has now is
        younger than that."""
        since = self._clock.monotonic() - seconds
        drained = [listener.drained_at for listener in self._listeners.values()]
        return all(at is not None and at >= since for at in drained)

    def statuses(self) -> tuple[BusStatus, ...]:
        return tuple(listener.status() for listener in self._listeners.values())

    @property
    def last_error(self) -> str | None:
        """The newest error of the first bus that has one."""
        return next((status.last_error for status in self.statuses() if status.last_error), None)

    def _gap(self, bus: str, reason: str) -> None:
        with self._lock:
            self._gap_at[bus] = self._clock.monotonic()
        assert self._gaps is not None  # it was connected: a listener calls
        self._gaps.gap(bus, self._settings[bus].region, reason)

    def _may_take(self) -> bool:
        assert self._room is not None  # as above
        room = self._room.has_room()
        if not room and not self._paused:
            LOG.warning("no room for more notifications: the intake waits")
        self._paused = not room
        return room

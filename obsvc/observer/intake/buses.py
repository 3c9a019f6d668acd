"""The buses of this member: a listener each, and since when all of them were heard without a gap.

Any thread may call; :meth:`Buses.start` and :meth:`Buses.stop` are for one.
"""
from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from oslo_config import cfg

from obsvc.catalog import Catalog
from obsvc.engine_client.ownership import BusStatus
from obsvc.engine_client.reports import DeadLetter
from obsvc.exceptions import ConfigError
from obsvc.listeners import settings
from obsvc.listeners.decode import Decoder
from obsvc.listeners.listener import BusListener, SkipReason
from obsvc.process.clock import Clock

LOG = logging.getLogger(__name__)


class Buses:
    """take: the sink.  skip_reason: see :data:`obsvc.listeners.listener.SkipReason`.
    on_gap: told of a bus and a reason.  bury: stores a dead letter.  may_take: whether there is room.  Raises
    ConfigError where no bus is configured or one can't be used."""

    def __init__(
        self, conf: cfg.ConfigOpts, *, member_name: str, catalog: Catalog, take: Callable[..., None],
        on_gap: Callable[[str, str], None], bury: Callable[[DeadLetter], None], may_take: Callable[[], bool],
        clock: Clock, skip_reason: SkipReason | None = None,
    ) -> None:
        found = settings.buses(conf)
        if not found:
            raise ConfigError("expected the names of the notification buses in [buses] names, found none: name at "
                              "least one, and give its options in [bus:NAME]")
        self._clock = clock
        self._may_take = may_take
        self._on_gap = on_gap
        self._lock = threading.Lock()
        self._gap_at: dict[str, float] = {}
        self._paused = False
        self._regions = {bus.name: bus.region for bus in found}
        self._listeners = {
            bus.name: BusListener(
                bus, member_name, Decoder(catalog, region=bus.region), take, on_gap=self._gap, bury=bury,
                may_take=self._room, clock=clock, skip_reason=skip_reason,
            )
            for bus in found
        }

    @property
    def names(self) -> list[str]:
        return list(self._listeners)

    def region(self, bus: str) -> str:
        return self._regions[bus]

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
        return [name for name, listener in self._listeners.items() if not listener.consuming]

    def hears(self, region: str) -> bool:
        """Whether every bus of ``region`` is consumed."""
        return not any(self._regions[name] == region for name in self.missing())

    def heard_since(self) -> float | None:
        """Monotonic time since which every bus was heard without a gap; None when one is not consumed."""
        epoch_to_monotonic = self._clock.monotonic() - self._clock.time()
        found = []
        for name, status in zip(self._listeners, self.statuses(), strict=True):
            if not status.connected or status.heard_since is None:
                return None
            with self._lock:
                found.append(max(status.heard_since + epoch_to_monotonic, self._gap_at.get(name, float("-inf"))))
        return max(found)

    def drained_within(self, seconds: float) -> bool:
        """Whether in so many seconds each broker once had nothing waiting for us: what it still has is younger."""
        since = self._clock.monotonic() - seconds
        drained = [listener.drained_at for listener in self._listeners.values()]
        return all(at is not None and at >= since for at in drained)

    def statuses(self) -> tuple[BusStatus, ...]:
        return tuple(listener.status() for listener in self._listeners.values())

    def last_error(self) -> str | None:
        return next((status.last_error for status in self.statuses() if status.last_error), None)

    def _gap(self, bus: str, reason: str) -> None:
        with self._lock:
            self._gap_at[bus] = self._clock.monotonic()
        self._on_gap(bus, reason)

    def _room(self) -> bool:
        room = self._may_take()
        if not room and not self._paused:
            LOG.warning("no room for more notifications: the intake waits")
        self._paused = not room
        return room

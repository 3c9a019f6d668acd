"""What a listener needs to know of one bus, from ``[bus:NAME]``."""
from __future__ import annotations

import dataclasses
from typing import Any

from obsvc.conf.buses import bus_groups
from obsvc.exceptions import ConfigError
from obsvc.messaging import Broker, Tls


@dataclasses.dataclass(frozen=True)
class BusSettings:
    """One bus; the options' help says what each field is for.  heartbeat, queue_expires: seconds."""

    name: str
    url: str
    exchanges: tuple[str, ...] = ("nova", "neutron", "openstack", "cinder", "glance", "keystone")
    topics: tuple[str, ...] = ("notifications", "versioned_notifications")
    priorities: tuple[str, ...] = ("info", "error", "warn", "audit", "critical")
    region: str = "RegionOne"
    queue_type: str = "classic"
    queue_expires: float = 3600.0
    queue_max_length: int = 500_000
    prefetch: int = 5000
    heartbeat: float = 20.0
    cafile: str | None = None
    certfile: str | None = None
    keyfile: str | None = None

    @classmethod
    def from_group(cls, name: str, group: Any) -> BusSettings:
        """Read ``[bus:NAME]``, as :func:`obsvc.conf.buses.bus_groups` gives it."""
        return cls(
            name, group.url, exchanges=tuple(group.exchanges), topics=tuple(group.topics),
            priorities=tuple(group.priorities), region=group.region, queue_type=group.queue_type,
            queue_expires=group.queue_expires, queue_max_length=group.queue_max_length, prefetch=group.prefetch,
            heartbeat=group.heartbeat, cafile=group.cafile, certfile=group.certfile, keyfile=group.keyfile,
        )

    def routing_keys(self) -> tuple[str, ...]:
        """``<topic>.<priority>`` for each of both, as oslo.messaging publishes."""
        return tuple(f"{topic}.{priority}" for topic in self.topics for priority in self.priorities)

    def broker(self) -> Broker:
        """How to connect.  Raises ConfigError for a URL that can't be used."""
        try:
            return Broker(self.url, heartbeat=self.heartbeat, tls=Tls(self.cafile, self.certfile, self.keyfile))
        except ConfigError as error:
            raise ConfigError(f"[bus:{self.name}] url: {error.message}") from error


def buses(conf: Any) -> tuple[BusSettings, ...]:
    """The settings of every bus that ``[buses] names`` lists.  Raises ConfigError for one that can't be used."""
    settings = tuple(BusSettings.from_group(name, group) for name, group in bus_groups(conf).items())
    for bus in settings:
        bus.broker()
        if not bus.exchanges or not bus.topics or not bus.priorities:
            raise ConfigError(f"[bus:{bus.name}]: expected exchanges, topics and priorities, got an empty list")
    return settings

"""The port between Ownership and whoever works on the partitions, and Ownership's settings.  Types only."""
from __future__ import annotations

from typing import Protocol

import msgspec
from oslo_config import cfg

from obsvc.engine_client.duties import RecallCount
from obsvc.engine_client.ownership import BusStatus, Grant
from obsvc.model import Generation, PartitionId


class WorkerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of :class:`~obsvc.engine_client.ownership.Beat` that the worker knows."""

    caught_up: bool = False
    backlog: int = 0
    unsettled: int = 0
    oldest_unsettled: float = 0.0
    buses: tuple[BusStatus, ...] = ()
    rates: dict[str, float] = {}
    recall: tuple[RecallCount, ...] = ()
    open_breakers: tuple[str, ...] = ()
    last_error: str | None = None


class PartitionWorker(Protocol):
    """Works on the partitions that are held: the observer.  Called from several threads; each call must be quick."""

    def granted(self, grant: Grant) -> None:
        """The partition is held under the grant's generation."""

    def asked(self, partition: PartitionId) -> None:
        """Another member waits for it: finish or mark what is unsettled, then call ``Ownership.release``."""

    def lost(self, partition: PartitionId, generation: Generation, why: str) -> None:
        """It is not held any more: stop working on it, and mark what is unsettled."""

    def ready(self) -> bool:
        """Whether every bus is consumed."""

    def status(self) -> WorkerStatus:
        """What the worker says of itself, for the beat."""


class OwnershipSettings(msgspec.Struct, frozen=True, kw_only=True):
    """lease, beat_interval: see ``[coordination]``.  host, address: for the beat."""

    lease: float = 10.0
    beat_interval: float = 2.0
    host: str = ""
    address: str = ""

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts, *, host: str = "", address: str = "") -> OwnershipSettings:
        group = conf.coordination
        return cls(
            lease=group.lease, beat_interval=group.beat_interval, host=host, address=address,
        )

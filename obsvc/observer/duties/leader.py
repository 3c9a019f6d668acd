"""Which duties this member leads, and when their next run is due.

The owner of a duty's partition leads it: there is nothing to elect here.  :meth:`Leader.run` is the body of a few
loops, so that one service that answers slowly does not hold up the duties of the others; a duty is in one of them at a
time.

Ownership says who leads; it forgets what the engine has not confirmed for a lease.  Whether that still holds is checked
by the engine with each write.
"""
from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from obsvc.catalog import Catalog
from obsvc.engine_client.contract import DutiesApi, Empty
from obsvc.engine_client.duties import SWEEP, DutyRecord, DutyRequest, DutySpec, EnsureDutiesRequest
from obsvc.model import Generation
from obsvc.observer.duties.pace import Evidence, PaceSettings, between
from obsvc.observer.duties.sweep import Lead
from obsvc.process.clock import Clock
from obsvc.process.outage_log import OutageLog
from obsvc.process.repeating import repeat

LOG = logging.getLogger(__name__)

#: Seconds between two reads of the duties at the engine.
CHECK = 2.0

#: Seconds between two comparisons of the duties that our resources need with those that exist.
ENSURE = 10.0

#: Seconds for which a duty rests after a run that the engine did not accept.
PAUSE = 5.0

#: Duties that one member carries out at once.
THREADS = 2


def sweep_name(region: str, service: str) -> str:
    """The key of the sweep of ``service`` in ``region``."""
    return f"sweep/{region}/{service}"


class Sweeps(Protocol):
    """Carries out a run (:class:`obsvc.observer.duties.sweep.Sweeper`)."""

    def sweep(self, lead: Lead, evidence: Evidence, stop: threading.Event) -> bool: ...


@dataclass(frozen=True)
class LeaderSettings:
    """enabled: whether this member sweeps at all."""

    pace: PaceSettings
    enabled: bool = True


def evidence_of(duty: DutyRecord, *, heard: bool) -> Evidence:
    """What is known of its service's notifications.  heard: whether the buses of its region are consumed."""
    return Evidence(duty.seen, duty.missed, heard, failed=duty.last_error is not None)


def due_at(duty: DutyRecord, *, heard: bool, pace: PaceSettings) -> float:
    """When the next run is due, by the engine's clock.  Pure.

    At once where there was none yet, or a leader left one unfinished.  One that was asked for keeps the fast interval.
    """
    if duty.running_since is not None or duty.last_ended_at is None:
        return float("-inf")
    interval = between(duty.interval, evidence_of(duty, heard=heard), pace)
    if duty.requested_at is not None:
        interval = min(interval, pace.fast)
    return duty.last_ended_at + interval


class KindSource(Protocol):
    """Something that asks for sweeps."""

    def kinds(self) -> set[tuple[str, str]]:
        """``(region, resource type)`` of what it asks for; a copy."""


class Leader:
    """kinds: whose kinds are swept.  leads: the generation under which we lead a duty now, None where we don't.
    consumes: whether the buses of a region are consumed."""

    def __init__(
        self, settings: LeaderSettings, *, engine: DutiesApi, catalog: Catalog, sweeper: Sweeps,
        kinds: Sequence[KindSource], leads: Callable[[str], Generation | None],
        consumes: Callable[[str], bool], clock: Clock,
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._catalog = catalog
        self._sweeper = sweeper
        self._kinds = kinds
        self._leads = leads
        self._consumes = consumes
        self._clock = clock
        self._lock = threading.Lock()
        self._requests: dict[str, str] = {}  # region → reason; not at the engine yet
        self._duties: tuple[DutyRecord, ...] = ()
        self._engine_time = 0.0
        self._read_at = float("-inf")
        self._ensured_at = float("-inf")
        self._running: set[str] = set()
        self._resting: dict[str, float] = {}
        self._outage = OutageLog(LOG, "duties can't be carried out")

    def request(self, region: str, reason: str) -> None:
        """Have the services of ``region`` swept soon, whoever leads: notifications may have been missed.

        Any thread may call; the engine is asked by our own.
        """
        self._requests[region] = reason

    def run(self, stop: threading.Event) -> None:
        """Carry out what is due, one duty at a time, until ``stop`` is set."""
        def carry_out_one() -> float:
            lead = self.take_due()
            if lead is None:
                return CHECK / 2
            self._carry_out(lead, stop)
            self._outage.recovered()
            return 0.0

        if self._settings.enabled:
            repeat(stop, carry_out_one, on_failure=self._outage.failed, pause=CHECK)

    def take_due(self) -> Lead | None:
        """A duty that we lead and that is due; it is ours to carry out until :meth:`done`.

        Raises ObsvcError where the engine can't answer.
        """
        with self._lock:
            now = self._clock.monotonic()
            self._send_requests()
            if now - self._read_at >= CHECK:
                self._read(now)
            for duty in self._duties:
                if duty.name in self._running or self._resting.get(duty.name, now) > now:
                    continue
                generation = self._leads(duty.name)
                if generation is None or duty.kind != SWEEP:
                    continue
                if self._engine_time + (now - self._read_at) >= self._due_at(duty):
                    self._running.add(duty.name)
                    return Lead(duty, generation, self._still_leads(duty.name, generation))
            return None

    def _still_leads(self, name: str, generation: Generation) -> Callable[[], bool]:
        return lambda: self._leads(name) == generation

    def done(self, lead: Lead, *, ended: bool) -> None:
        """The run is over.  ended: whether the engine knows that, too."""
        with self._lock:
            self._running.discard(lead.duty.name)
            self._read_at = float("-inf")  # as it was read last, it is still due
            if ended:
                self._resting.pop(lead.duty.name, None)
            else:
                self._resting[lead.duty.name] = self._clock.monotonic() + PAUSE

    def _carry_out(self, lead: Lead, stop: threading.Event) -> None:
        ended = False
        try:
            ended = self._sweeper.sweep(lead, evidence_of(lead.duty, heard=self._consumes(lead.duty.region)), stop)
        finally:
            self.done(lead, ended=ended)

    def _due_at(self, duty: DutyRecord) -> float:
        return due_at(duty, heard=self._consumes(duty.region), pace=self._settings.pace)

    def _send_requests(self) -> None:
        for region, reason in list(self._requests.items()):
            names = self._engine.request_duty(DutyRequest(region, reason)).names
            self._requests.pop(region, None)
            self._read_at = float("-inf")
            LOG.info("sweeps of %s are asked for (%s): %s", region, reason, ", ".join(names) or "there are none")

    def _read(self, now: float) -> None:
        if now - self._ensured_at >= ENSURE:
            missing = self._wanted() - {duty.name for duty in self._duties}
            if missing:
                self._engine.ensure_duties(EnsureDutiesRequest(tuple(
                    DutySpec(name, SWEEP, *name.removeprefix("sweep/").rsplit("/", 1)) for name in sorted(missing))))
            self._ensured_at = now if self._duties or missing else float("-inf")
        reply = self._engine.duties(Empty())
        self._duties, self._engine_time, self._read_at = reply.duties, reply.engine_time, now

    def _wanted(self) -> set[str]:
        """The sweeps that our kinds ask for."""
        names = set()
        for region, type_name in set().union(*(source.kinds() for source in self._kinds)):
            resource_type = self._catalog.types.get(type_name)
            if resource_type is not None and resource_type.listing is not None:
                names.add(sweep_name(region, self._catalog.service_of(type_name).service))
        return names

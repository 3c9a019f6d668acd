"""One sweep of a service in a region: list, have the engine compare, move the cursor.

Each listing is one resource type, and its cursor is written with its last batch: a leader that takes over in the middle
lists again what was under way, and no more.  Nothing here writes a snapshot; the engine marks what differs, and the
owners look.

One sweep is for one thread; several may be under way.
"""
from __future__ import annotations

import logging
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from obsvc import metrics
from obsvc.catalog import Catalog
from obsvc.engine_client.contract import DutiesApi
from obsvc.engine_client.duties import DutyBegin, DutyBegun, DutyEnd, DutyRecord, SweepBatch
from obsvc.engine_client.reports import Verdict
from obsvc.model import Generation, MemberId
from obsvc.observer.duties import pages
from obsvc.observer.duties.listing import Abandoned, Listed, Lister, ListingFailed
from obsvc.observer.duties.pace import Evidence, PaceSettings, after_sweep, is_full
from obsvc.process import failpoints

LOG = logging.getLogger(__name__)


class TypeCursor(msgspec.Struct, frozen=True):
    """Where the listings of one type stand.  listed_at: when the last began, by the engine's clock.  partial: how many
    there were since the last full one; None before the first full one."""

    listed_at: float
    partial: int | None = None


_decode = msgspec.json.Decoder(dict[str, TypeCursor]).decode


def read_cursor(text: str) -> dict[str, TypeCursor]:
    """The cursors by resource type; empty where there are none, or none that this version can read: everything is
    listed then."""
    try:
        return _decode(text) if text else {}
    except msgspec.DecodeError:
        return {}


@dataclass(frozen=True)
class Lead:
    """One duty that this member leads.  leads: whether it still does."""

    duty: DutyRecord
    generation: Generation
    leads: Callable[[], bool]


@dataclass
class _Run:
    """A run under way: what it has counted."""

    lead: Lead
    run_id: str
    began: DutyBegun
    cursor: dict[str, TypeCursor]
    counts: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)


class Sweeper:
    """overlap: seconds that a listing of what changed reaches back behind the one before: more than the clocks differ
    and the longest look takes."""

    def __init__(self, *, engine: DutiesApi, member: MemberId, catalog: Catalog, lister: Lister, pace: PaceSettings,
                 overlap: float) -> None:
        self._engine = engine
        self._member = member
        self._catalog = catalog
        self._lister = lister
        self._pace = pace
        self._overlap = overlap

    def sweep(self, lead: Lead, evidence: Evidence, stop: threading.Event) -> bool:
        """Make one run; True when it was ended by us, with or without errors of the cloud.

        False: another leads, or this member ends; whoever leads then continues it.  Raises ObsvcError where the engine
        can't answer.
        """
        duty = lead.duty
        types = self._types(duty.service)
        run_id = uuid.uuid4().hex
        failpoints.hit("duty.begin.before")
        began = self._engine.begin_duty(DutyBegin(self._member, duty.name, lead.generation, run_id, tuple(types)))
        if began.verdict is not Verdict.ACCEPTED:
            LOG.info("duty %s is not led under generation %d any more", duty.name, lead.generation)
            return False
        run = _Run(lead, run_id, began, read_cursor(began.cursor))
        try:
            for type_name in types:
                if began.observed.get(type_name) and not self._done(run, type_name):
                    self._sweep_type(run, type_name, stop)
        except Abandoned as error:
            LOG.info("duty %s generation %d is left: %s", duty.name, lead.generation, error.message)
            metrics.SWEEPS.labels(duty.region, duty.service, "abandoned").inc()
            return False
        return self._end(run, evidence)

    def _types(self, service: str) -> list[str]:
        described = self._catalog.services.get(service)
        if described is None:
            return []
        return sorted(name for name, resource_type in described.types.items() if resource_type.listing)

    @staticmethod
    def _done(run: _Run, type_name: str) -> bool:
        """Whether an earlier leader already listed it in this run."""
        cursor = run.cursor.get(type_name)
        return cursor is not None and cursor.listed_at >= run.began.began_at

    def _sweep_type(self, run: _Run, type_name: str, stop: threading.Event) -> None:
        """List one type and have it compared; the errors of one do not keep the others from it."""
        listing = self._catalog.types[type_name].listing
        assert listing is not None
        before = run.cursor.get(type_name)
        partial = None if before is None else before.partial
        full = before is None or is_full(
            -1 if partial is None else partial, self._pace, can_filter=listing.changed_since is not None,
            asked=run.began.requested,
        )
        since = None if full or before is None else before.listed_at - self._overlap
        try:
            listed, full = self._list(run, type_name, since, stop)
        except ListingFailed as error:
            run.errors.append(error.message)
            return
        failpoints.hit("duty.listed")
        run.counts["lists"] += 1
        run.counts["pages"] += listed.pages
        run.counts["listed"] += len(listed.items)
        run.cursor[type_name] = TypeCursor(listed.began_at, 0 if full else (partial or 0) + 1)
        self._compare(run, type_name, listed)

    def _list(self, run: _Run, type_name: str, since: float | None, stop: threading.Event) -> tuple[Listed, bool]:
        """What the service lists, and whether it was asked for everything: where it refuses a request for what changed
        ``since``, it is."""
        lead = run.lead
        try:
            listed = self._lister.list_type(lead.duty.region, type_name, since, may_continue=lead.leads, stop=stop)
        except ListingFailed as error:
            if not error.refused or since is None:
                raise
            LOG.info("%s: %s with a time: everything is listed", lead.duty.name, error.message)
            return self._list(run, type_name, None, stop)
        return listed, since is None

    def _compare(self, run: _Run, type_name: str, listed: Listed) -> None:
        """Have the engine compare ``listed``, in batches, the last of which moves the cursor."""
        batches = list(pages.batches(listed.items))
        for place, (batch, after, upto) in enumerate(batches):
            if not run.lead.leads():
                raise Abandoned("another leads now")
            last = place == len(batches) - 1
            reply = self._engine.sweep(SweepBatch(
                member=self._member, name=run.lead.duty.name, generation=run.lead.generation, run_id=run.run_id,
                resource_type=type_name, items=batch, listed_at=listed.began_at, whole=listed.whole,
                after=after, upto=upto,
                cursor=msgspec.json.encode(run.cursor).decode() if last else None,
            ))
            if reply.verdict is not Verdict.ACCEPTED:
                raise Abandoned(f"a batch was refused as {reply.verdict.value}")
            for name in ("compared", "changed", "absent", "marked", "admitted"):
                run.counts[name] += getattr(reply, name)

    def _end(self, run: _Run, evidence: Evidence) -> bool:
        duty = run.lead.duty
        failed = bool(run.errors)
        interval = after_sweep(duty.interval, Evidence(evidence.seen, evidence.missed, evidence.heard, failed),
                               self._pace)
        for error in run.errors:
            LOG.warning("duty %s generation %d: %s", duty.name, run.lead.generation, error)
        reply = self._engine.end_duty(DutyEnd(
            member=self._member, name=duty.name, generation=run.lead.generation, run_id=run.run_id, next_in=interval,
            interval=interval, result=dict(run.counts), error="; ".join(run.errors) or None,
        ))
        metrics.SWEEPS.labels(duty.region, duty.service, "failed" if failed else "done").inc()
        LOG.info("duty %s generation %d: %s; the next in %.0f s", duty.name, run.lead.generation,
                 ", ".join(f"{count} {word}" for word, count in run.counts.items()) or "nothing to list", interval)
        return reply.verdict is Verdict.ACCEPTED

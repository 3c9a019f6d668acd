"""Messages about duties: work that one leader does for the whole cluster, and the first, the sweep.

The owner of a duty's partition leads it, under that partition's generation: there is no other election.  All that a
leader writes is checked against it in the transaction that writes, as reports are.  Times are seconds since the epoch
by the engine's clock.
"""
from __future__ import annotations

import msgspec

from obsvc.engine_client.reports import Verdict
from obsvc.model import Generation, MemberId, PartitionId

#: The kind of duty that lists a service's resources of one region and marks what changed.
SWEEP = "sweep"

#: The reason of the look marks that a sweep sets.
SWEPT = "sweep"

#: Most items of one batch: short transactions, and a request of less than a hundred kilobytes.
BATCH_MAX = 500


class DutySpec(msgspec.Struct, frozen=True):
    """What a duty is.  name: its key, whose hash is its partition."""

    name: str
    kind: str
    region: str
    service: str


class RecallCount(msgspec.Struct, frozen=True, omit_defaults=True):
    """Changes that one member found lately, of one resource type in one region.

    seen: a notification told of them, before they were found otherwise or within the grace after.  missed: none did.
    """

    region: str
    service: str
    resource_type: str
    seen: int = 0
    missed: int = 0


class DutyRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A duty as it stands.

    leader, generation, since: the owner of its partition.  running_since: of the run that has not ended.
    last_run_at: when the run that ended last began; next_run_at: when the next one is due, unless one is requested
    earlier.
    result: counts of the last run by word.  last_error: of the last run, None when it had none.
    requested_at, request_reason: of a requested run that has not been made yet.
    seen, missed: what the live members say of the notifications of its service and region lately.
    """

    name: str
    kind: str
    region: str
    service: str
    partition: PartitionId
    generation: Generation
    leader: MemberId | None = None
    since: float | None = None
    running_since: float | None = None
    last_run_at: float | None = None
    last_ended_at: float | None = None
    next_run_at: float | None = None
    interval: float = 0.0
    result: dict[str, int] = {}
    last_error: str | None = None
    requested_at: float | None = None
    request_reason: str | None = None
    seen: int = 0
    missed: int = 0


class DutiesReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """Every duty, by name."""

    duties: tuple[DutyRecord, ...]
    engine_time: float


class EnsureDutiesRequest(msgspec.Struct, frozen=True):
    """These duties are wanted; those that are there already stay as they are."""

    duties: tuple[DutySpec, ...]


class DutyRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Ask the leaders of the duties of a region (of one service, where named) for a run soon."""

    region: str
    reason: str
    service: str | None = None


class DutyRequestReply(msgspec.Struct, frozen=True):
    """The names of the duties that were asked."""

    names: tuple[str, ...]


class DutyBegin(msgspec.Struct, frozen=True):
    """A leader begins a run.  run_id: random; the same one again is the same run.  types: whose observed refs are to
    be counted."""

    member: MemberId
    name: str
    generation: Generation
    run_id: str
    types: tuple[str, ...] = ()


class DutyBegun(msgspec.Struct, frozen=True, omit_defaults=True):
    """verdict: ``accepted``, or ``stale_generation`` (another leads: do nothing).

    began_at: of the run; that of the one before where that never ended, so that what it did is not done again.
    cursor: as the leaders before left it.  observed: how many refs of each type.  requested: the run answers a request.
    """

    verdict: Verdict
    began_at: float = 0.0
    cursor: str = ""
    observed: dict[str, int] = {}
    requested: bool = False


class SweepItem(msgspec.Struct, frozen=True, array_like=True):
    """One resource as a list has it.  project_id: None where the list does not say.

    gone: the list itself says that it is deleted.  listed_at: when its page was
    asked for."""

    resource_id: str
    status: str | None
    updated_at: str | None
    gone: bool
    listed_at: float
    project_id: str | None = None


class SweepBatch(msgspec.Struct, frozen=True, omit_defaults=True):
    """Part of one listing, to be compared with the engine's copies.

    whole: the items are all that there are with ids above ``after`` (None: from the first) up to ``upto`` (None: to
    the last), by code point, so that whatever else is observed there was absent, since ``listed_at``.
    cursor: written with it, where the listing ends here.
    """

    member: MemberId
    name: str
    generation: Generation
    run_id: str
    resource_type: str
    items: tuple[SweepItem, ...]
    listed_at: float
    whole: bool = False
    after: str | None = None
    upto: str | None = None
    cursor: str | None = None


class SweepReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """verdict: ``accepted``; ``stale_generation``, ``superseded`` (another leads, or it is another's run): nothing was
    written.  compared: observed refs in the batch; changed, absent: what differs of them; marked: those that a look
    was asked for (no look waited yet); admitted: those that are observed from now on, for selectors."""

    verdict: Verdict
    compared: int = 0
    changed: int = 0
    absent: int = 0
    marked: int = 0
    admitted: int = 0


class DutyEnd(msgspec.Struct, frozen=True, omit_defaults=True):
    """A run has ended.  next_in: seconds until the next one, unless one is requested earlier.
    interval: the pace kept."""

    member: MemberId
    name: str
    generation: Generation
    run_id: str
    next_in: float
    interval: float
    result: dict[str, int] = {}
    error: str | None = None


class DutyEnded(msgspec.Struct, frozen=True):
    verdict: Verdict

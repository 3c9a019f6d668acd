"""Messages by which observers write what they saw."""
from __future__ import annotations

import enum

import msgspec

from obsvc.model import Cause, Condition, Generation, MemberId, PartitionId, Ref, Snapshot, Version


class Verdict(enum.StrEnum):
    """What the engine did with one report."""

    ACCEPTED = "accepted"  #: written, and it changed something: a delta was made
    UNCHANGED = "unchanged"  #: written; nothing that counts differs from before
    STALE_GENERATION = "stale_generation"  #: the partition is not (or no longer) granted so: nothing written
    SUPERSEDED = "superseded"  #: a later look at this ref is already in: nothing written
    NOT_OBSERVED = "not_observed"  #: nobody observes the ref any more: nothing written


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """One snapshot of one ref, fenced by ``(partition, generation)`` and ordered by ``sequence``.

    sequence: taken from the member's counter *before* the fetch was sent; rises within an incarnation.
    mark: the highest mark number of the ref that was known before the fetch began; it and all below are
    cleared when the report is accepted or unchanged.
    """

    ref: Ref
    partition: PartitionId
    generation: Generation
    sequence: int
    snapshot: Snapshot
    cause: Cause
    mark: int | None = None


class ReportRequest(msgspec.Struct, frozen=True):
    """A batch; each item is judged by itself, all in one transaction.  Sending it again as it was is safe."""

    member: MemberId
    reports: tuple[Report, ...]


class ReportOutcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """version: of the delta, where one was made (by this sending or an equal one before).
    wanted, deadline: as in ObservedRef, as they stand after the report (polling ends when wanted is empty)."""

    verdict: Verdict
    version: Version | None = None
    wanted: tuple[Condition, ...] = ()
    deadline: float | None = None


class ReportReply(msgspec.Struct, frozen=True):
    """One outcome for each report, in order."""

    outcomes: tuple[ReportOutcome, ...]


class MarkRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Ask the owners, present or future, to look at these refs.  Not fenced: a needless mark costs
    one fetch.  reason: a short word for the log and the trail (``check``, ``unsettled``, ``sweep`` …)."""

    refs: tuple[Ref, ...]
    reason: str
    member: MemberId | None = None


class MarkReply(msgspec.Struct, frozen=True):
    """The mark's number for each ref in order; None where the ref is not observed and nothing was stored."""

    marks: tuple[int | None, ...]


#: Longest body kept of a dead letter, characters.  Real notifications are below 50 KB.
DEAD_LETTER_BODY_MAX = 64 * 1024


class DeadLetter(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message that could not be read.  ``excerpt`` is redacted and at most a few kilobytes.

    body: the whole message, redacted, where it was short enough to be kept; lists leave it out.
    region, exchange: what the decoder was told beside the body, so that it can be run again.
    replayed_at: when it was last read again with success, seconds since the epoch; set by the engine.
    """

    bus: str
    reason: str
    detail: str
    received_at: float
    excerpt: str = ""
    size: int = 0
    member: str = ""
    letter_id: int | None = None
    body: str = ""
    region: str | None = None
    exchange: str | None = None
    replayed_at: float | None = None


class BuryRequest(msgspec.Struct, frozen=True):
    letters: tuple[DeadLetter, ...]


class DeadLettersRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    limit: int = 100
    before: int | None = None


class DeadLettersPage(msgspec.Struct, frozen=True):
    letters: tuple[DeadLetter, ...]


class DeadLetterRequest(msgspec.Struct, frozen=True):
    letter_id: int


class ReplayRequest(msgspec.Struct, frozen=True):
    """The letter could be read this time: mark the refs that it names (none: it names none), note that it was read.

    A caller that sends it again costs each ref one more look, no more.
    """

    letter_id: int
    refs: tuple[Ref, ...]


class ReplayReply(msgspec.Struct, frozen=True):
    """marks: as in :class:`MarkReply`."""

    marks: tuple[int | None, ...]
    replayed_at: float

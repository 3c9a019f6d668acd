"""Messages between members and the engine about who owns which partition.

All times are seconds since the epoch by the engine's clock unless a field says otherwise.
"""
from __future__ import annotations

import enum

import msgspec

from obsvc.engine_client.duties import RecallCount
from obsvc.model import Condition, Generation, MemberId, PartitionId, Ref, Snapshot

#: Seconds that an owner is told of an ask after it was made or repeated: claims that wait are repeated several times a
#: second, so an older one has been given up.
ASK_STANDS = 3.0


class ClaimReason(enum.StrEnum):
    """Why the member believes that the partition is its to claim."""

    VACANT = "vacant"  #: no owner that it knows of
    VANISHED = "vanished"  #: the granted owner is not in the membership view: claimed at once
    PLANNED = "planned"  #: the granted owner lives: it is asked, and forced only after ``drain_timeout``


class MemberState(enum.StrEnum):
    JOINING = "joining"  #: started, does not yet consume every bus
    ACTIVE = "active"
    DRAINING = "draining"  #: hands its partitions over; takes no new ones
    LEFT = "left"  #: stopped, and said so


class BusStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """One bus as one member sees it.  ``heard_since``: without a gap since then, None while not consuming."""

    name: str
    connected: bool
    heard_since: float | None = None
    queue: str | None = None
    last_error: str | None = None


class Beat(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a member says of itself every few seconds.

    partitions: P as the member computes with it; the engine refuses another than its own.
    held: how many partitions it believes to hold.  view: the member names of its current view, sorted.
    unsettled: deliveries not settled yet; oldest_unsettled: the age of the oldest in seconds.
    caught_up: nothing that is unsettled, or waits in its queue at a broker, is older than the allowed lag.  It counts
    only where ``held`` is what the engine has granted: nobody speaks for a grant whose answer is still on its way.
    rates: per-second figures by metric name, for the page.
    recall: what it says of the notifications of late.
    """

    member: MemberId
    contract_version: int
    partitions: int
    state: MemberState
    started_at: float
    host: str = ""
    address: str = ""
    held: int = 0
    caught_up: bool = False
    backlog: int = 0
    unsettled: int = 0
    oldest_unsettled: float = 0.0
    view: tuple[str, ...] = ()
    buses: tuple[BusStatus, ...] = ()
    rates: dict[str, float] = {}
    open_breakers: tuple[str, ...] = ()
    last_error: str | None = None
    recall: tuple[RecallCount, ...] = ()


class MemberRecord(msgspec.Struct, frozen=True):
    """A member as the engine knows it; ``alive`` is judged by the engine's clock (``member_timeout``).

    drained_at: since when its name is drained; None where it is not."""

    beat: Beat
    last_beat_at: float
    alive: bool
    granted: int
    drained_at: float | None = None


class BeatReply(msgspec.Struct, frozen=True):
    """engine_time: the engine's clock when it answered.  granted: what the engine holds as granted to this
    incarnation, ``(partition, generation)`` ascending: whatever else the member thinks it owns, it has lost.
    drained: an operator wants this member, by its name, to hand everything over and to take nothing."""

    engine_time: float
    granted: tuple[tuple[PartitionId, Generation], ...]
    drained: bool = False


class DrainRequest(msgspec.Struct, frozen=True):
    """Drain or undrain the member of that name, whatever its incarnation, until told otherwise."""

    name: str
    drained: bool


class DrainReply(msgspec.Struct, frozen=True):
    """drained_at: since when it is drained; None where it is not."""

    name: str
    drained_at: float | None


class PartitionClaim(msgspec.Struct, frozen=True):
    partition: PartitionId
    reason: ClaimReason


class ClaimRequest(msgspec.Struct, frozen=True):
    """``claim_id`` is random per attempt: the same claim sent again (a lost answer) gets the same grants."""

    member: MemberId
    claim_id: str
    claims: tuple[PartitionClaim, ...]


class Grant(msgspec.Struct, frozen=True, omit_defaults=True):
    """Ownership of one partition under ``generation``.

    observation_version: the member's list of observed refs must be complete to this version before it may
    treat an unlisted ref as not observed.
    previous: who was granted it before; released: whether that owner let go by itself (the marks suffice).
    previous_caught_up: what that owner's last beat said; previous_last_beat_at: when that was, or when it let go.
    """

    partition: PartitionId
    generation: Generation
    observation_version: int
    previous: MemberId | None = None
    released: bool = False
    previous_caught_up: bool = False
    previous_last_beat_at: float | None = None


class Asked(msgspec.Struct, frozen=True):
    """A planned claim that waits for the live owner; the claim is to be repeated (with a new or the same id)."""

    partition: PartitionId
    owner: MemberId
    asked_at: float


class ClaimReply(msgspec.Struct, frozen=True):
    """Every claimed partition stands in exactly one of the two, ascending."""

    grants: tuple[Grant, ...]
    asked: tuple[Asked, ...] = ()


class ReleaseRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Let go of partitions: compare-and-swap on the own (member, generation).

    untaken: those of ``held`` that the member never took over from the owner before (its list was not read, or its
    grant never heard of): the next grant tells of *that* owner, as this one's did.
    """

    member: MemberId
    held: tuple[tuple[PartitionId, Generation], ...]
    untaken: tuple[PartitionId, ...] = ()


class ReleaseReply(msgspec.Struct, frozen=True):
    """released: let go now (or before, by the same member and generation); not_held: another's already."""

    released: tuple[PartitionId, ...]
    not_held: tuple[PartitionId, ...] = ()


class ObservedRef(msgspec.Struct, frozen=True, omit_defaults=True):
    """One ref that its owner must keep true, all its observations taken together.

    wanted: goal conditions that some observation still waits for; empty: watched for drift only.
    deadline: the earliest deadline of those, None for none.
    started_at: when its first observation was started.
    mark: number of a look mark that waits, None for none; mark_reason: why it was set, in a word.
    last: the last accepted snapshot without its attributes, None where nothing was accepted yet.
    """

    ref: Ref
    started_at: float
    wanted: tuple[Condition, ...] = ()
    deadline: float | None = None
    mark: int | None = None
    last: Snapshot | None = None
    mark_reason: str | None = None


class ObservedRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of the observed refs of granted partitions.  ``after``: ``next`` of the page before."""

    member: MemberId
    held: tuple[tuple[PartitionId, Generation], ...]
    after: str | None = None
    limit: int = 1000


class ObservedPage(msgspec.Struct, frozen=True, omit_defaults=True):
    """refs: by partition, then ref, ascending.

    complete: ``(partition, observation_version)`` of each partition whose list ends within this page, the
    version read no later than its first row (changes after it come by ``follow``).
    lost: partitions of the request that are no longer granted to the member under that generation.
    """

    refs: tuple[ObservedRef, ...]
    complete: tuple[tuple[PartitionId, int], ...]
    lost: tuple[PartitionId, ...] = ()
    next: str | None = None


class FollowRequest(msgspec.Struct, frozen=True):
    """Wait up to ``wait`` seconds for something to change in the held partitions.

    known: ``(partition, generation, observation_version)`` that the member has.
    """

    member: MemberId
    known: tuple[tuple[PartitionId, Generation, int], ...]
    wait: float = 20.0


class PartitionChanges(msgspec.Struct, frozen=True, omit_defaults=True):
    """What happened in one partition after the version known.

    changed: refs that were started, restarted or marked, as they stand now.  stopped: refs no longer observed.
    reload: the changes are no longer kept; read the whole list again with ``observed``.
    """

    partition: PartitionId
    version: int
    changed: tuple[ObservedRef, ...] = ()
    stopped: tuple[Ref, ...] = ()
    reload: bool = False


class FollowReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """asked: partitions that another member waits for.  lost: no longer granted under the known generation.
    explain: refs whose trail is waited for (answer by ``tell_trails``)."""

    changes: tuple[PartitionChanges, ...] = ()
    asked: tuple[PartitionId, ...] = ()
    lost: tuple[PartitionId, ...] = ()
    explain: tuple[Ref, ...] = ()


class PartitionRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One partition as the engine knows it, for SREs.  ``why``: the reason of the last grant or release."""

    partition: PartitionId
    generation: Generation
    owner: MemberId | None
    since: float | None
    observation_version: int
    observed: int = 0
    asked_by: str | None = None
    asked_at: float | None = None
    why: str | None = None

"""Who owns a partition: beats, claims, releases, and the fence check.

The decision about one claim is pure (:func:`decide`); the functions that take a Transaction lock the partitions
they touch.  Generations only rise: every grant but a repeated one raises its partition's by one.
"""
from __future__ import annotations

import dataclasses
import enum
import logging
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from obsvc import metrics
from obsvc.engine.database.rows import chunks, to_json
from obsvc.engine.database.store import Transaction
from obsvc.engine.schema import core
from obsvc.engine.schema.rows import Fence, PartitionRow
from obsvc.engine.settings import EngineSettings
from obsvc.engine_client.ownership import (
    Asked,
    Beat,
    ClaimReason,
    ClaimReply,
    ClaimRequest,
    Grant,
    MemberState,
    ReleaseReply,
    ReleaseRequest,
)
from obsvc.exceptions import InvalidInput
from obsvc.model import Generation, MemberId, PartitionId

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class ClaimedPartition:
    """A partition as a claim finds it.  owner_alive: it beats and has not left, by the engine's clock."""

    owner: MemberId | None
    claim_id: str | None
    owner_alive: bool
    asked_at: float | None = None
    asked_again_at: float | None = None


class Decision(enum.Enum):
    REPEAT = "repeat"  #: the same claim sent again: the same grant
    GRANT = "grant"
    ASK = "ask"  #: a live owner is asked to hand over


class DecisionReason(enum.StrEnum):
    """Why a claim was decided so.  A grant's is stored with it, and is the reason in ``obsvc_grants_total``."""

    REPEATED = "repeated"  #: no new grant
    VACANT = "vacant"
    RESTARTED = "restarted"  #: an earlier start of the claimant had it
    SAME_MEMBER = "same_member"  #: the claimant has it and claims anew: it does not know of its grant
    VANISHED = "vanished"  #: the claimant says that the owner has left the group
    SILENT = "silent"  #: no beat of the owner for ``member_timeout``, or it has left
    FORCED = "forced"  #: asked for longer than ``drain_timeout``
    PLANNED = "planned"  #: no grant yet: the owner is asked
    RELEASED = "released"  #: nobody has the partition since


def decide(
    holding: ClaimedPartition, member: MemberId, claim_id: str, reason: ClaimReason, *, now: float,
    settings: EngineSettings,
) -> tuple[Decision, DecisionReason]:
    """The decision about one claim, and why.

    Granted at once: a partition without an owner, or whose owner has vanished (says the claimant), is silent, has
    left, or is an earlier start of the claimant itself.  Any other owner is alive and is asked to release it; the
    partition is taken by force once ``drain_timeout`` has passed since the first ask.
    """
    owner = holding.owner
    if owner == member and holding.claim_id == claim_id:
        return Decision.REPEAT, DecisionReason.REPEATED
    if owner is None:
        return Decision.GRANT, DecisionReason.VACANT
    if owner.name == member.name:
        return Decision.GRANT, DecisionReason.SAME_MEMBER if owner == member else DecisionReason.RESTARTED
    if reason is ClaimReason.VANISHED:
        return Decision.GRANT, DecisionReason.VANISHED
    if not holding.owner_alive:
        return Decision.GRANT, DecisionReason.SILENT
    asked_at = asked_since(holding.asked_at, holding.asked_again_at, now=now, settings=settings)
    if asked_at is not None and now - asked_at >= settings.drain_timeout:
        return Decision.GRANT, DecisionReason.FORCED
    if settings.drain_timeout == 0:
        return Decision.GRANT, DecisionReason.FORCED
    return Decision.ASK, DecisionReason.PLANNED


def asked_since(
    asked_at: float | None, asked_again_at: float | None, *, now: float, settings: EngineSettings
) -> float | None:
    """Since when a partition is asked for; None once the asks have stopped (an ask counts while it is repeated)."""
    if asked_at is None or asked_again_at is None:
        return None
    return asked_at if now - asked_again_at <= settings.drain_timeout + settings.member_timeout else None


def is_alive(state: str, last_beat_at: float, *, now: float, settings: EngineSettings) -> bool:
    """Whether a member counts as alive by the engine's clock."""
    return state != MemberState.LEFT.value and now - last_beat_at <= settings.member_timeout


def owner_of(row: Fence) -> MemberId | None:
    """The granted owner of a partition's row."""
    if row.owner_name is None or row.owner_incarnation is None:
        return None
    return MemberId(row.owner_name, row.owner_incarnation)


def holds(row: Fence, member: MemberId, generation: int) -> bool:
    """The fence check on a partition's row (read under its lock where something is written)."""
    return row.generation == generation and owner_of(row) == member


class Refusal(enum.StrEnum):
    """Why a write under ``(member, generation)`` is refused; the reasons of ``obsvc_refused_total``."""

    OLD_GENERATION = "old_generation"  #: granted anew since: the member slept, or the request is late or replayed
    RELEASED = "released"  #: let go of under this generation
    OTHER_INCARNATION = "other_incarnation"  #: granted to another process of that name
    OTHER_MEMBER = "other_member"
    UNKNOWN_GENERATION = "unknown_generation"  #: never granted: another database's, or one restored from a backup


def refusal(row: Fence, member: MemberId, generation: int) -> Refusal | None:
    """Why :func:`holds` says no; None where it says yes."""
    if holds(row, member, generation):
        return None
    if generation > row.generation:
        return Refusal.UNKNOWN_GENERATION
    if row.owner_name == member.name and row.owner_incarnation != member.incarnation:
        return Refusal.OTHER_INCARNATION
    if generation < row.generation:
        return Refusal.OLD_GENERATION
    return Refusal.RELEASED if row.owner_name is None else Refusal.OTHER_MEMBER


def note_refused(
    operation: str, member: MemberId, refused: Sequence[tuple[Fence, int, Refusal]]
) -> None:
    """One line and the metric for the refused items ``(partition's row, generation, why)`` of one request."""
    if not refused:
        return
    for _, _, why in refused:
        metrics.REFUSED.labels(operation=operation, reason=why.value).inc()
    row, generation, why = refused[0]
    LOG.warning(
        "refused of a %s by %s: %d items; first partition %d under generation %d (%s): granted is generation %d to %s",
        operation, member, len(refused), row.partition_id, generation, why.value, row.generation,
        owner_of(row) or "nobody",
    )


def beat(tx: Transaction, said: Beat) -> tuple[tuple[PartitionId, Generation], ...]:
    """Note a beat; what is granted to that incarnation, ascending."""
    table = core.member
    here = (table.c.name == said.member.name) & (table.c.incarnation == said.member.incarnation)
    values = {
        "beat": to_json(said), "state": said.state.value, "caught_up": False, "last_beat_at": tx.now,
    }
    noted = tx.execute(sa.update(table).where(here).values(values))
    if not noted.rowcount:
        tx.execute(
            sa.insert(table).values(
                name=said.member.name, incarnation=said.member.incarnation, first_beat_at=tx.now, **values
            )
        )
    parts = core.partition
    rows = tx.execute(
        sa.select(parts.c.partition_id, parts.c.generation)
        .where(parts.c.owner_name == said.member.name, parts.c.owner_incarnation == said.member.incarnation)
        .order_by(parts.c.partition_id)
    )
    granted = tuple((PartitionId(row.partition_id), Generation(row.generation)) for row in rows)
    # Read with the member's row written, and so in an order with claims: a member whose grant is still on its way to
    # it, or was lost, is caught up with what it knows of and says nothing of that partition.
    if said.caught_up and said.held == len(granted):
        tx.execute(sa.update(table).where(here).values(caught_up=True))
    return granted


def claim(tx: Transaction, request: ClaimRequest) -> ClaimReply:
    """Grant or ask for each claimed partition, under their locks."""
    check_partitions(tx, (claimed.partition for claimed in request.claims))
    reasons = {claimed.partition: claimed.reason for claimed in request.claims}
    rows = tx.lock_partition_rows(reasons)
    owners = _last_beats(tx, rows.values())
    grants: list[Grant] = []
    asked: list[Asked] = []
    granted_rows: list[dict[str, Any]] = []
    asked_rows: list[dict[str, Any]] = []
    for number, row in rows.items():
        owner = owner_of(row)
        last = owners.get(owner) if owner is not None else None
        alive = last is not None and is_alive(last.state, last.last_beat_at, now=tx.now, settings=tx.settings)
        holding = ClaimedPartition(owner, row.claim_id, alive, row.asked_at, row.asked_again_at)
        decision, why = decide(
            holding, request.member, request.claim_id, reasons[number], now=tx.now, settings=tx.settings
        )
        if decision is Decision.ASK:
            assert owner is not None
            since = asked_since(row.asked_at, row.asked_again_at, now=tx.now, settings=tx.settings)
            new = _asked(row, request.member, since, tx.now)
            asked_rows.append(new)
            asked.append(Asked(number, owner, new["asked_at"]))
        elif decision is Decision.REPEAT:
            grants.append(_grant(row))
        else:
            new = _granted(row, request, last, why, tx.now)
            granted_rows.append(new)
            grants.append(_grant(row._replace(**new)))
    _update(tx, granted_rows)
    _update(tx, asked_rows)
    if granted_rows:
        _not_caught_up(tx, request.member)
    if granted_rows or asked_rows:
        tx.touch("partition")
        tx.after_commit(lambda: _note(request.member, granted_rows, asked_rows))
    return ClaimReply(tuple(grants), tuple(asked))


def _not_caught_up(tx: Transaction, member: MemberId) -> None:
    """A new grant makes the member not caught up, whatever its last beat said."""
    table = core.member
    here = (table.c.name == member.name) & (table.c.incarnation == member.incarnation)
    tx.execute(sa.update(table).where(here).values(caught_up=False))


def _note(member: MemberId, granted: list[dict[str, Any]], asked: list[dict[str, Any]]) -> None:
    reasons: dict[str, int] = {}
    for row in granted:
        reasons[row["why"]] = reasons.get(row["why"], 0) + 1
    for why, count in reasons.items():
        metrics.GRANTS.labels(reason=why).inc(count)
    if granted:
        LOG.info("granted %d partitions to %s: %s", len(granted), member, reasons)
    if asked:
        LOG.debug("%s waits for %d partitions of live owners", member, len(asked))


def _granted(
    row: PartitionRow, request: ClaimRequest, last: LastBeat | None, why: DecisionReason, now: float
) -> dict[str, Any]:
    owner = owner_of(row)
    new = {
        "partition_id": row.partition_id, "generation": row.generation + 1, "owner_name": request.member.name,
        "owner_incarnation": request.member.incarnation, "claim_id": request.claim_id, "since": now, "why": why.value,
        "asked_by": None, "asked_at": None, "asked_again_at": None,
    }
    if owner is None:  # what its release (or nobody) left
        return new | {
            "previous_name": row.previous_name, "previous_incarnation": row.previous_incarnation,
            "previous_released": row.previous_released, "previous_caught_up": row.previous_caught_up,
            "previous_last_beat_at": row.previous_last_beat_at,
        }
    # a beat from before its grant knows nothing of it
    knew_of_it = last is not None and row.since is not None and last.last_beat_at >= row.since
    return new | {
        "previous_name": owner.name, "previous_incarnation": owner.incarnation, "previous_released": False,
        "previous_caught_up": last is not None and knew_of_it and last.caught_up,
        "previous_last_beat_at": None if last is None else last.last_beat_at,
    }


def _asked(row: PartitionRow, member: MemberId, since: float | None, now: float) -> dict[str, Any]:
    return {
        "partition_id": row.partition_id, "asked_by": str(member), "asked_at": now if since is None else since,
        "asked_again_at": now,
    }


def _grant(row: PartitionRow) -> Grant:
    return Grant(
        partition=row.partition_id, generation=row.generation, observation_version=row.observation_version,
        previous=_previous(row), released=row.previous_released, previous_caught_up=row.previous_caught_up,
        previous_last_beat_at=row.previous_last_beat_at,
    )


def _previous(row: PartitionRow) -> MemberId | None:
    """Who was granted the partition before."""
    if row.previous_name is None or row.previous_incarnation is None:
        return None
    return MemberId(row.previous_name, row.previous_incarnation)


def _update(tx: Transaction, rows: list[dict[str, Any]]) -> None:
    """Write rows of partitions, all of the same columns, by their ``partition_id``."""
    if rows:
        table = core.partition
        columns = [name for name in rows[0] if name != "partition_id"]
        tx.execute(
            sa.update(table)
            .where(table.c.partition_id == sa.bindparam("number"))
            .values({name: sa.bindparam(f"new_{name}") for name in columns}),
            [{"number": row["partition_id"], **{f"new_{name}": row[name] for name in columns}} for row in rows],
        )


class LastBeat(NamedTuple):
    """What a member's newest beat said of it."""

    name: str
    incarnation: str
    state: str
    caught_up: bool
    last_beat_at: float


def _last_beats(tx: Transaction, rows: Iterable[PartitionRow]) -> dict[MemberId, LastBeat]:
    """The newest beats of the rows' owners."""
    names = sorted({row.owner_name for row in rows if row.owner_name is not None})
    table = core.member
    beats: list[LastBeat] = []
    for chunk in chunks(names):
        query = sa.select(*[table.c[column] for column in LastBeat._fields]).where(table.c.name.in_(chunk))
        beats += map(LastBeat._make, tx.execute(query))
    return {MemberId(last.name, last.incarnation): last for last in beats}


def release(tx: Transaction, request: ReleaseRequest) -> ReleaseReply:
    """Release the partitions that are held under the generation named; others are left as they are."""
    check_partitions(tx, (number for number, _ in request.held))
    rows = tx.lock_partition_rows(number for number, _ in request.held)
    last = _last_beats(tx, rows.values()).get(request.member)
    released: list[PartitionId] = []
    not_held: list[PartitionId] = []
    new_rows: list[dict[str, Any]] = []
    untaken_rows: list[dict[str, Any]] = []
    refused: list[tuple[Fence, int, Refusal]] = []
    untaken = set(request.untaken)
    for number, generation in sorted(set(request.held)):
        row = rows[number]
        if holds(row, request.member, generation):
            vacant = {
                "partition_id": number, "owner_name": None, "owner_incarnation": None, "claim_id": None,
                "since": None, "why": DecisionReason.RELEASED.value,
            }
            released.append(number)
            if number in untaken:  # what the grant said of the owner before stays for the next one
                untaken_rows.append(vacant)
                continue
            new_rows.append(vacant | {
                "previous_name": request.member.name,
                "previous_incarnation": request.member.incarnation, "previous_released": True,
                "previous_caught_up": last is not None and last.caught_up,
                "previous_last_beat_at": tx.now,  # a release is a sign of life as good as a beat
            })
        elif _was_released(row, request.member, generation):
            released.append(number)
        else:
            not_held.append(number)
            why = refusal(row, request.member, generation)
            assert why is not None  # it does not hold the partition: seen above
            refused.append((row, generation, why))
    tx.after_commit(lambda: note_refused("release", request.member, refused))
    _update(tx, new_rows)
    _update(tx, untaken_rows)
    if released_now := len(new_rows) + len(untaken_rows):
        tx.touch("partition")
        tx.after_commit(lambda: LOG.info("%s released %d partitions", request.member, released_now))
    return ReleaseReply(tuple(released), tuple(not_held))


def _was_released(row: PartitionRow, member: MemberId, generation: int) -> bool:
    since = row.generation if row.owner_name is None else row.generation - 1
    return row.previous_released and _previous(row) == member and since == generation


def check_partitions(tx: Transaction, numbers: Iterable[int]) -> None:
    """Raise InvalidInput for a partition that this database does not have."""
    wrong = sorted({number for number in numbers if not 0 <= number < tx.partitions})
    if wrong:
        raise InvalidInput(f"expected partitions from 0 to {tx.partitions - 1}, got {wrong[:5]}")

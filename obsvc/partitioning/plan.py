"""What to claim and what to hand over: pure decisions from the assignment, the grants and who is alive.

The assignment proposes, the engine grants: nothing here makes any member an owner.
"""
from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from obsvc.engine_client.ownership import ClaimReason, PartitionClaim
from obsvc.model import MemberId, PartitionId


def missing(own: str, assignment: Sequence[str], unavailable: Collection[PartitionId]) -> tuple[PartitionId, ...]:
    """Partitions that are assigned to ``own`` and to be claimed, ascending.

    unavailable: those that are held, being released, or resting (:mod:`obsvc.partitioning.grants`).
    """
    return tuple(
        PartitionId(index) for index, name in enumerate(assignment) if name == own and index not in unavailable
    )


def reason_for(own: MemberId, owner: MemberId | None, alive: Collection[str]) -> ClaimReason:
    """Why ``own`` may claim a partition that is granted to ``owner``.

    alive: names in the view that is acted on, and of draining members (they left the view, but still hand over).
    Another incarnation of our own name has vanished: the queues of a name are consumed exclusively, so it can't be at
    work.
    """
    if owner is None or owner == own:
        return ClaimReason.VACANT
    if owner.name == own.name or owner.name not in alive:
        return ClaimReason.VANISHED
    return ClaimReason.PLANNED


def claims(
    own: MemberId,
    wanted: Iterable[PartitionId],
    owners: Mapping[PartitionId, MemberId | None],
    alive: Collection[str],
    *,
    ready: bool,
) -> tuple[PartitionClaim, ...]:
    """One claim for each wanted partition, ascending.

    owners: to whom the engine has granted each.  ready: this member consumes every bus.  While it does not, nothing is
    taken from another incarnation of its name, which may be the one that consumes the queues.
    """
    made = []
    for partition in sorted(wanted):
        owner = owners.get(partition)
        if owner is not None and owner.name == own.name and owner != own and not ready:
            continue
        made.append(PartitionClaim(partition, reason_for(own, owner, alive)))
    return tuple(made)


def to_hand_over(
    own: str, asked: Iterable[PartitionId], held: Collection[PartitionId], assignment: Sequence[str] | None
) -> tuple[PartitionId, ...]:
    """Which of the partitions that other members asked for are handed over now, ascending.

    assignment: by the view that is acted on; None when there is no fresh one, and then the member that asks is
    believed. A partition that our own view assigns to us is kept: the other member's view is behind ours, or ours will
    follow.
    """
    return tuple(
        partition for partition in sorted(set(asked))
        if partition in held and (assignment is None or assignment[partition] != own)
    )

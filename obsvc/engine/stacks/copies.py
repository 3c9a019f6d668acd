"""Which of a stack's copies another goal goes on with.  Pure.

A *slot* is a name in a goal; there may be several copies for it: the one that was current, and obsolete ones that no
cleanup has deleted yet.  The copy of a slot that was complete is worth more than a new one: a rollback finds what it
had before (and the data on it), and so does an update that undoes the one before.
"""
from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


class CopyState(enum.StrEnum):
    """How far a copy is."""

    NOT_STARTED = "not_started"  #: no worker ever had its create: there is nothing in the cloud
    CREATING = "creating"  #: its create is under way
    COMPLETED = "completed"  #: it has been complete
    UNCERTAIN = "uncertain"  #: its create was begun and failed, or its result is unknown
    DELETING = "deleting"  #: its deletion was begun


@dataclass(frozen=True)
class Copy:
    """One copy of a slot.  goal: version that it was last complete for.  completed_at: seconds since the epoch."""

    node_id: str
    slot: str
    type: str
    state: CopyState
    obsolete: bool = False
    goal: int | None = None
    completed_at: float | None = None


def choose_copies(wanted: Mapping[str, str], copies: Iterable[Copy], *, prefer: int | None = None) -> dict[str, str]:
    """The copy (node id) for each slot that has a usable one.

    wanted: type by slot.  prefer: the goal of a rollback: what was complete for it comes before anything else.
    """
    best: dict[str, tuple[tuple[float, ...], str]] = {}
    for copy in copies:
        rank = _rank(copy, prefer)
        if rank is None or wanted.get(copy.slot) != copy.type:
            continue
        candidate = (rank, copy.node_id)
        if copy.slot not in best or candidate > best[copy.slot]:
            best[copy.slot] = candidate
    return {slot: node_id for slot, (_, node_id) in best.items()}


def _rank(copy: Copy, prefer: int | None) -> tuple[float, ...] | None:
    """None for a copy that can't be used; of others the highest is the best."""
    when = copy.completed_at or 0.0
    if copy.state is CopyState.COMPLETED:
        if prefer is not None and copy.goal == prefer:
            return (3, when)
        return (1, when) if copy.obsolete else (2, when)
    if copy.obsolete or copy.state not in (CopyState.CREATING, CopyState.NOT_STARTED):
        return None
    return (2, 0.0) if copy.state is CopyState.CREATING else (0, 0.0)

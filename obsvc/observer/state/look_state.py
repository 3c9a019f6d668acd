"""What is kept of a ref between the looks at it.  Immutable values; any thread.

Kept by :class:`obsvc.observer.state.holdings.Holdings`, made and read by the policy of looks
(:mod:`obsvc.observer.looks.policy`).
"""
from __future__ import annotations

from dataclasses import dataclass

from obsvc.model import Condition, Snapshot


@dataclass(frozen=True, slots=True)
class SettlePlan:
    """Which settle looks are still due.

    announced: a state that a notification announced and no look has shown yet.
    steps: how many looks were made for it so far.
    not_before: monotonic time before which the settle look itself is not made; None: none is due.
    """

    announced: str | None = None
    steps: int = 0
    not_before: float | None = None


NOTHING_TO_SETTLE = SettlePlan()


@dataclass(frozen=True, slots=True)
class LookState:
    """What the policy knows of one observed ref.

    known_since: monotonic time at which its observation began, or was learnt of.
    wanted, deadline: as the engine last said (``deadline`` in seconds since the epoch by its clock).
    last: the newest snapshot, of this member or as it came with the grant.
    settle: which settle looks are still due.
    absent_since: monotonic time of the first of the 404s in a row that are not confirmed yet; absences: how many.
    polls: looks without news since the last news.
    order: the newest snapshot's place among the resource's changes; None where that is not known (another member's
        snapshot always).
    """

    known_since: float
    wanted: tuple[Condition, ...] = ()
    deadline: float | None = None
    last: Snapshot | None = None
    settle: SettlePlan = NOTHING_TO_SETTLE
    absent_since: float | None = None
    absences: int = 0
    polls: int = 0
    order: float | None = None

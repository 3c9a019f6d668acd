"""The life of a member as an owner of partitions: its stages, and what it does in each.  Pure; no thread, no clock.

::

    STARTING ──> JOINING ──> ACTIVE          left: an operator drains nobody; right: drained
        │           │  ^        │ ^
        │           │  └─────┐  │ └─────┐
        v           v        │  v       │
        └────────> DRAINED <─┴─ DRAINING┘         from anywhere: drain() ──> ENDING, stop() ──> LEFT

The stage is all that is remembered of this.  What follows from it in a given situation, and when to look again, is
:func:`decide`; tests read it as a table.
"""
from __future__ import annotations

import enum

import msgspec

from obsvc.engine_client.ownership import ASK_STANDS, MemberState

#: Upper bound on the seconds between two looks at whether the worker is ready (else a beat).
SOON = 0.5

#: Beats by which another member's view may be newer than ours while both lost the backend at the same moment.
ASKER_BEATS = 2

_NEVER = float("-inf")


class Stage(enum.StrEnum):
    """Where a member is in its life."""

    STARTING = "starting"  #: not in the group; the engine has not said yet whether an operator drains this member
    JOINING = "joining"  #: not in the group, and joins it as soon as the worker is ready
    ACTIVE = "active"  #: in the group; claims what is assigned to it and hands over what is assigned to others
    DRAINING = "draining"  #: drained by an operator; in the group until the engine has acknowledged that it drains
    DRAINED = "drained"  #: drained by an operator and out of the group; works on until it is asked for what it holds
    ENDING = "ending"  #: this process ends: everything is handed over, whether anybody asks for it or not
    LEFT = "left"  #: over: the goodbye to the engine is all that is left to do

    @property
    def member_state(self) -> MemberState:
        """As the engine and other members are told."""
        return _MEMBER_STATES[self]

    @property
    def leaving(self) -> bool:
        """Takes nothing; gives whatever is asked for."""
        return self in (Stage.DRAINING, Stage.DRAINED, Stage.ENDING, Stage.LEFT)


_MEMBER_STATES = {
    Stage.STARTING: MemberState.JOINING,
    Stage.JOINING: MemberState.JOINING,
    Stage.ACTIVE: MemberState.ACTIVE,
    Stage.DRAINING: MemberState.DRAINING,
    Stage.DRAINED: MemberState.DRAINING,
    Stage.ENDING: MemberState.DRAINING,
    Stage.LEFT: MemberState.LEFT,
}


def after_beat(stage: Stage, *, drained: bool) -> Stage:
    """The stage that follows the engine's answer to a beat.  drained: by an operator."""
    match stage:
        case Stage.STARTING | Stage.JOINING:
            return Stage.DRAINED if drained else Stage.JOINING
        case Stage.ACTIVE:
            return Stage.DRAINING if drained else Stage.ACTIVE
        case Stage.DRAINING:
            return Stage.DRAINING if drained else Stage.ACTIVE
        case Stage.DRAINED:
            return Stage.DRAINED if drained else Stage.JOINING
        case _:
            return stage


def after_step(stage: Stage, *, ready: bool, acknowledged: MemberState | None) -> Stage:
    """The stage that the member goes on to by itself.

    ready: the worker is.  acknowledged: the state in the newest beat that the engine answered.  Until the engine knows
    that a member drains, its leaving the group would look as if it had vanished, and its partitions would be taken.
    """
    if stage is Stage.JOINING and ready:
        return Stage.ACTIVE
    if stage is Stage.DRAINING and acknowledged is MemberState.DRAINING:
        return Stage.DRAINED
    return stage


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """What a member sees.  All times are monotonic seconds, ``-inf`` for never.

    lease, beat_interval: seconds.  leaving_since: since when this member takes nothing.  view_seen_at: when the newest
    view of the group was read; in_view: this member is in it.  view_due_at: when a view that differs from the one acted
    on is to be acted on; None: there is none.  claim_unknown: a claim's answer was lost.  claim_at: when a claim may be
    made again.  has_assignment: a view with members in it was acted on.
    """

    now: float
    lease: float
    beat_interval: float
    leaving_since: float = _NEVER
    view_seen_at: float = _NEVER
    in_view: bool = False
    view_due_at: float | None = None
    claim_unknown: bool = False
    claim_at: float = _NEVER
    has_assignment: bool = False

    @property
    def view_is_fresh(self) -> bool:
        return self.now - self.view_seen_at <= self.lease


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What to do now, and when to look again.

    hand_over_everything: also what nobody asked for.  judge_by_assignment: of what others ask for, only what our
    assignment does not give to us is handed over; False: they know better.  asked_after: monotonic seconds, older asks
    don't count.  resend_claim: the claim whose answer was lost is sent again; False: it is dropped.  claim: what is
    assigned to us and not held is claimed.  again_in: seconds.
    """

    hand_over_everything: bool
    judge_by_assignment: bool
    asked_after: float
    resend_claim: bool
    claim: bool
    again_in: float


def decide(stage: Stage, situation: Situation) -> Decision:
    """What a member in ``stage`` does in ``situation``."""
    fresh = situation.view_is_fresh
    judge_by_assignment = not stage.leaving and fresh and situation.has_assignment
    if stage.leaving:
        asked_after = situation.leaving_since
    elif judge_by_assignment:
        asked_after = _NEVER
    else:
        # A view that is too old says nothing; but as long as the others' may be as old, neither does their asking: with
        # the backend away for everybody, what is released would be nobody's until it is back.
        asked_after = situation.view_seen_at + situation.lease + ASKER_BEATS * situation.beat_interval + ASK_STANDS
    return Decision(
        hand_over_everything=stage is Stage.ENDING,
        judge_by_assignment=judge_by_assignment,
        asked_after=asked_after,
        resend_claim=not stage.leaving and fresh,
        claim=(
            stage is Stage.ACTIVE and fresh and situation.in_view and not situation.claim_unknown
            and situation.now >= situation.claim_at
        ),
        again_in=_again_in(stage, situation),
    )


def _again_in(stage: Stage, situation: Situation) -> float:
    times = [situation.now + situation.beat_interval]
    if situation.claim_at > situation.now:
        times.append(situation.claim_at)
    if situation.view_due_at is not None:
        times.append(situation.view_due_at)
    if stage in (Stage.STARTING, Stage.JOINING, Stage.DRAINED):
        times.append(situation.now + min(SOON, situation.beat_interval))
    return max(0.01, min(times) - situation.now)

"""Messages about the trail of one ref: what its owner did with it lately, and why it was or was not fetched.

A trail lives in its owner's memory.  Who wants it asks the engine, which tells the owner with its next ``follow``; the
owner tells the trail, and the engine hands it on.  All times are seconds since the epoch by the engine's clock.
"""
from __future__ import annotations

import msgspec

from obsvc.model import Generation, MemberId, Ref

#: Seconds that an owner is told of an ask: who asked has given up by then.
ASK_STANDS = 5.0


class TrailEvent(msgspec.Struct, frozen=True):
    """what: notified, look, seen, verdict, marked or held.  text: in a few words."""

    at: float
    what: str
    text: str


class Trail(msgspec.Struct, frozen=True, omit_defaults=True):
    """why: one sentence on what is due and why.  next_at, next_cause: of the next look, None where none is due.
    events: the newest, oldest first.  Nothing of a payload is in it."""

    told_at: float
    why: str
    next_at: float | None = None
    next_cause: str | None = None
    events: tuple[TrailEvent, ...] = ()


class TrailRequest(msgspec.Struct, frozen=True):
    """Wait up to ``wait`` seconds for the owner to tell the trail of an observed ref; NotFound for none."""

    ref: Ref
    wait: float = 2.0


class TrailReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """trail: None where the owner did not tell it in time.  member: who told it."""

    trail: Trail | None = None
    member: MemberId | None = None


class TrailAnswer(msgspec.Struct, frozen=True):
    """generation: under which the teller holds the ref's partition; another's is passed over."""

    ref: Ref
    generation: Generation
    trail: Trail


class TellTrailsRequest(msgspec.Struct, frozen=True):
    """What ``follow`` asked for."""

    member: MemberId
    trails: tuple[TrailAnswer, ...]

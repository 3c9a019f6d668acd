"""Which membership view to act on: pure decisions from the view and the time.

A view is acted on only after it has been stable for a while; how long depends on how likely it is to be wrong:

- an ordinary change: ``settle`` seconds, so that a burst (a rolling restart, ten members starting) is one change; a
  burst that does not end is acted on after two beats nevertheless;
- a view without this member, one that lost more than one member at once, or any loss just after the connection was
  disturbed: two whole beats.  A wiped or restarted backend looks exactly like this, and heals within a beat;
- a view without a member whose heartbeat still reaches the engine: a lease.  Such a member is alive and joins again as
  soon as the coordination backend lets it; if it stays cut off for longer, it is asked to hand over.
"""
from __future__ import annotations

from collections.abc import Collection

import msgspec

#: Beats for which a doubtful view must be stable.
DOUBTFUL_BEATS = 2

#: Part of a beat for which an ordinary change must be stable, and the upper bound on that in seconds.
SETTLE_PART = 0.25
SETTLE_MAX = 0.5


class ViewState(msgspec.Struct, frozen=True):
    """What was acted on, what is seen now, and since when; methods return the state that follows.

    acted: member names from which the assignment is computed, None before the first.  seen: the newest names.
    since: monotonic seconds when ``seen`` was first seen; changing_since: when it first differed from ``acted``.
    patience: seconds for which a view must be stable that lacks a member at work.  again_at: when to ask again which
    are.
    """

    own: str
    beat_interval: float
    patience: float = 0.0
    acted: tuple[str, ...] | None = None
    seen: tuple[str, ...] | None = None
    since: float = 0.0
    changing_since: float = 0.0
    disturbed: bool = False
    again_at: float = float("-inf")

    def saw(self, names: tuple[str, ...], now: float, *, disturbed: bool = False) -> ViewState:
        """A view with these names (sorted) was read at ``now``."""
        if names == self.seen:
            return msgspec.structs.replace(self, disturbed=self.disturbed or disturbed)
        changing_since = self.changing_since if self.changing else now
        return msgspec.structs.replace(
            self, seen=names, since=now, changing_since=changing_since, disturbed=disturbed
        )

    def settled(self, now: float, at_work: Collection[str] = ()) -> ViewState:
        """Act on what is seen if it has been stable for long enough.

        at_work: those of ``lost`` that the engine hears; to be found out when :meth:`is_due`.
        """
        if not self.is_due(now):
            return self
        if self.lost.intersection(at_work) and now < self.since + self.patience:
            return msgspec.structs.replace(self, again_at=now + self.beat_interval / 2)
        return msgspec.structs.replace(self, acted=self.seen, disturbed=False)

    def due_at(self) -> float | None:
        """When what is seen now may be acted on, monotonic seconds; None when there is nothing to act on."""
        if not self.changing:
            return None
        doubted = DOUBTFUL_BEATS * self.beat_interval
        if self.doubtful:
            return max(self.since + doubted, self.again_at)
        settle = min(SETTLE_MAX, SETTLE_PART * self.beat_interval)
        return max(min(self.since + settle, self.changing_since + doubted), self.again_at)

    def is_due(self, now: float) -> bool:
        due = self.due_at()
        return due is not None and now >= due

    @property
    def lost(self) -> frozenset[str]:
        """Names that were acted on and are not seen now."""
        return frozenset(self.acted or ()) - frozenset(self.seen or ())

    @property
    def changing(self) -> bool:
        return self.seen is not None and self.seen != self.acted

    @property
    def doubtful(self) -> bool:
        """Whether the newest view may well be wrong."""
        if self.seen is None:
            return False
        lost = len(self.lost)
        return self.own not in self.seen or lost > 1 or (self.disturbed and lost > 0)

"""Whom the ring proposes for each partition, as any member would compute it from the membership now.

Cached for about a second and read by one thread at a time, so the coordination backend is asked no more often than by
a member, however many callers there are.  While it is unavailable there is no proposal, and a note says so.
"""
from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from obsvc.exceptions import one_line
from obsvc.model import MemberId
from obsvc.process.clock import Clock, SystemClock

LOG = logging.getLogger(__name__)

#: Seconds that a membership counts as current.
FRESH = 1.0
#: Seconds that a failure is remembered: a dead backend takes long to time out.
FAILED = 5.0


@dataclass(frozen=True)
class Proposal:
    """owners: member name by partition, empty without members.  members: in the group now.  note: why there is none."""

    owners: tuple[str, ...] = ()
    members: tuple[MemberId, ...] = ()
    note: str | None = None

    def owner(self, partition: int) -> str | None:
        return self.owners[partition] if partition < len(self.owners) else None


class Ring:
    """``read`` lists the group's members; ``assign`` maps their names to owners.  Any thread may call."""

    def __init__(
        self,
        read: Callable[[], Sequence[MemberId]],
        assign: Callable[[Sequence[str], int], tuple[str, ...]],
        *,
        clock: Clock | None = None,
    ) -> None:
        self._read = read
        self._assign = assign
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._until = float("-inf")
        self._proposal = Proposal(note="not read yet")

    def proposal(self, partitions: int) -> Proposal:
        """The proposal for ``partitions`` partitions, at most about a second old."""
        with self._lock:
            if self._clock.monotonic() >= self._until:
                self._proposal = self._fresh(partitions)
                self._until = self._clock.monotonic() + (FAILED if self._proposal.note else FRESH)
            return self._proposal

    def _fresh(self, partitions: int) -> Proposal:
        try:
            members = tuple(sorted(self._read()))
        except Exception as error:  # noqa: BLE001 - tooz's drivers raise what their libraries raise
            LOG.warning("the coordination backend can't be read: %s: %s", type(error).__name__, error)
            return Proposal(note=f"the coordination backend can't be read: {one_line(error)}")
        names = tuple(sorted({member.name for member in members}))
        if not names:
            return Proposal(note="no member is in the group")
        if len(self._proposal.owners) == partitions and names == _names(self._proposal.members):
            return Proposal(self._proposal.owners, members)
        return Proposal(self._assign(names, partitions), members)


def _names(members: Sequence[MemberId]) -> tuple[str, ...]:
    return tuple(sorted({member.name for member in members}))

"""Which asks for a partition each member was told lately, so that its next ``follow`` waits instead of repeating them.

Kept in memory by each engine process: another process, or this one after a restart, tells an ask once more, which does
no harm.
"""
from __future__ import annotations

import threading
import time
from collections.abc import Callable

from obsvc.model import MemberId, PartitionId

#: Seconds before an owner is told again that a partition is asked for, should the first answer have been lost.
TOLD_AGAIN = 3.0

#: Asks remembered before the old ones are swept out.
REMEMBERED = 10_000


class RecentAsks:
    """Any thread may call.  now: seconds of a clock that only rises."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._told_at: dict[tuple[MemberId, PartitionId], float] = {}

    def any_new(self, member: MemberId, asked: tuple[PartitionId, ...]) -> bool:
        """Whether one of ``asked`` was not told to ``member`` within TOLD_AGAIN seconds."""
        now = self._now()
        with self._lock:
            return any(now - self._told_at.get((member, number), -TOLD_AGAIN) >= TOLD_AGAIN for number in asked)

    def told(self, member: MemberId, asked: tuple[PartitionId, ...]) -> None:
        """``asked`` is in the answer that goes to ``member`` now."""
        now = self._now()
        with self._lock:
            if len(self._told_at) > REMEMBERED:
                self._told_at = {ask: at for ask, at in self._told_at.items() if now - at < TOLD_AGAIN}
            self._told_at.update({(member, number): now for number in asked})

    @property
    def remembered(self) -> int:
        """How many asks are remembered now."""
        return len(self._told_at)

"""The table of what this member was granted.  Thread-safe; no effects beside its own state.

A partition is *held* from its grant until it is lost or its release begins, and *releasing* from then until the
engine has answered the release.  It is *resting* for a pause after it was lost, so that two members with different
views do not keep taking it from each other.
"""
from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping

from obsvc.model import Generation, PartitionId


class Grants:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[PartitionId, Generation] = {}
        self._releasing: dict[PartitionId, Generation] = {}
        self._untaken: set[PartitionId] = set()  # of those that are being released
        self._resting: dict[PartitionId, float] = {}
        self._orphans: set[tuple[PartitionId, Generation]] = set()

    def held(self) -> dict[PartitionId, Generation]:
        """A copy of what is held."""
        with self._lock:
            return dict(self._held)

    def count(self) -> int:
        return len(self._held)

    def generation(self, partition: PartitionId) -> Generation | None:
        return self._held.get(partition)

    def idle(self) -> bool:
        """Nothing is held and nothing waits for the answer to its release."""
        with self._lock:
            return not self._held and not self._releasing

    def grant(self, partition: PartitionId, generation: Generation) -> Generation | None:
        """Hold it.  Returns the generation under which it was held before, if it was."""
        with self._lock:
            before = self._held.get(partition)
            self._held[partition] = generation
            self._resting.pop(partition, None)
            return before if before != generation else None

    def drop(self, partition: PartitionId, generation: Generation, *, rest_until: float | None = None) -> bool:
        """Stop holding it, if it is held under exactly this generation; it may be claimed again after
        ``rest_until``."""
        with self._lock:
            if self._held.get(partition) != generation:
                return False
            del self._held[partition]
            if rest_until is not None:
                self._resting[partition] = rest_until
            return True

    def begin_release(self, partition: PartitionId, generation: Generation, *, taken: bool = True) -> bool:
        with self._lock:
            if self._held.get(partition) != generation:
                return False
            self._releasing[partition] = self._held.pop(partition)
            if not taken:
                self._untaken.add(partition)
            return True

    def untaken(self, partitions: Iterable[PartitionId]) -> tuple[PartitionId, ...]:
        """Those of ``partitions``, which are being released, that were never taken over."""
        with self._lock:
            return tuple(partition for partition in partitions if partition in self._untaken)

    def releasing(self) -> tuple[tuple[PartitionId, Generation], ...]:
        """What is being released, ascending."""
        with self._lock:
            return tuple(sorted(self._releasing.items()))

    def end_release(self, partitions: Iterable[PartitionId]) -> None:
        with self._lock:
            for partition in partitions:
                self._releasing.pop(partition, None)
                self._untaken.discard(partition)

    def unavailable(self, now: float, seen_at: float) -> Collection[PartitionId]:
        """Partitions not to be claimed now: held, releasing, or resting.

        seen_at: when the view that would assign them was read; it must be newer than the end of a rest.
        """
        with self._lock:
            for partition in [p for p, until in self._resting.items() if now >= until and seen_at >= until]:
                del self._resting[partition]
            return self._held.keys() | self._releasing.keys() | self._resting.keys()

    def gone(
        self, before: Mapping[PartitionId, Generation], granted: Collection[tuple[PartitionId, Generation]]
    ) -> list[tuple[PartitionId, Generation]]:
        """What was held before the engine was asked, and is not among what it says is granted.  Ascending."""
        granted = set(granted)
        return sorted(item for item in before.items() if item not in granted)

    def orphans(self, granted: Collection[tuple[PartitionId, Generation]]) -> list[tuple[PartitionId, Generation]]:
        """What the engine says is granted and is not known here, twice in a row: the answer was lost.

        Once is not enough: the answer may still be under way.
        """
        with self._lock:
            unknown = {
                (partition, generation) for partition, generation in granted
                if partition not in self._held and partition not in self._releasing
            }
            again = unknown & self._orphans
            self._orphans = unknown - again
            return sorted(again)

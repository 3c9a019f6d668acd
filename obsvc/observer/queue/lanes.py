"""The refs that are due, in order: two priorities, FIFO, and no lane ever in another's way.

A *lane* is what shares one fate: a service in a region.  Looks of a lane that may not go on now (its breaker is open,
its budget is spent, it has its share of the threads) stay where they are and cost nothing; the looks behind them in
other lanes go on.  Among the lanes that may go on, the order is first in, first out.

Not thread-safe: guarded by the queue's lock.
"""
from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Protocol

from obsvc.model import Ref
from obsvc.observer.fetching.gate import ServiceLane
from obsvc.observer.queue.entry import Priority

#: One in this many takes belongs to the lower priority when both wait: enough that polls go on in a storm of
#: notifications, little enough that a takeover's polls do not delay those.
LOWER_SHARE = 5

#: How many refs of one lane and priority are searched for those alike: it is done under the queue's lock.
ALIKE_SEARCHED = 500

class Gate(Protocol):
    """Whether a look of a lane may begin; called under the queue's lock, so it must be quick and never block."""

    def enter(self, lane: ServiceLane, now: float) -> float:
        """0.0: entered, and :meth:`leave` must follow.  Else seconds until it is worth asking again (inf: when
        a look has left)."""

    def leave(self, lane: ServiceLane, now: float) -> None:
        """The look that entered is over."""

    def shut(self, lane: ServiceLane, now: float) -> bool:
        """True while the lane is closed for a reason other than being busy."""


def one_lane(ref: Ref) -> ServiceLane:
    """All refs share one fate."""
    return "", ""


class OpenGate:
    """Lets everything through."""

    def enter(self, lane: ServiceLane, now: float) -> float:
        return 0.0

    def leave(self, lane: ServiceLane, now: float) -> None:
        return None

    def shut(self, lane: ServiceLane, now: float) -> bool:
        return False


class Lanes:
    """The due refs of every lane and priority."""

    def __init__(self, lane_of: Callable[[Ref], ServiceLane], *, lower_share: int = LOWER_SHARE) -> None:
        self._lane_of = lane_of
        self._lower_share = lower_share

        #: By priority, lane → ref → place in the overall order.  The refs of a lane are in that order; none is empty.
        self._waiting: Mapping[Priority, dict[ServiceLane, OrderedDict[Ref, int]]] = {
            Priority.HIGH: {}, Priority.LOW: {}}

        #: The newest place that was given; each is given once.
        self._order = 0

        #: Takes of the higher priority while the lower waited, since the lower had its turn.
        self._since_lower = 0

        #: How many refs wait in all lanes together.
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def lane_of(self, ref: Ref) -> ServiceLane:
        return self._lane_of(ref)

    def depths(self) -> dict[ServiceLane, int]:
        """How many wait in each lane."""
        depths: dict[ServiceLane, int] = {}
        for lanes in self._waiting.values():
            for lane, refs in lanes.items():
                depths[lane] = depths.get(lane, 0) + len(refs)
        return depths

    def push(self, ref: Ref, priority: Priority) -> None:
        """Put ``ref`` (not in here yet) last."""
        self._order += 1
        self._waiting[priority].setdefault(self._lane_of(ref), OrderedDict())[ref] = self._order
        self._size += 1

    def remove(self, ref: Ref, priority: Priority) -> None:
        """Take ``ref`` out, whatever its place."""
        lane = self._lane_of(ref)
        refs = self._waiting[priority][lane]
        del refs[ref]
        self._size -= 1
        if not refs:
            del self._waiting[priority][lane]

    def take(self, gate: Gate, now: float) -> tuple[Ref | None, float]:
        """The next ref that may go on, having entered the gate; else None and the seconds until asking again."""
        if not self._size:
            return None, float("inf")
        lower_first = bool(self._waiting[Priority.LOW]) and self._since_lower >= self._lower_share - 1
        order = (Priority.LOW, Priority.HIGH) if lower_first else (Priority.HIGH, Priority.LOW)
        refused: dict[ServiceLane, float] = {}
        for priority in order:
            ref = self._take_from(priority, gate, now, refused)
            if ref is not None:
                self._count_take(priority)
                return ref, 0.0
        return None, min(refused.values(), default=float("inf"))

    def take_alike(self, lane: ServiceLane, fits: Callable[[Ref], bool], most: int) -> list[Ref]:
        """Up to ``most`` further refs of a lane that was entered, in order, without entering it again."""
        taken: list[Ref] = []
        for priority, lanes in self._waiting.items():
            alike = [ref for ref in itertools.islice(lanes.get(lane, ()), ALIKE_SEARCHED) if fits(ref)]
            for ref in alike[:most - len(taken)]:
                self.remove(ref, priority)
                taken.append(ref)
        return taken

    def _take_from(self, priority: Priority, gate: Gate, now: float, refused: dict[ServiceLane, float]) -> Ref | None:
        lanes = self._waiting[priority]
        for lane in sorted(lanes, key=lambda name: next(iter(lanes[name].values()))):
            if lane in refused:
                continue
            wait = gate.enter(lane, now)
            if wait > 0:
                refused[lane] = wait
                continue
            ref = next(iter(lanes[lane]))
            self.remove(ref, priority)
            return ref
        return None

    def _count_take(self, priority: Priority) -> None:
        """A ref of ``priority`` was taken."""
        if priority is Priority.LOW or not self._waiting[Priority.LOW]:
            self._since_lower = 0
        else:
            self._since_lower += 1

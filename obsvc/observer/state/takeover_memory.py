"""Takeover memory: which refs this member dropped lately, and whether that makes up for an owner that is gone.

Every member hears every notification and drops what it does not own.  It remembers for a while what it dropped, so that
when it gains a partition it can look at just those refs that the last owner may not have finished, instead of at every
observed one.  Where the memory does not reach, the partition is *resynced*: each of its observed refs gets one paced
look with low priority.

:class:`TakeoverMemory` may be called from any thread; ``drop`` is on the path of every notification that is not
ours and costs little more than an append to a list.  :func:`decide` is pure.
"""
from __future__ import annotations

import enum
import threading
from collections import OrderedDict
from dataclasses import dataclass

from obsvc.engine_client.ownership import Grant
from obsvc.model import PartitionId, Ref, partition
from obsvc.process.clock import Clock

#: Drops that are noted before they are sorted in.
_SORTED_AT = 1000

#: Seconds by which two members may hear one message apart while both are caught up.  After a clean hand-over the marks
#: speak for all that the old owner heard before it let go; this covers what it heard later and the new owner heard
#: before its grant.  Over a loopback or a LAN it is milliseconds; two seconds is a stuttering broker.
HEARING_SKEW = 2.0


class TakeoverMemory:
    """A window of dropped refs, bounded in time and in number.

    What is dropped is noted, and sorted in a thousand at a time or when the memory is read: a busy ref is dropped
    dozens of times in between.

    window: seconds that a ref is remembered.  since: monotonic time from which everything is remembered; None: now,
    for a memory that begins empty.  limit: most refs; beyond it the oldest are forgotten early, and
    ``reaches_back_to`` says so.
    """

    def __init__(
        self, *, window: float, limit: int, partitions: int, clock: Clock, since: float | None = None
    ) -> None:
        self._window = window
        self._limit = limit
        self._partitions = partitions
        self._clock = clock
        self._lock = threading.Lock()
        self._dropped: OrderedDict[Ref, float] = OrderedDict()  # oldest first: a ref dropped again moves to the end
        self._newest: list[tuple[Ref, float]] = []  # not sorted in yet
        self._forgot_until = clock.monotonic() if since is None else since
        # everything dropped after this moment and in the window is here

    def __len__(self) -> int:
        with self._lock:
            self._sort_in()
            return len(self._dropped)

    def drop(self, ref: Ref) -> None:
        """Remember that a notification about ``ref`` was dropped now."""
        with self._lock:
            self._newest.append((ref, self._clock.monotonic()))
            if len(self._newest) >= _SORTED_AT:
                self._sort_in()

    def _sort_in(self) -> None:
        """Under the lock."""
        dropped = self._dropped
        for ref, when in dict(self._newest).items():
            dropped[ref] = when
            dropped.move_to_end(ref)
        self._newest.clear()
        before = self._clock.monotonic() - self._window
        while dropped:
            oldest, when = next(iter(dropped.items()))
            if len(dropped) > self._limit:
                self._forgot_until = max(self._forgot_until, when)
            elif when > before:
                break
            del dropped[oldest]

    def dropped_at(self, ref: Ref) -> float | None:
        """The monotonic time at which a notification about ``ref`` was dropped last; None: not within the window."""
        with self._lock:
            self._sort_in()
            return self._dropped.get(ref)

    def reaches_back_to(self) -> float:
        """The monotonic time after which every dropped ref is still here."""
        with self._lock:
            self._sort_in()
            return max(self._forgot_until, self._clock.monotonic() - self._window)

    def recall(self, since: dict[PartitionId, float]) -> dict[PartitionId, list[Ref]]:
        """The refs of each partition named that were dropped at or after its monotonic time."""
        recalled: dict[PartitionId, list[Ref]] = {number: [] for number in since}
        with self._lock:
            self._sort_in()
            dropped = list(self._dropped.items())
        for ref, when in dropped:
            number = partition(ref, self._partitions)
            if number in since and when >= since[number]:
                recalled[number].append(ref)
        return recalled


class Remedy(enum.StrEnum):
    """What a gained partition needs beyond the looks that its list asks for anyway: marks and first looks."""

    NOTHING = "nothing"  #: nobody owned it before: the first look at whatever is observed there is still to come
    MEMORY = "memory"  #: look at the observed refs dropped since ``since``
    RESYNC = "resync"  #: look at every observed ref once, paced


@dataclass(frozen=True)
class Takeover:
    """since: monotonic seconds, for MEMORY.  why: a few words for the log."""

    remedy: Remedy
    why: str
    since: float = 0.0


def decide(
    grant: Grant, *, now: float, engine_now: float, heard_since: float | None, reaches_back_to: float,
    allowed_lag: float,
) -> Takeover:
    """Whether the memory makes up for the partition's last owner.

    now: monotonic seconds.  engine_now: the engine's clock at the same moment.  heard_since: monotonic time since
    which every bus was heard without a gap; None when one is not.  reaches_back_to: as the memory says.
    allowed_lag: seconds that a member which calls itself caught up may lag behind.

    After a release the marks speak for all that the owner had heard; what remains are the notifications between its
    letting go and this grant.  After an owner that vanished: all that it may not have settled, which is what came later
    than ``allowed_lag`` before its last beat, if that beat said "caught up".
    """
    if grant.previous is None:
        return Takeover(Remedy.NOTHING, "never owned before")
    if grant.previous_last_beat_at is None or not (grant.released or grant.previous_caught_up):
        return Takeover(Remedy.RESYNC, "the last owner was not caught up")
    if engine_now < grant.previous_last_beat_at - HEARING_SKEW:
        return Takeover(Remedy.RESYNC, "the engine's clock went back")
    last_sign = now - max(0.0, engine_now - grant.previous_last_beat_at)
    since = last_sign - (HEARING_SKEW if grant.released else allowed_lag)
    if heard_since is None or heard_since > (last_sign if grant.released else since):
        return Takeover(Remedy.RESYNC, "not every bus was heard without a gap for long enough")
    if reaches_back_to > since:
        return Takeover(Remedy.RESYNC, "the memory does not reach back far enough")
    return Takeover(Remedy.MEMORY, "released" if grant.released else "heard everything meanwhile", since=since)

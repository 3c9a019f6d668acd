"""What this member holds: its partitions, each under one generation, and the observed refs in them.

A partition is first *loading*: granted, but its list of observed refs is not complete, so that a ref which is not
in it may still be observed.  Notifications are kept as *dirty* until it is *complete* to an observation version; from
there on ``follow`` brings each start, stop and mark.  While it is *handed over* no new work is begun in it.

Locking rule: one lock guards everything that changes; nothing is called out of this module while it is held.  Only
``ref_status`` reads without it, for the notifications that are not ours: it reads the partition's slot, one element of
a list that is replaced whole.  Whoever acts on NOT_OWNED or NOT_OBSERVED by *recording* something must ask again
after the recording: a grant puts its slot in place before anybody reads those records.

Any thread may call.  No method blocks on anything but the lock.
"""
from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeVar

import msgspec

from obsvc.engine_client.ownership import Grant, ObservedRef, PartitionChanges
from obsvc.engine_client.reports import ReportOutcome, Verdict
from obsvc.model import Generation, PartitionId, Ref, Snapshot, partition
from obsvc.observer.state.look_state import LookState
from obsvc.observer.state.values import (
    AfterReport,
    AppliedChanges,
    CompletedList,
    LookTimes,
    RefStatus,
    Task,
)

T = TypeVar("T")

#: Looked up once, see :mod:`obsvc.observer.intake.intake`.
_NOT_OWNED, _NOT_OBSERVED, _OBSERVED = RefStatus.NOT_OWNED, RefStatus.NOT_OBSERVED, RefStatus.OBSERVED

__all__ = ["AfterReport", "AppliedChanges", "CompletedList", "Holdings", "LookTimes", "RefStatus", "Task"]


class _HeldRef:
    """One observed ref.

    cleared_mark: the highest mark that an accepted report of ours cleared.  begun_mark: the highest that a look began
    with, and so the highest that any report to come may clear.

    looks_requested: rises with each reason for a look that is not a mere poll.  looks_answered: up to where looks have
    answered them.  While it is behind ``looks_requested``, the ref must be marked if we lose it.
    """

    __slots__ = ("observed", "look", "cleared_mark", "begun_mark", "looks_requested", "looks_answered", "look_times")

    def __init__(self, observed: ObservedRef, look: LookState) -> None:
        self.observed = observed
        self.look = look
        self.cleared_mark = 0
        self.begun_mark = 0
        self.looks_requested = 0
        self.looks_answered = 0
        self.look_times = LookTimes()

    @property
    def awaits_look(self) -> bool:
        return self.looks_requested > self.looks_answered


class _HeldPartition:
    """One partition under its grant.  taken_over: see :meth:`Holdings.took_over`."""

    __slots__ = ("complete", "dirty", "grant", "handing_over", "loaded_once", "loading", "refs", "taken_over",
                 "version")

    def __init__(self, grant: Grant) -> None:
        self.grant = grant
        self.version = -1
        self.complete = False
        self.handing_over = False
        self.loaded_once = False
        self.taken_over = False
        self.refs: dict[Ref, _HeldRef] = {}
        self.loading: dict[Ref, ObservedRef] = {}
        self.dirty: set[Ref] = set()


class Holdings:
    """The partitions and refs of one member.

    partitions: P.  new_look: the look state that a ref begins with; renewed_look: as it is after its observations
    changed.  Both are called under the lock and touch nothing.

    to_load: set when the list of a partition is to be read.
    """

    def __init__(
        self,
        partitions: int,
        *,
        new_look: Callable[[ObservedRef], LookState],
        renewed_look: Callable[[LookState, ObservedRef], LookState],
    ) -> None:
        self._partitions = partitions
        self._new_look = new_look
        self._renewed_look = renewed_look
        self._lock = threading.Lock()
        self._slots: list[_HeldPartition | None] = [None] * partitions
        self.to_load = threading.Event()

    # -- what a notification asks

    def partition_of(self, ref: Ref) -> PartitionId:
        """The partition of ``ref``, for callers of :meth:`ref_status` that ask more than once."""
        return partition(ref, self._partitions)

    def ref_status(self, ref: Ref, number: PartitionId | None = None) -> RefStatus:
        """How ``ref`` stands now.  number: its partition, where the caller has it from :meth:`partition_of`."""
        held = self._slots[partition(ref, self._partitions) if number is None else number]
        if held is None:
            return _NOT_OWNED
        with self._lock:
            if held.handing_over:
                return RefStatus.HANDING_OVER
            if not held.complete:
                return RefStatus.LOADING
            return _OBSERVED if ref in held.refs else _NOT_OBSERVED

    def note_dirty(self, ref: Ref) -> bool:
        """Keep ``ref`` until its partition's list is complete; False when it is not loading (any more)."""
        with self._lock:
            held = self._slot(ref)
            if held is None or held.complete or held.handing_over:
                return False
            held.dirty.add(ref)
            return True

    # -- grants

    def begin(self, grant: Grant) -> None:
        """Hold the partition of ``grant``, its list empty and loading."""
        with self._lock:
            known = self._slots[grant.partition]
            if known is not None and known.grant.generation >= grant.generation:
                return
            self._slots[grant.partition] = _HeldPartition(grant)
        self.to_load.set()

    def loading(self) -> list[tuple[PartitionId, Generation]]:
        """The partitions whose list is to be read, ascending."""
        with self._lock:
            return [
                (held.grant.partition, held.grant.generation)
                for held in self._slots
                if held is not None and not held.complete and not held.handing_over
            ]

    def restart_loading(self, numbers: Iterable[PartitionId]) -> None:
        """The list of these partitions is read from its beginning: forget the pages that came so far."""
        with self._lock:
            for number in numbers:
                if (held := self._slots[number]) is not None:
                    held.loading = {}

    def load(self, generations: dict[PartitionId, Generation], refs: Iterable[ObservedRef]) -> None:
        """Take a page of the list, read under ``generations``."""
        with self._lock:
            for observed in refs:
                number = partition(observed.ref, self._partitions)
                held = self._slots[number]
                if held is not None and held.grant.generation == generations.get(number) and not held.complete:
                    held.loading[observed.ref] = observed

    def complete(self, number: PartitionId, generation: Generation, version: int) -> CompletedList | None:
        """The list of a partition is complete to ``version``; None when it is not held so any more."""
        with self._lock:
            held = self._slots[number]
            if held is None or held.grant.generation != generation or held.complete or held.handing_over:
                return None
            done = CompletedList(held.grant, first=not held.loaded_once)
            for ref in held.refs.keys() - held.loading.keys():
                del held.refs[ref]
                done.applied.gone.append(ref)
            for observed in held.loading.values():
                self._take(held, observed, done.applied)
            for ref in held.dirty:
                (done.dirty if ref in held.refs else done.dirty_unobserved).append(ref)
            held.loading, held.dirty = {}, set()
            held.version, held.complete, held.loaded_once = version, True, True
            return done

    def took_over(self, number: PartitionId, generation: Generation) -> None:
        """Whatever the owner before may have left in the partition is looks_requested by its refs now."""
        with self._lock:
            held = self._slots[number]
            if held is not None and held.grant.generation == generation:
                held.taken_over = True

    def not_taken_over(self) -> list[PartitionId]:
        """The partitions that are not taken_over over yet, ascending."""
        with self._lock:
            return [held.grant.partition for held in self._slots if held is not None and not held.taken_over]

    def to_follow(self) -> list[tuple[PartitionId, Generation, int]]:
        """The complete partitions with generation and observation version, ascending: what to follow."""
        with self._lock:
            return [
                (held.grant.partition, held.grant.generation, held.version)
                for held in self._slots
                if held is not None and held.complete and not held.handing_over
            ]

    def apply(self, changes: PartitionChanges, generation: Generation) -> AppliedChanges:
        """Take what ``follow`` brought; what is older than the version held is ignored.  ``reload`` puts the partition
        back to loading."""
        applied = AppliedChanges()
        with self._lock:
            held = self._slots[changes.partition]
            if held is None or held.grant.generation != generation or not held.complete:
                return applied
            if changes.reload:
                held.complete, held.loading = False, {}
                self.to_load.set()
                return applied
            if changes.version <= held.version:
                return applied
            held.version = changes.version
            for ref in changes.stopped:
                if held.refs.pop(ref, None) is not None:
                    applied.gone.append(ref)
            for observed in changes.changed:
                self._take(held, observed, applied)
        return applied

    def hand_over(self, number: PartitionId, generation: Generation | None = None) -> Generation | None:
        """Begin no new work in the partition (if it is held under ``generation``) from now on, and follow it no longer;
        its generation, or None when it is not held."""
        with self._lock:
            held = self._slots[number]
            if held is None or (generation is not None and held.grant.generation != generation):
                return None
            held.handing_over = True
            return held.grant.generation

    def drop(self, number: PartitionId, generation: Generation | None = None) -> tuple[list[Ref], list[Ref]]:
        """Let go of the partition (if it is held under ``generation``): its refs, and those of them (and of the dirty
        ones) that still await a look."""
        with self._lock:
            held = self._slots[number]
            if held is None or (generation is not None and held.grant.generation != generation):
                return [], []
            self._slots[number] = None
            awaiting = [ref for ref, held_ref in held.refs.items() if held_ref.awaits_look]
            awaiting += [ref for ref in held.dirty if ref not in held.refs]
            return list(held.refs.keys() | held.dirty), awaiting

    # -- looks

    def task(self, ref: Ref, *, begins: float | None = None) -> Task | None:
        """What a fetch of ``ref`` starts from; None when it is not to be looked at (not held, handed over).

        begins: a look begins with it now, monotonic seconds, whose report names its mark.
        """
        with self._lock:
            held = self._slot(ref)
            held_ref = None if held is None or held.handing_over else held.refs.get(ref)
            if held is None or held_ref is None:
                return None
            if begins is not None:
                held_ref.begun_mark = max(held_ref.begun_mark, held_ref.observed.mark or 0)
                held_ref.look_times = replace(held_ref.look_times, began=begins)
            return Task(ref, held.grant.partition, held.grant.generation, held_ref.observed, held_ref.look,
                        held_ref.looks_requested)

    def request_look(self, ref: Ref) -> LookState | None:
        """A look at ``ref`` is due for a reason that must not be lost with us.

        Returns the look state so far; None when the ref is not observed here.
        """
        with self._lock:
            held_ref = self._find(ref)
            if held_ref is None:
                return None
            held_ref.looks_requested += 1
            return held_ref.look

    def requests_answered(self, task: Task) -> None:
        """The look of ``task`` has answered every request that there was when it began."""
        with self._lock:
            held_ref = self._find(task.ref)
            if held_ref is not None:
                held_ref.looks_answered = max(held_ref.looks_answered, task.looks_requested)

    def update_look(self, ref: Ref, change: Callable[[LookState], tuple[LookState, T]]) -> T | None:
        """Change the look state of ``ref`` under the lock; what ``change`` answers beside the new state, None when the
        ref is not observed here."""
        with self._lock:
            held_ref = self._find(ref)
            if held_ref is None:
                return None
            held_ref.look, answer = change(held_ref.look)
            return answer

    def marked(self, ref: Ref, mark: int) -> bool:
        """A mark for ``ref`` is known to be stored: the next report names it.  True when the ref is observed here
        and no look at it is due that would."""
        with self._lock:
            held_ref = self._find(ref)
            if held_ref is None:
                return False
            if mark > max(held_ref.cleared_mark, held_ref.observed.mark or 0):
                held_ref.observed = msgspec.structs.replace(held_ref.observed, mark=mark)
            return not held_ref.awaits_look

    def report_answered(self, ref: Ref, began: float) -> None:
        """The engine has answered the report of the look that began at ``began``."""
        with self._lock:
            held_ref = self._find(ref)
            if held_ref is not None:
                held_ref.look_times = replace(held_ref.look_times, answered=max(held_ref.look_times.answered, began))

    def look_times(self, ref: Ref) -> LookTimes:
        """When looks at ``ref`` began; never, where it is not observed here."""
        with self._lock:
            held_ref = self._find(ref)
            return LookTimes() if held_ref is None else held_ref.look_times

    def covered_by_mark(self, ref: Ref) -> bool:
        """Whether a mark for ``ref`` is stored that only a look which begins after this call can clear: it speaks for
        all that was heard of the ref before."""
        with self._lock:
            held_ref = self._find(ref)
            if held_ref is None or held_ref.observed.mark is None:
                return False
            return held_ref.observed.mark > held_ref.begun_mark

    def awaits_look(self, ref: Ref) -> bool:
        """Whether a look that is not a mere poll is due or under way."""
        with self._lock:
            held_ref = self._find(ref)
            return held_ref is not None and held_ref.awaits_look

    def reported(self, task: Task, outcome: ReportOutcome, snapshot: Snapshot) -> AfterReport | None:
        """Take the answer to the report that came of ``task``; None when the ref is no longer held as it was then."""
        with self._lock:
            held = self._slot(task.ref)
            if held is None or held.grant.generation != task.generation:
                return None
            held_ref = held.refs.get(task.ref)
            if held_ref is None:
                return None
            observations_changed = not _same_observations(held_ref.observed, task.observed)
            if outcome.verdict is Verdict.NOT_OBSERVED:
                if not observations_changed:
                    del held.refs[task.ref]
                    return None
                return AfterReport(held_ref.observed, newer_mark=True, observations_changed=True)
            if outcome.verdict in (Verdict.ACCEPTED, Verdict.UNCHANGED):
                held_ref.cleared_mark = max(held_ref.cleared_mark, task.observed.mark or 0)
                mark = held_ref.observed.mark
                held_ref.observed = msgspec.structs.replace(
                    held_ref.observed,
                    last=msgspec.structs.replace(snapshot, attributes={}),
                    mark=None if mark is not None and mark <= held_ref.cleared_mark else mark,
                )
                if not observations_changed:
                    held_ref.observed = msgspec.structs.replace(
                        held_ref.observed, wanted=outcome.wanted, deadline=outcome.deadline
                    )
            mark = held_ref.observed.mark
            newer_mark = mark is not None and mark > (task.observed.mark or 0)
            return AfterReport(held_ref.observed, newer_mark=newer_mark, observations_changed=observations_changed)

    # -- figures

    def generation(self, number: PartitionId) -> Generation | None:
        """The generation under which the partition is held; None when it is not."""
        with self._lock:
            held = self._slots[number]
            return None if held is None else held.grant.generation

    def generations(self) -> dict[PartitionId, Generation]:
        """Every partition held, with its generation."""
        with self._lock:
            return {held.grant.partition: held.grant.generation for held in self._slots if held is not None}

    def refs(self, region: str | None = None) -> list[Ref]:
        """Every observed ref held (of one region)."""
        with self._lock:
            return [
                ref
                for held in self._slots
                if held is not None
                for ref in held.refs
                if region is None or ref.region == region
            ]

    def kinds(self) -> set[tuple[str, str]]:
        """``(region, resource type)`` of every observed ref held."""
        with self._lock:
            return {(ref.region, ref.resource_type) for held in self._slots if held is not None for ref in held.refs}

    def awaiting_look(self, number: PartitionId) -> list[Ref]:
        """The refs of a partition that await a look."""
        with self._lock:
            held = self._slots[number]
            return [] if held is None else [ref for ref, held_ref in held.refs.items() if held_ref.awaits_look]

    # -- under the lock

    def _slot(self, ref: Ref) -> _HeldPartition | None:
        return self._slots[partition(ref, self._partitions)]

    def _find(self, ref: Ref) -> _HeldRef | None:
        held = self._slot(ref)
        return None if held is None else held.refs.get(ref)

    def _take(self, held: _HeldPartition, observed: ObservedRef, into: AppliedChanges) -> None:
        held_ref = held.refs.get(observed.ref)
        if held_ref is None:
            held.refs[observed.ref] = _HeldRef(observed, self._new_look(observed))
            into.new.append(observed)
            return
        mark = observed.mark
        if mark is not None and mark <= held_ref.cleared_mark:
            mark = None  # read at the engine before our report cleared it
        mark = max((number for number in (mark, held_ref.observed.mark) if number is not None), default=None)
        before = held_ref.observed
        last = _newer_snapshot(observed.last, before.last)
        held_ref.observed = msgspec.structs.replace(observed, mark=mark, last=last)
        if not _same_observations(before, observed):
            held_ref.look = self._renewed_look(held_ref.look, held_ref.observed)
        if _widens(before, observed):
            into.widened.append(held_ref.observed)
        elif mark is not None and mark > (before.mark or 0):
            into.marked.append(held_ref.observed)


def _same_observations(before: ObservedRef, after: ObservedRef) -> bool:
    """Whether two views of a ref come from the same observations (marks and snapshots aside)."""
    return (before.started_at, before.wanted, before.deadline) == (after.started_at, after.wanted, after.deadline)


def _widens(before: ObservedRef, after: ObservedRef) -> bool:
    """Whether ``after`` waits for something that ``before`` did not, or not so soon."""
    sooner = after.deadline is not None and (before.deadline is None or after.deadline < before.deadline)
    return bool(set(after.wanted) - set(before.wanted)) or after.started_at != before.started_at or sooner


def _newer_snapshot(mine: Snapshot | None, theirs: Snapshot | None) -> Snapshot | None:
    if mine is None or theirs is None:
        return mine or theirs
    return mine if mine.fetched_at >= theirs.fetched_at else theirs

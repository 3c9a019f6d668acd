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

from obsvc.engine_client.ownership import Grant, ObservedRef, PartitionChanges
from obsvc.engine_client.reports import ReportOutcome, Verdict
from obsvc.model import Generation, PartitionId, Ref, Snapshot, partition
from obsvc.observer.state.held import HeldPartition, HeldRef, NewLook, RenewedLook
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
        new_look: NewLook,
        renewed_look: RenewedLook,
    ) -> None:
        self._partitions = partitions
        self._new_look = new_look
        self._renewed_look = renewed_look
        self._lock = threading.Lock()
        self._slots: list[HeldPartition | None] = [None] * partitions
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
            if held is None or not held.to_load:
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
            self._slots[grant.partition] = HeldPartition(grant, self._new_look, self._renewed_look)
        self.to_load.set()

    def loading(self) -> list[tuple[PartitionId, Generation]]:
        """The partitions whose list is to be read, ascending."""
        with self._lock:
            return [
                (held.grant.partition, held.grant.generation)
                for held in self._slots
                if held is not None and held.to_load
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
            if held is None or held.grant.generation != generation or not held.to_load:
                return None
            return held.complete_list(version)

    def took_over(self, number: PartitionId, generation: Generation) -> None:
        """Looks are requested now for whatever the previous owner may have left in the partition."""
        with self._lock:
            held = self._slots[number]
            if held is not None and held.grant.generation == generation:
                held.taken_over = True

    def not_taken_over(self) -> list[PartitionId]:
        """The partitions that are not taken over yet, ascending."""
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
                held.reload()
                self.to_load.set()
            else:
                held.apply(changes, applied)
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
            awaiting = [*held.awaiting_look(), *(ref for ref in held.dirty if ref not in held.refs)]
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
            held_ref.store_mark(mark)
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
            return held_ref is not None and held_ref.covered_by_mark()

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
            if outcome.verdict is Verdict.NOT_OBSERVED:
                if not held_ref.observations_changed_since(task):
                    del held.refs[task.ref]
                    return None
                return AfterReport(held_ref.observed, newer_mark=True, observations_changed=True)
            return held_ref.take_outcome(task, outcome, snapshot)

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
            return [] if held is None else held.awaiting_look()

    # -- under the lock

    def _slot(self, ref: Ref) -> HeldPartition | None:
        return self._slots[partition(ref, self._partitions)]

    def _find(self, ref: Ref) -> HeldRef | None:
        held = self._slot(ref)
        return None if held is None else held.refs.get(ref)

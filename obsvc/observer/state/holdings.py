"""What this member holds: its partitions, each under one generation, and the observed refs in them (DESIGN 2, 3).

A partition is first *loading*: granted, but its list of observed refs is not complete, so that a ref which is not
in it may still be observed.  Notifications are kept as *dirty* until it is *complete* to an observation version; from
there on ``follow`` brings each start, stop and mark.  While it is *handed over* no new work is begun in it.

Locking rule: one lock guards everything that changes; nothing is called out of this module while it is held.  Only
``standing`` reads without it, for the notifications that are not ours: it reads the partition's slot, one element of
a list that is replaced whole.  Whoever acts on NOT_OWNED or NOT_OBSERVED by *recording* something must ask again
after the recording: a grant puts its slot in place before anybody reads those records.

Any thread may call.  No method blocks on anything but the lock.
"""
from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace

import msgspec

from obsvc.engine_client.ownership import Grant, ObservedRef, PartitionChanges
from obsvc.engine_client.reports import ReportOutcome, Verdict
from obsvc.model import Generation, PartitionId, Ref, Snapshot, partition
from obsvc.observer.state.values import After, Applied, Completed, Looks, LookState, Standing, Task

#: Looked up once, see :mod:`obsvc.observer.intake.intake`.
_NOT_OWNED, _NOT_OBSERVED, _OBSERVED = Standing.NOT_OWNED, Standing.NOT_OBSERVED, Standing.OBSERVED

__all__ = ["After", "Applied", "Completed", "Held", "LookState", "Looks", "Standing", "Task"]


class _HeldRef:
    """One observed ref.  cleared: highest mark that an accepted report of ours cleared; begun: highest that a look
    began with, and so the highest that any report to come may clear.

    owed: rises with each reason for a look that is not a mere poll; paid: up to where looks have answered them.
    While owed > paid the ref must be marked if we lose it.
    """

    __slots__ = ("observed", "look", "cleared", "begun", "owed", "paid", "looks")

    def __init__(self, observed: ObservedRef, look: LookState) -> None:
        self.observed = observed
        self.look = look
        self.cleared = 0
        self.begun = 0
        self.owed = 0
        self.paid = 0
        self.looks = Looks()

    @property
    def owes(self) -> bool:
        return self.owed > self.paid


class _Slot:
    __slots__ = ("grant", "version", "complete", "handing_over", "refs", "loading", "dirty", "loaded_once", "taken")

    def __init__(self, grant: Grant) -> None:
        self.grant = grant
        self.version = -1
        self.complete = False
        self.handing_over = False
        self.loaded_once = False
        self.taken = False
        self.refs: dict[Ref, _HeldRef] = {}
        self.loading: dict[Ref, ObservedRef] = {}
        self.dirty: set[Ref] = set()


class Held:
    """The partitions and refs of one member.

    partitions: P.  new_look: the look state that a ref begins with; renewed_look: as it is after its observations
    changed.  Both are called under the lock and touch nothing.
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
        self._slots: list[_Slot | None] = [None] * partitions

    # -- what a notification asks

    def place(self, ref: Ref) -> PartitionId:
        """The partition of ``ref``, for who asks :meth:`standing` more than once."""
        return partition(ref, self._partitions)

    def standing(self, ref: Ref, place: PartitionId | None = None) -> Standing:
        slot = self._slots[partition(ref, self._partitions) if place is None else place]
        if slot is None:
            return _NOT_OWNED
        with self._lock:
            if slot.handing_over:
                return Standing.HANDING_OVER
            if not slot.complete:
                return Standing.LOADING
            return _OBSERVED if ref in slot.refs else _NOT_OBSERVED

    def note_dirty(self, ref: Ref) -> bool:
        """Keep ``ref`` until its partition's list is complete; False when it is not loading (any more)."""
        with self._lock:
            slot = self._slot(ref)
            if slot is None or slot.complete or slot.handing_over:
                return False
            slot.dirty.add(ref)
            return True

    # -- grants

    def begin(self, grant: Grant) -> None:
        """Hold the partition of ``grant``, its list empty and loading."""
        with self._lock:
            known = self._slots[grant.partition]
            if known is not None and known.grant.generation >= grant.generation:
                return
            self._slots[grant.partition] = _Slot(grant)

    def loading(self) -> list[tuple[PartitionId, Generation]]:
        """The partitions whose list is to be read, ascending."""
        with self._lock:
            return [
                (slot.grant.partition, slot.grant.generation)
                for slot in self._slots
                if slot is not None and not slot.complete and not slot.handing_over
            ]

    def restart_loading(self, numbers: Iterable[PartitionId]) -> None:
        """The list of these partitions is read from its beginning: forget the pages that came so far."""
        with self._lock:
            for number in numbers:
                if (slot := self._slots[number]) is not None:
                    slot.loading = {}

    def load(self, generations: dict[PartitionId, Generation], refs: Iterable[ObservedRef]) -> None:
        """Take a page of the list, read under ``generations``."""
        with self._lock:
            for observed in refs:
                number = partition(observed.ref, self._partitions)
                slot = self._slots[number]
                if slot is not None and slot.grant.generation == generations.get(number) and not slot.complete:
                    slot.loading[observed.ref] = observed

    def complete(self, number: PartitionId, generation: Generation, version: int) -> Completed | None:
        """The list of a partition is complete to ``version``; None when it is not held so any more."""
        with self._lock:
            slot = self._slots[number]
            if slot is None or slot.grant.generation != generation or slot.complete or slot.handing_over:
                return None
            done = Completed(slot.grant, first=not slot.loaded_once)
            for ref in slot.refs.keys() - slot.loading.keys():
                del slot.refs[ref]
                done.applied.gone.append(ref)
            for observed in slot.loading.values():
                self._take(slot, observed, done.applied)
            for ref in slot.dirty:
                (done.dirty if ref in slot.refs else done.dirty_unobserved).append(ref)
            slot.loading, slot.dirty = {}, set()
            slot.version, slot.complete, slot.loaded_once = version, True, True
            return done

    def took_over(self, number: PartitionId, generation: Generation) -> None:
        """Whatever the owner before may have left in the partition is owed by its refs now."""
        with self._lock:
            slot = self._slots[number]
            if slot is not None and slot.grant.generation == generation:
                slot.taken = True

    def untaken(self) -> list[PartitionId]:
        """The partitions that are not taken over yet, ascending."""
        with self._lock:
            return [slot.grant.partition for slot in self._slots if slot is not None and not slot.taken]

    def known(self) -> list[tuple[PartitionId, Generation, int]]:
        """The complete partitions with generation and observation version, ascending: what to follow."""
        with self._lock:
            return [
                (slot.grant.partition, slot.grant.generation, slot.version)
                for slot in self._slots
                if slot is not None and slot.complete and not slot.handing_over
            ]

    def apply(self, changes: PartitionChanges, generation: Generation) -> Applied:
        """Take what ``follow`` brought; what is older than the version held is ignored.  ``reload`` puts the
        partition back to loading."""
        applied = Applied()
        with self._lock:
            slot = self._slots[changes.partition]
            if slot is None or slot.grant.generation != generation or not slot.complete:
                return applied
            if changes.reload:
                slot.complete, slot.loading = False, {}
                return applied
            if changes.version <= slot.version:
                return applied
            slot.version = changes.version
            for ref in changes.stopped:
                if slot.refs.pop(ref, None) is not None:
                    applied.gone.append(ref)
            for observed in changes.changed:
                self._take(slot, observed, applied)
        return applied

    def hand_over(self, number: PartitionId, generation: Generation | None = None) -> Generation | None:
        """Begin no new work in the partition (if it is held under ``generation``) from here on, and follow it no
        more; its generation, or None when it is not held."""
        with self._lock:
            slot = self._slots[number]
            if slot is None or (generation is not None and slot.grant.generation != generation):
                return None
            slot.handing_over = True
            return slot.grant.generation

    def drop(self, number: PartitionId, generation: Generation | None = None) -> tuple[list[Ref], list[Ref]]:
        """Let go of the partition (if it is held under ``generation``): its refs, and those of them (and of the
        dirty ones) that still owe a look."""
        with self._lock:
            slot = self._slots[number]
            if slot is None or (generation is not None and slot.grant.generation != generation):
                return [], []
            self._slots[number] = None
            owing = [ref for ref, held in slot.refs.items() if held.owes]
            owing += [ref for ref in slot.dirty if ref not in slot.refs]
            return list(slot.refs.keys() | slot.dirty), owing

    # -- looks

    def task(self, ref: Ref, *, begins: float | None = None) -> Task | None:
        """What a fetch of ``ref`` starts from; None when it is not to be looked at (not held, handed over).

        begins: a look begins with it now, monotonic seconds, whose report names its mark.
        """
        with self._lock:
            slot = self._slot(ref)
            held = None if slot is None or slot.handing_over else slot.refs.get(ref)
            if slot is None or held is None:
                return None
            if begins is not None:
                held.begun = max(held.begun, held.observed.mark or 0)
                held.looks = replace(held.looks, began=begins)
            return Task(ref, slot.grant.partition, slot.grant.generation, held.observed, held.look, held.owed)

    def owe(self, ref: Ref) -> LookState | None:
        """A look at ``ref`` is due for a reason that must not be lost with us.  What the looks so far have left; None
        when it is not observed here."""
        with self._lock:
            held = self._find(ref)
            if held is None:
                return None
            held.owed += 1
            return held.look

    def paid(self, task: Task) -> None:
        """The look of ``task`` has answered every reason that there was when it began."""
        with self._lock:
            held = self._find(task.ref)
            if held is not None:
                held.paid = max(held.paid, task.owed)

    def update_look(self, ref: Ref, change: Callable[[LookState], LookState]) -> bool:
        """Change the look state of ``ref`` under the lock; False when it is not observed here."""
        with self._lock:
            held = self._find(ref)
            if held is None:
                return False
            held.look = change(held.look)
            return True

    def marked(self, ref: Ref, mark: int) -> bool:
        """A mark for ``ref`` is known to be stored: the next report names it.  True when the ref is observed here
        and no look at it is due that would."""
        with self._lock:
            held = self._find(ref)
            if held is None:
                return False
            if mark > max(held.cleared, held.observed.mark or 0):
                held.observed = msgspec.structs.replace(held.observed, mark=mark)
            return not held.owes

    def answered(self, ref: Ref, began: float) -> None:
        """The engine has answered the report of the look that began at ``began``."""
        with self._lock:
            held = self._find(ref)
            if held is not None:
                held.looks = replace(held.looks, answered=max(held.looks.answered, began))

    def looks(self, ref: Ref) -> Looks:
        """When looks at ``ref`` began; those of a ref that is not observed here never did."""
        with self._lock:
            held = self._find(ref)
            return Looks() if held is None else held.looks

    def covered(self, ref: Ref) -> bool:
        """Whether a mark for ``ref`` is stored that only a look which begins after this call can clear: it speaks for
        all that was heard of the ref before."""
        with self._lock:
            held = self._find(ref)
            return held is not None and held.observed.mark is not None and held.observed.mark > held.begun

    def owes(self, ref: Ref) -> bool:
        """Whether a look that is not a mere poll is due or under way."""
        with self._lock:
            held = self._find(ref)
            return held is not None and held.owes

    def reported(self, task: Task, outcome: ReportOutcome, snapshot: Snapshot) -> After | None:
        """Take the answer to the report that came of ``task``; None when the ref is no longer held so."""
        with self._lock:
            slot = self._slot(task.ref)
            if slot is None or slot.grant.generation != task.generation:
                return None
            held = slot.refs.get(task.ref)
            if held is None:
                return None
            fresher = not _same_request(held.observed, task.observed)
            if outcome.verdict is Verdict.NOT_OBSERVED:
                if not fresher:
                    del slot.refs[task.ref]
                    return None
                return After(held.observed, remark=True, fresher=True)
            if outcome.verdict in (Verdict.ACCEPTED, Verdict.UNCHANGED):
                held.cleared = max(held.cleared, task.observed.mark or 0)
                mark = held.observed.mark
                held.observed = msgspec.structs.replace(
                    held.observed,
                    last=msgspec.structs.replace(snapshot, attributes={}),
                    mark=None if mark is not None and mark <= held.cleared else mark,
                )
                if not fresher:
                    held.observed = msgspec.structs.replace(
                        held.observed, wanted=outcome.wanted, deadline=outcome.deadline
                    )
            mark = held.observed.mark
            remark = mark is not None and mark > (task.observed.mark or 0)
            return After(held.observed, remark=remark, fresher=fresher)

    # -- figures

    def generation(self, number: PartitionId) -> Generation | None:
        """Under which the partition is held; None when it is not."""
        with self._lock:
            slot = self._slots[number]
            return None if slot is None else slot.grant.generation

    def generations(self) -> dict[PartitionId, Generation]:
        with self._lock:
            return {slot.grant.partition: slot.grant.generation for slot in self._slots if slot is not None}

    def refs(self, region: str | None = None) -> list[Ref]:
        """Every observed ref held (of one region)."""
        with self._lock:
            return [
                ref
                for slot in self._slots
                if slot is not None
                for ref in slot.refs
                if region is None or ref.region == region
            ]

    def kinds(self) -> set[tuple[str, str]]:
        """``(region, resource type)`` of every observed ref held."""
        with self._lock:
            return {(ref.region, ref.resource_type) for slot in self._slots if slot is not None for ref in slot.refs}

    def owing(self, number: PartitionId) -> list[Ref]:
        """The refs of a partition that owe a look."""
        with self._lock:
            slot = self._slots[number]
            return [] if slot is None else [ref for ref, held in slot.refs.items() if held.owes]

    # -- under the lock

    def _slot(self, ref: Ref) -> _Slot | None:
        return self._slots[partition(ref, self._partitions)]

    def _find(self, ref: Ref) -> _HeldRef | None:
        slot = self._slot(ref)
        return None if slot is None else slot.refs.get(ref)

    def _take(self, slot: _Slot, observed: ObservedRef, into: Applied) -> None:
        held = slot.refs.get(observed.ref)
        if held is None:
            slot.refs[observed.ref] = _HeldRef(observed, self._new_look(observed))
            into.new.append(observed)
            return
        mark = observed.mark
        if mark is not None and mark <= held.cleared:
            mark = None  # read at the engine before our report cleared it
        mark = max((number for number in (mark, held.observed.mark) if number is not None), default=None)
        before = held.observed
        held.observed = msgspec.structs.replace(observed, mark=mark, last=_newer(observed.last, before.last))
        if not _same_request(before, observed):
            held.look = self._renewed_look(held.look, held.observed)
        if _wider(before, observed):
            into.wider.append(held.observed)
        elif mark is not None and mark > (before.mark or 0):
            into.marked.append(held.observed)


def _same_request(one: ObservedRef, other: ObservedRef) -> bool:
    """Whether two views of a ref come from the same observations (marks and snapshots aside)."""
    return (one.started_at, one.wanted, one.deadline) == (other.started_at, other.wanted, other.deadline)


def _wider(before: ObservedRef, after: ObservedRef) -> bool:
    """Whether ``after`` waits for something that ``before`` did not, or not so soon."""
    sooner = after.deadline is not None and (before.deadline is None or after.deadline < before.deadline)
    return bool(set(after.wanted) - set(before.wanted)) or after.started_at != before.started_at or sooner


def _newer(one: Snapshot | None, other: Snapshot | None) -> Snapshot | None:
    if one is None or other is None:
        return one or other
    return one if one.fetched_at >= other.fetched_at else other

"""One partition that is held, and each observed ref in it: what changes them, and how.

Not thread-safe: :class:`obsvc.observer.state.holdings.Holdings` holds the lock.
"""
from __future__ import annotations

from collections.abc import Callable

import msgspec

from obsvc.engine_client.ownership import Grant, ObservedRef, PartitionChanges
from obsvc.engine_client.reports import ReportOutcome, Verdict
from obsvc.model import Ref, Snapshot
from obsvc.observer.state.look_state import LookState
from obsvc.observer.state.values import AfterReport, AppliedChanges, CompletedList, LookTimes, Task

#: The look state that a ref begins with.
NewLook = Callable[[ObservedRef], LookState]

#: The look state of a ref after its observations changed.
RenewedLook = Callable[[LookState, ObservedRef], LookState]


class HeldRef:
    """One observed ref.

    cleared_mark: the highest mark that an accepted report of ours cleared.  begun_mark: the highest that a look began
    with, and so the highest that any report to come may clear.

    looks_requested: rises with each reason for a look that is not a mere poll.  looks_answered: up to where looks have
    answered them.  While it is behind ``looks_requested``, the ref must be marked if we lose it.
    """

    __slots__ = ("begun_mark", "cleared_mark", "look", "look_times", "looks_answered", "looks_requested", "observed")

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
        """Whether a look that is not a mere poll is due or under way."""
        return self.looks_requested > self.looks_answered

    def covered_by_mark(self) -> bool:
        """Whether a mark is stored that only a look which begins after this call can clear."""
        return self.observed.mark is not None and self.observed.mark > self.begun_mark

    def store_mark(self, mark: int) -> None:
        """``mark`` is known to be stored at the engine."""
        if mark > max(self.cleared_mark, self.observed.mark or 0):
            self.observed = msgspec.structs.replace(self.observed, mark=mark)

    def update(self, observed: ObservedRef, renewed_look: RenewedLook, into: AppliedChanges) -> None:
        """Take ``observed``, as the engine knows the ref; what is new of it goes ``into`` the changes."""
        before, mark = self.observed, observed.mark
        if mark is not None and mark <= self.cleared_mark:
            mark = None  # read at the engine before our report cleared it
        mark = max((number for number in (mark, before.mark) if number is not None), default=None)
        last = _newer_snapshot(observed.last, before.last)
        self.observed = msgspec.structs.replace(observed, mark=mark, last=last)
        if not _same_observations(before, observed):
            self.look = renewed_look(self.look, self.observed)
        if _widens(before, observed):
            into.widened.append(self.observed)
        elif mark is not None and mark > (before.mark or 0):
            into.marked.append(self.observed)

    def observations_changed_since(self, task: Task) -> bool:
        """Whether the observations are others than those that ``task`` began with."""
        return not _same_observations(self.observed, task.observed)

    def take_outcome(self, task: Task, outcome: ReportOutcome, snapshot: Snapshot) -> AfterReport:
        """Take the engine's answer to the report that came of ``task``."""
        changed = self.observations_changed_since(task)
        if outcome.verdict in (Verdict.ACCEPTED, Verdict.UNCHANGED):
            self.cleared_mark = max(self.cleared_mark, task.observed.mark or 0)
            mark = self.observed.mark
            self.observed = msgspec.structs.replace(
                self.observed,
                last=msgspec.structs.replace(snapshot, attributes={}),
                mark=None if mark is not None and mark <= self.cleared_mark else mark,
            )
            if not changed:
                self.observed = msgspec.structs.replace(
                    self.observed, wanted=outcome.wanted, deadline=outcome.deadline)
        mark = self.observed.mark
        newer_mark = mark is not None and mark > (task.observed.mark or 0)
        return AfterReport(self.observed, newer_mark=newer_mark, observations_changed=changed)


class HeldPartition:
    """One partition under its grant.

    version: of the observations that are known.  complete: whether its list is, to that version.  loading: the pages of
    the list that came so far.  dirty: what was notified meanwhile.  loaded_once: whether the list was ever complete
    under this grant.  taken_over: see :meth:`obsvc.observer.state.holdings.Holdings.took_over`.
    """

    __slots__ = ("_new_look", "_renewed_look", "complete", "dirty", "grant", "handing_over", "loaded_once", "loading",
                 "refs", "taken_over", "version")

    def __init__(self, grant: Grant, new_look: NewLook, renewed_look: RenewedLook) -> None:
        self._new_look = new_look
        self._renewed_look = renewed_look
        self.grant = grant
        self.version = -1
        self.complete = False
        self.handing_over = False
        self.loaded_once = False
        self.taken_over = False
        self.refs: dict[Ref, HeldRef] = {}
        self.loading: dict[Ref, ObservedRef] = {}
        self.dirty: set[Ref] = set()

    @property
    def to_load(self) -> bool:
        """Whether its list is to be read."""
        return not self.complete and not self.handing_over

    def complete_list(self, version: int) -> CompletedList:
        """All pages came: the list is complete to ``version``."""
        done = CompletedList(self.grant, first=not self.loaded_once)
        for ref in self.refs.keys() - self.loading.keys():
            del self.refs[ref]
            done.applied.gone.append(ref)
        for observed in self.loading.values():
            self._take(observed, done.applied)
        for ref in self.dirty:
            (done.dirty if ref in self.refs else done.dirty_unobserved).append(ref)
        self.loading, self.dirty = {}, set()
        self.version, self.complete, self.loaded_once = version, True, True
        return done

    def reload(self) -> None:
        """The changes are no longer known: the list is to be read again."""
        self.complete, self.loading = False, {}

    def apply(self, changes: PartitionChanges, into: AppliedChanges) -> None:
        """Take changes; what is older than the version known is ignored."""
        if changes.version <= self.version:
            return
        self.version = changes.version
        for ref in changes.stopped:
            if self.refs.pop(ref, None) is not None:
                into.gone.append(ref)
        for observed in changes.changed:
            self._take(observed, into)

    def awaiting_look(self) -> list[Ref]:
        """The observed refs that await a look."""
        return [ref for ref, held_ref in self.refs.items() if held_ref.awaits_look]

    def _take(self, observed: ObservedRef, into: AppliedChanges) -> None:
        held_ref = self.refs.get(observed.ref)
        if held_ref is None:
            self.refs[observed.ref] = HeldRef(observed, self._new_look(observed))
            into.new.append(observed)
        else:
            held_ref.update(observed, self._renewed_look, into)


def _same_observations(before: ObservedRef, after: ObservedRef) -> bool:
    """Whether two views of a ref come from the same observations (marks and snapshots aside)."""
    return (before.started_at, before.wanted, before.deadline) == (after.started_at, after.wanted, after.deadline)


def _widens(before: ObservedRef, after: ObservedRef) -> bool:
    """Whether ``after`` waits for something that ``before`` did not, or not so soon."""
    sooner = after.deadline is not None and (before.deadline is None or after.deadline < before.deadline)
    return bool(set(after.wanted) - set(before.wanted)) or after.started_at != before.started_at or sooner


def _newer_snapshot(read: Snapshot | None, known: Snapshot | None) -> Snapshot | None:
    if read is None or known is None:
        return read or known
    return read if read.fetched_at >= known.fetched_at else known

"""What a notification announces, held against what the looks so far have shown.  Pure; any thread."""
from __future__ import annotations

import msgspec

from obsvc.model import Condition, Snapshot, Urgency
from obsvc.observer.queue.entry import DueLook
from obsvc.observer.state.look_state import LookState


def shows(snapshot: Snapshot | None, announced: str) -> bool:
    """Whether the snapshot shows, settled, the state that a notification announced.

    Services announce their own words: the status itself, or (nova) a state that the API has in an attribute whose
    name ends in ``state`` or ``status``.  Compared without case.
    """
    if snapshot is None:
        return False
    word = announced.casefold()
    if word == "deleted" and snapshot.condition is Condition.DELETED:
        return True
    if not snapshot.settled:
        return False
    if snapshot.status is not None and snapshot.status.casefold() == word:
        return True
    return any(
        isinstance(value, str) and value.casefold() == word and name.casefold().endswith(("state", "status"))
        for name, value in snapshot.attributes.items()
    )


def has_moved_on(snapshot: Snapshot, announced: str) -> bool:
    """Whether the announced state was there and the next operation is under way: it will not be seen any more."""
    status = snapshot.status
    return not snapshot.settled and status is not None and status.casefold() == announced.casefold()


def answered(state: LookState, announced: str) -> bool:
    """Whether the looks so far answer an announcement: the state was seen, or is being looked for already."""
    sought = state.settle.announced
    return (sought is not None and sought.casefold() == announced.casefold()) or shows(state.last, announced)


def is_urgent(urgency: Urgency, announced: str | None, state: LookState | None) -> bool:
    """Whether a notification must not wait for the coalescing interval: its event wants a look now, and it
    announces a settled state that the looks so far do not answer.  state: None where nothing is known of the ref."""
    return urgency is Urgency.NOW and announced is not None and (state is None or not answered(state, announced))


def shows_under_way(snapshot: Snapshot | None) -> bool:
    """Whether the snapshot shows that something is under way, after which another state follows by itself."""
    return (snapshot is not None and snapshot.exists and not snapshot.settled
            and snapshot.condition is not Condition.UNKNOWN)


def is_under_way(state: LookState | None) -> bool:
    """Whether the looks so far show that something is under way, so that a further look is due anyway."""
    return state is not None and state.absent_since is None and shows_under_way(state.last)


def expects_absence(state: LookState, look: DueLook) -> bool:
    """Whether a 404 would be no surprise: a notification announced the deletion, or somebody waits for it."""
    announced = any(word is not None and word.casefold() == "deleted" for word in look.announced)
    sought = state.settle.announced
    return announced or (sought is not None and sought.casefold() == "deleted") or Condition.DELETED in state.wanted


def differs(before: Snapshot | None, after: Snapshot) -> bool:
    """Whether the second snapshot says anything else of the resource than the first."""
    if before is None:
        return True
    return msgspec.structs.replace(before, fetched_at=0.0, request_id=None) != msgspec.structs.replace(
        after, fetched_at=0.0, request_id=None)

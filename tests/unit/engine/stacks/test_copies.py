"""Which of a stack's copies another goal goes on with."""
from __future__ import annotations

import pytest

from obsvc.engine.stacks.copies import Copy, CopyState, choose_copies


def new(state: CopyState, **more) -> Copy:
    return Copy("new", "a", "T", state, **more)


def old(state: CopyState, **more) -> Copy:
    return Copy("old", "a", "T", state, obsolete=True, **more)


OLD_COMPLETED = old(CopyState.COMPLETED, goal=3, completed_at=9.0)


@pytest.mark.parametrize(("copies", "prefer", "best"), [
    ([new(CopyState.CREATING), OLD_COMPLETED], 3, "old"),
    ([new(CopyState.CREATING), OLD_COMPLETED], None, "new"),
    ([new(CopyState.COMPLETED, goal=4, completed_at=8.0), OLD_COMPLETED], None, "new"),
    ([new(CopyState.COMPLETED, goal=4, completed_at=8.0), OLD_COMPLETED], 3, "old"),
    ([new(CopyState.UNCERTAIN), OLD_COMPLETED], None, "old"),
    ([new(CopyState.NOT_STARTED), OLD_COMPLETED], None, "old"),
    ([new(CopyState.NOT_STARTED), old(CopyState.DELETING, goal=3, completed_at=9.0)], 3, "new"),
    ([Copy("new", "a", "U", CopyState.COMPLETED), old(CopyState.UNCERTAIN)], None, None),
    ([Copy("new", "b", "T", CopyState.COMPLETED)], None, None),
    ([old(CopyState.CREATING)], None, None),
    ([old(CopyState.NOT_STARTED)], None, None),
])
def test_which_copy_another_goal_goes_on_with(copies, prefer, best):
    for given in (copies, copies[::-1]):
        assert choose_copies({"a": "T"}, given, prefer=prefer).get("a") == best


def test_of_two_that_were_complete_the_one_completed_last_is_chosen():
    copies = [old(CopyState.COMPLETED, completed_at=1.0), Copy(
        "older", "a", "T", CopyState.COMPLETED, obsolete=True, completed_at=0.5)]
    assert choose_copies({"a": "T"}, copies) == {"a": "old"}


def test_each_slot_has_its_own_copy():
    copies = [Copy(f"id-{slot}", slot, "T", CopyState.COMPLETED) for slot in ("a", "b", "c")]
    assert choose_copies({"a": "T", "b": "T"}, copies) == {"a": "id-a", "b": "id-b"}

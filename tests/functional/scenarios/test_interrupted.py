"""Another goal while the one before is not reached: in the middle of a create, an update, a clean-up, a delete."""
from __future__ import annotations

import pytest

from tests.support.scenarios.goals import attr, node, ref, without

LINE = {
    "a": node(fixed=1, size=1),
    "b": node(a=ref("a"), size=attr("a", "size")),
    "c": node(b=ref("b")),
}


@pytest.mark.scenario
def test_delete_during_create(stack):
    stack.hold("b")
    stack.create(LINE)
    stack.until(a="ACTIVE", b="BUILDING")
    stack.delete()
    stack.let("b")
    stack.reached("DELETE_COMPLETE")


def test_delete_before_anything_is_begun(stack):
    stack.create(LINE)
    stack.delete()
    stack.reached("DELETE_COMPLETE")


@pytest.mark.scenario
def test_update_during_create(stack):
    """What is building is let be, and then changed; what was to come is as the new goal has it."""
    stack.hold("b")
    stack.create(LINE)
    stack.until(b="BUILDING")
    building = stack.id("b")
    stack.update(LINE | {"a": node(fixed=1, size=2), "c": node(b=ref("b"), p=1), "d": node(c=ref("c"))})
    stack.let("b")
    stack.reached("UPDATE_COMPLETE")
    assert stack.id("b") == building


def test_update_during_create_removes_what_is_building(stack):
    stack.hold("b")
    stack.create(LINE)
    stack.until(b="BUILDING")
    stack.update({"a": LINE["a"], "c": node(a=ref("a"))})
    stack.let("b")
    stack.reached("UPDATE_COMPLETE")


def test_update_during_create_replaces_what_is_building(stack):
    stack.hold("a")
    stack.create(LINE)
    stack.until(a="BUILDING")
    stack.update(LINE | {"a": node(fixed=2, size=1)})
    stack.let("a")
    stack.reached("UPDATE_COMPLETE")


def test_update_during_create_inverts(stack):
    stack.hold("b")
    stack.create({"a": node(), "b": node(a=ref("a"))})
    stack.until(b="BUILDING")
    stack.update({"a": node(b=ref("b")), "b": node()})
    stack.let("b")
    stack.reached("UPDATE_COMPLETE")


@pytest.mark.scenario
def test_two_updates_in_a_row(stack):
    stack.create(LINE)
    stack.reached("CREATE_COMPLETE")
    stack.update(LINE | {"a": node(fixed=2, size=2)})
    stack.update(LINE | {"a": node(fixed=3, size=3), "d": node(c=ref("c"))})
    stack.reached("UPDATE_COMPLETE")


def test_many_updates_in_a_row_from_the_creation_on(stack):
    stack.create(LINE)
    for number in range(2, 9):
        stack.update(LINE | {"a": node(fixed=number // 2, size=number), f"d{number}": node(c=ref("c"))})
    stack.reached("UPDATE_COMPLETE")


def test_back_to_the_first_goal_in_the_middle_of_a_replacement(stack):
    stack.create(LINE)
    stack.reached("CREATE_COMPLETE")
    stack.hold("a")
    stack.update(LINE | {"a": node(fixed=2, size=1)})
    stack.until(a="BUILDING")
    stack.update(LINE)
    stack.let("a")
    stack.reached("UPDATE_COMPLETE")


def test_another_change_in_the_middle_of_a_change(stack):
    stack.create(LINE)
    stack.reached("CREATE_COMPLETE")
    before = stack.ids()
    stack.hold("a")
    stack.update(LINE | {"a": node(fixed=1, size=2)})
    stack.until(a="UPDATING")
    stack.update(LINE | {"a": node(fixed=1, size=3)})
    stack.let("a")
    stack.reached("UPDATE_COMPLETE")
    assert stack.ids() == before


def test_a_node_comes_back_in_the_middle_of_its_removal(stack):
    stack.create(LINE)
    stack.reached("CREATE_COMPLETE")
    stack.hold("c")
    stack.update(without(LINE, "c"))
    stack.until(c="DELETING")
    stack.update(LINE)
    stack.let("c")
    stack.reached("UPDATE_COMPLETE")


@pytest.mark.scenario
def test_clean_up_missed_and_done_by_the_next_traversal(stack):
    """The replaced copy is about to go when another goal comes."""
    stack.create(LINE)
    stack.reached("CREATE_COMPLETE")
    stack.hold("c")
    stack.update({"a": node(fixed=2, size=1), "b": LINE["b"]})
    stack.until(c="DELETING")
    stack.update({"a": node(fixed=3, size=1), "b": LINE["b"], "d": node(b=ref("b"))})
    stack.let("c")
    stack.reached("UPDATE_COMPLETE")


def test_clean_up_missed_and_done_by_the_delete(stack):
    stack.create(LINE)
    stack.reached("CREATE_COMPLETE")
    stack.hold("c")
    stack.update({"a": node(fixed=2, size=1), "b": LINE["b"]})
    stack.until(c="DELETING")
    stack.delete()
    stack.let("c")
    stack.reached("DELETE_COMPLETE")


def test_delete_in_the_middle_of_a_replacement(stack):
    stack.create(LINE)
    stack.reached("CREATE_COMPLETE")
    stack.hold("a")
    stack.update(LINE | {"a": node(fixed=2, size=1)})
    stack.until(a="BUILDING")
    stack.delete()
    stack.let("a")
    stack.reached("DELETE_COMPLETE")


def test_update_during_delete(stack):
    """A deletion is given up for a goal: what is left is used, what is gone is made."""
    stack.create(LINE)
    stack.reached("CREATE_COMPLETE")
    stack.hold("b")
    stack.delete()
    stack.until(b="DELETING", c="GONE")
    stack.update(LINE)
    stack.let("b")
    stack.reached("UPDATE_COMPLETE")

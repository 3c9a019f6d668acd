"""Resources that can't be made or changed: what goes on, what goes back, and how it is mended."""
from __future__ import annotations

import pytest

from tests.support.scenarios.goals import node, ref, without

PAIR = {"a": node(size=1, fixed=1), "b": node(a=ref("a"), p=1)}
MORE = PAIR | {"c": node(b=ref("b"))}
BACK = {"disable_rollback": False}


@pytest.mark.scenario
def test_create_failing_with_rollback(stack):
    """Nothing was ever reached: nothing is left."""
    stack.fail("b")
    stack.create(MORE, **BACK)
    stack.ended("ROLLBACK_COMPLETE")
    stack.alike({})


def test_create_failing_without_rollback(stack):
    """What is independent goes on; the resumption makes the rest."""
    stack.fail("b")
    stack.create(MORE | {"x": node(), "y": node(x=ref("x"))})
    stack.ended("CREATE_FAILED")
    stack.until(a="ACTIVE", y="ACTIVE", b="ERROR", c="GONE")
    stack.heal("b")
    stack.resume()
    stack.reached("CREATE_COMPLETE")


@pytest.mark.scenario
def test_create_of_what_does_not_build_the_first_time(stack):
    """Another copy takes the broken one's place, and who refers to it follows."""
    stack.fail("b")
    stack.hold("b")
    stack.create(MORE)
    stack.until(b="BUILDING")
    stack.heal("b")
    broken = stack.id("b")
    stack.let("b")
    stack.reached("CREATE_COMPLETE")
    assert stack.id("b") != broken


def test_create_failing_and_mended_by_an_update(stack):
    stack.fail("b")
    stack.create(MORE)
    stack.ended("CREATE_FAILED")
    stack.heal("b")
    stack.update(MORE | {"d": node(c=ref("c"))})
    stack.reached("UPDATE_COMPLETE")


def test_create_failing_and_deleted(stack):
    stack.fail("b")
    stack.create(MORE)
    stack.ended("CREATE_FAILED")
    stack.delete()
    stack.reached("DELETE_COMPLETE")


def test_create_cancelled(stack):
    """In the middle of the first goal: back to nothing."""
    stack.hold("b")
    stack.create(MORE)
    stack.until(b="BUILDING")
    stack.cancel()
    stack.let("b")
    stack.ended("ROLLBACK_COMPLETE")
    stack.alike({})


def test_update_after_a_creation_rolled_back(stack):
    stack.fail("b")
    stack.create(MORE, **BACK)
    stack.ended("ROLLBACK_COMPLETE")
    stack.heal("b")
    stack.update(MORE)
    stack.reached("UPDATE_COMPLETE")


@pytest.mark.scenario
def test_update_failing_with_rollback(stack):
    """The new node fails; what was changed and replaced before it is as it was, those there before are the same."""
    stack.create(MORE)
    stack.reached("CREATE_COMPLETE")
    before = stack.ids()
    stack.fail("bad")
    stack.update(MORE | {"a": node(size=2, fixed=2), "bad": node(a=ref("a"))}, **BACK)
    stack.reached("ROLLBACK_COMPLETE", MORE)
    assert stack.ids() == before


def test_update_failing_on_a_replacement_with_rollback(stack):
    stack.create(MORE)
    stack.reached("CREATE_COMPLETE")
    before = stack.ids()
    stack.fail("a")
    stack.update(MORE | {"a": node(size=2, fixed=2)}, **BACK)
    stack.reached("ROLLBACK_COMPLETE", MORE)
    assert stack.ids() == before


def test_update_failing_in_place_and_given_again(stack):
    stack.create(MORE)
    stack.reached("CREATE_COMPLETE")
    stack.fail("a")
    goal = MORE | {"a": node(size=2, fixed=1)}
    stack.update(goal)
    stack.ended("UPDATE_FAILED")
    stack.heal("a")
    stack.update(goal)
    stack.reached("UPDATE_COMPLETE")


def test_update_failing_and_resumed(stack):
    stack.create(MORE)
    stack.reached("CREATE_COMPLETE")
    stack.fail("new")
    stack.update(without(MORE, "c") | {"new": node(b=ref("b")), "after": node(new=ref("new"))})
    stack.ended("UPDATE_FAILED")
    stack.heal("new")
    stack.resume()
    stack.reached("UPDATE_COMPLETE")


def test_update_failing_and_deleted(stack):
    stack.create(MORE)
    stack.reached("CREATE_COMPLETE")
    stack.fail("a")
    stack.update(MORE | {"a": node(fixed=2)})
    stack.ended("UPDATE_FAILED")
    stack.delete()
    stack.reached("DELETE_COMPLETE")


@pytest.mark.scenario
def test_rollback_early(stack):
    """Asked for when the first node of the update has just begun."""
    stack.create(MORE)
    stack.reached("CREATE_COMPLETE")
    before = stack.ids()
    stack.hold("a")
    stack.update(MORE | {"a": node(size=1, fixed=2), "d": node(c=ref("c"))})
    stack.until(a="BUILDING")
    stack.rollback()
    stack.let("a")
    stack.reached("ROLLBACK_COMPLETE", MORE)
    assert stack.ids() == before


def test_rollback_late(stack):
    """Asked for in the clean-up: what is gone already is made again."""
    stack.create(MORE)
    stack.reached("CREATE_COMPLETE")
    stack.hold("c")
    stack.update({"a": node(size=1, fixed=2), "b": PAIR["b"]})
    stack.until(c="DELETING")
    stack.rollback()
    stack.let("c")
    stack.reached("ROLLBACK_COMPLETE", MORE)


def test_update_during_a_rollback(stack):
    stack.create(MORE)
    stack.reached("CREATE_COMPLETE")
    stack.hold("new")
    stack.update(MORE | {"new": node(b=ref("b"))})
    stack.until(new="BUILDING")
    stack.rollback()
    stack.update(MORE | {"a": node(size=3, fixed=1), "other": node(c=ref("c"))})
    stack.let("new")
    stack.reached("UPDATE_COMPLETE")


def test_delete_during_a_rollback(stack):
    stack.create(MORE)
    stack.reached("CREATE_COMPLETE")
    stack.hold("new")
    stack.update(MORE | {"new": node(b=ref("b"))})
    stack.until(new="BUILDING")
    stack.rollback()
    stack.delete()
    stack.let("new")
    stack.reached("DELETE_COMPLETE")


@pytest.mark.scenario
def test_update_after_a_failed_rollback(stack):
    """The way back is barred too; the next goal is reached from wherever that left the stack."""
    stack.create(MORE)
    stack.reached("CREATE_COMPLETE")
    stack.update(MORE | {"a": node(size=2, fixed=1), "held": node(a=ref("a"))})
    stack.reached("UPDATE_COMPLETE")
    stack.fail("a", "held")
    stack.update(MORE | {"a": node(size=3, fixed=1), "held": node(a=ref("a"), p=2)}, **BACK)
    stack.ended("ROLLBACK_FAILED")
    stack.heal("a", "held")
    stack.update(MORE | {"a": node(size=4, fixed=1)})
    stack.reached("UPDATE_COMPLETE")


def test_cancelled_without_rollback_and_resumed(stack):
    stack.create(MORE)
    stack.reached("CREATE_COMPLETE")
    stack.hold("a")
    stack.update(MORE | {"a": node(size=2, fixed=1), "d": node(c=ref("c"))})
    stack.until(a="UPDATING")
    stack.cancel(rollback=False)
    stack.ended("UPDATE_FAILED")
    stack.let("a")
    stack.resume()
    stack.reached("UPDATE_COMPLETE")


def test_a_deletion_that_the_cloud_refuses_for_a_while(stack):
    stack.create(MORE)
    stack.reached("CREATE_COMPLETE")
    stack.refuse("b")
    stack.delete()
    stack.until(c="GONE", b="ACTIVE")
    stack.accept()
    stack.reached("DELETE_COMPLETE")

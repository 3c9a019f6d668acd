"""``deletion_policy: Retain``: what the goal has no use for stays in the cloud."""
from __future__ import annotations

import pytest

from tests.support.scenarios.goals import node, ref, without

DISK = {"disk": node(retain=True, size=1, fixed=1), "server": node(disk=ref("disk"))}


@pytest.mark.scenario
def test_retained_when_the_stack_is_deleted(stack):
    stack.create(DISK)
    stack.reached("CREATE_COMPLETE")
    kept = [stack.id("disk")]
    stack.delete()
    stack.reached("DELETE_COMPLETE", retained=kept)


def test_retained_when_taken_out_of_the_goal(stack):
    stack.create(DISK)
    stack.reached("CREATE_COMPLETE")
    kept = [stack.id("disk")]
    stack.update({"server": node()})
    stack.reached("UPDATE_COMPLETE", retained=kept)


def test_retained_when_replaced(stack):
    stack.create(DISK)
    stack.reached("CREATE_COMPLETE")
    kept = [stack.id("disk")]
    stack.update(DISK | {"disk": node(retain=True, size=1, fixed=2)})
    stack.reached("UPDATE_COMPLETE", retained=kept)


def test_no_longer_retained(stack):
    """The policy of the goal that had it last counts."""
    stack.create(DISK)
    stack.reached("CREATE_COMPLETE")
    stack.update(DISK | {"disk": node(size=1, fixed=1)})
    stack.reached("UPDATE_COMPLETE")
    stack.update(without(DISK, "disk", "server") | {"server": node()})
    stack.reached("UPDATE_COMPLETE")

"""Large graphs, long and wide."""
from __future__ import annotations

import pytest

from tests.support.scenarios.goals import attr, chain, fan, node, ref
from tests.support.scenarios.stage import LONG_BOUND

pytestmark = pytest.mark.timeout(4 * LONG_BOUND)


def test_chain_of_200(stack):
    stack.create(chain(200))
    stack.reached("CREATE_COMPLETE", bound=LONG_BOUND)


def test_attribute_through_a_chain_of_30(stack):
    """Every one is replaced, since the one before it was."""
    goal = {"n0": node(fixed=1, way=1)} | {
        f"n{at}": node(fixed=ref(f"n{at - 1}"), way=attr(f"n{at - 1}", "way")) for at in range(1, 30)}
    stack.create(goal)
    stack.reached("CREATE_COMPLETE")
    stack.update(goal | {"n0": node(fixed=2, way=2)})
    stack.reached("UPDATE_COMPLETE", bound=LONG_BOUND)


def test_fan_out_of_500(stack):
    stack.create(fan(500, fixed=1))
    stack.reached("CREATE_COMPLETE", bound=LONG_BOUND)
    stack.update(fan(500, fixed=2))
    stack.reached("UPDATE_COMPLETE", bound=LONG_BOUND)

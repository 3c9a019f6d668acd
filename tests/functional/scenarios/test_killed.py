"""Every process of the deployment dies at one moment in the middle of an update; started again, it completes."""
from __future__ import annotations

import pytest

from tests.support.scenarios.goals import attr, node, ref


def forty(*, size: int, fixed: int) -> dict:
    """Ten disjoint chains of four; a change of size goes through each, one of fixed replaces every second head."""
    goal = {}
    for at in range(10):
        goal[f"a{at}"] = node(size=size, fixed=fixed if at % 2 else 0)
        goal[f"b{at}"] = node(a=ref(f"a{at}"), size=attr(f"a{at}", "size"))
        goal[f"c{at}"] = node(fixed=ref(f"b{at}"), size=attr(f"b{at}", "size"))
        goal[f"d{at}"] = node(c=ref(f"c{at}"), size=attr(f"c{at}", "size"))
    return goal


@pytest.mark.scenario
def test_everything_killed_in_the_middle_of_an_update(stack):
    stack.create(forty(size=1, fixed=1))
    stack.reached("CREATE_COMPLETE")
    stack.hold("b0", "d9")  # so that it is the middle, however quick the rest is
    stack.update(forty(size=2, fixed=2))
    stack.until(b0="UPDATING")
    stack.stage.kill_everything()
    stack.let("b0", "d9")
    stack.stage.start_again()
    stack.reached("UPDATE_COMPLETE")

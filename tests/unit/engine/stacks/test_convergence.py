"""Whatever is wanted when, and whatever goes wrong meanwhile: it ends, and in the end the goal is what there is."""
from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.examples import CHAOS, examples, profile
from tests.support.stack_reality import Reality, random_goal

EXAMPLES = examples(40, quick=6, chaos=2000)


@given(
    seed=st.integers(0, 2**32 - 1), size=st.sampled_from([1, 2, 3, 4, 6, 10, 30]),
    turns=st.lists(st.tuples(st.sampled_from(["goal", "goal", "interrupt"]), st.integers(0, 60), st.booleans()),
                   min_size=1, max_size=5),
    failures=st.sampled_from([0.0, 0.1, 0.3]), last=st.sampled_from(["goal", "as it is", "delete"]),
)
@settings(max_examples=EXAMPLES, deadline=None, derandomize=profile() != CHAOS, print_blob=True)
def test_whatever_happens_it_ends_with_one_live_copy_of_each_node_of_the_goal(seed, size, turns, failures, last):
    reality = Reality(seed, failures=failures)
    reality.want(random_goal(reality.rng, size), disable_rollback=not turns[0][2])
    for what, steps, disable_rollback in turns:
        reality.go_on(steps)
        if what == "interrupt" or reality.stack().status == "DELETE_COMPLETE":
            reality.interrupt()
        else:
            reality.want(random_goal(reality.rng, size), disable_rollback=disable_rollback)
    reality.settle()
    if last == "delete":
        reality.delete()
    elif last == "goal" and reality.stack().status != "DELETE_COMPLETE":
        reality.want(random_goal(reality.rng, size))
    reality.calm()
    reality.check()
    reality.store.close()

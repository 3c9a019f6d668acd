"""Promises of the pure graph: order and cycles."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obsvc.engine.templates.graph import Graph


@st.composite
def acyclic(draw):
    """Graphs without cycles: a node requires only nodes before it in a shuffled order."""
    names = draw(st.permutations([f"n{index}" for index in range(draw(st.integers(0, 12)))]))
    requires = {name: draw(st.sets(st.sampled_from(names[:at]))) if at else set() for at, name in enumerate(names)}
    return dict(sorted(requires.items()))


@given(acyclic())
def test_an_order_puts_each_node_once_and_after_what_it_requires(requires):
    graph = Graph(requires)
    order = graph.order()
    assert sorted(order) == sorted(requires)
    for at, name in enumerate(order):
        assert set(requires[name]) <= set(order[:at])
    assert graph.cycle() is None


@given(acyclic(), st.randoms())
def test_of_equals_the_one_given_first_comes_first(requires, random):
    order, given = Graph(requires).order(), list(requires)
    depth: dict[str, int] = {}
    for name in order:
        depth[name] = 1 + max((depth[other] for other in requires[name]), default=0)
    roots = [name for name in order if not requires[name]]
    assert roots == [name for name in given if not requires[name]]
    assert order == sorted(order, key=lambda name: depth[name])
    shuffled = {name: random.sample(sorted(wanted), len(wanted)) for name, wanted in requires.items()}
    assert Graph(shuffled).order() == order


@given(st.dictionaries(st.sampled_from("abcdef"), st.sets(st.sampled_from("abcdef"))))
def test_a_cycle_is_one_and_is_found_exactly_where_no_order_exists(requires):
    requires = {name: requires.get(name, set()) for name in "abcdef"}
    graph = Graph(requires)
    cycle = graph.cycle()
    if cycle is None:
        assert len(graph.order()) == 6
        return
    assert cycle[0] == cycle[-1] == min(cycle) and len(cycle) >= 2
    assert all(after in requires[before] for before, after in zip(cycle, cycle[1:], strict=False))
    with pytest.raises(ValueError, match="cycle"):
        graph.order()


def test_a_requirement_that_is_no_node_is_refused():
    with pytest.raises(ValueError, match="'b' required by 'a'"):
        Graph({"a": ["b"]})


def test_a_long_chain_needs_no_deep_stack():
    chain = {f"n{at}": [f"n{at - 1}"] if at else [] for at in range(20_000)}
    assert Graph(chain).cycle() is None
    chain["n0"] = ["n19999"]
    assert len(Graph(chain).cycle() or ()) == 20_001

"""Edges of a stack: wanted by the goal, actual of the copies."""
from __future__ import annotations

import pytest

from obsvc.engine.stacks import edges
from obsvc.engine.templates.functions import Facts
from tests.support.stack_rows import STACK

BOTH, WANTED, ACTUAL = (True, True), (True, False), (False, True)


@pytest.fixture
def graph(rows):
    """b and c require a, d requires b; c does no more, though it was made with a; d is to require c as well."""
    for position, name in enumerate("abcd"):
        rows.add_node(name, position=position, resource_id=f"id-{name}", attributes=f'{{"own": "{name}"}}')
    rows.add_edges({("b", "a"): BOTH, ("c", "a"): ACTUAL, ("d", "b"): BOTH, ("d", "c"): WANTED})
    return rows


def test_what_is_known_of_the_nodes_that_the_goal_requires(graph):
    with graph.transaction() as tx:
        facts = edges.required_facts(tx, ["a", "c", "d"])
    assert facts == {"a": {}, "c": {}, "d": {
        "b": Facts("id-b", {"own": "b"}), "c": Facts("id-c", {"own": "c"})}}


def test_forward_waits_for_what_is_wanted_deletion_for_what_is_actual(graph):
    with graph.transaction() as tx:
        assert edges.dependents(tx, ["a"]) == {"b": 1}
        assert edges.dependents(tx, ["b", "c"]) == {"d": 2}
        assert edges.requirements(tx, ["b", "c"]) == {"a": 2}
        assert edges.requirements(tx, ["d"]) == {"b": 1}


def test_a_node_that_is_made_uses_what_the_goal_wants_and_nothing_else_once_it_is_done(graph):
    with graph.transaction() as tx:
        edges.make_actual(tx, ["c", "d"])
        edges.drop_unwanted(tx, ["c", "d"])
    assert graph.edges() == {("b", "a"): BOTH, ("d", "b"): BOTH, ("d", "c"): BOTH}


def test_a_new_copy_takes_over_what_the_goal_says_and_the_old_keeps_what_it_was_made_with(graph):
    graph.add_node("new")
    with graph.transaction() as tx:
        edges.hand_over(tx, "b", "new")
    assert graph.edges() == {
        ("b", "a"): ACTUAL, ("new", "a"): BOTH, ("d", "b"): ACTUAL, ("d", "new"): WANTED,
        ("c", "a"): ACTUAL, ("d", "c"): WANTED}


def test_another_goal_wants_its_own_edges_beside_what_the_copies_were_made_with(graph):
    graph.add_stack("other")
    graph.add_node("x", stack_id="other")
    graph.add_node("y", stack_id="other")
    graph.add_edges({("y", "x"): WANTED})
    with graph.transaction() as tx:
        edges.write_goal_edges(tx, STACK, [("c", "a"), ("a", "d")])
    assert graph.edges() == {
        ("b", "a"): ACTUAL, ("c", "a"): BOTH, ("d", "b"): ACTUAL, ("a", "d"): WANTED, ("y", "x"): WANTED}

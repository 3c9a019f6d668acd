"""A third party's plugin, the example of docs/plugins.md, on the whole deployment beside those of obsvc."""
from __future__ import annotations

import dataclasses

from tests.support.scenarios.goals import Node, attr, node, ref


def note(**properties) -> Node:
    return dataclasses.replace(node(**properties), type="Example::Note")


def test_notes_of_a_third_party(stack):
    goal = {"a": node(size=1), "note": note(text=ref("a"), colour="red"), "b": node(text=attr("note", "text"))}
    stack.create(goal)
    stack.reached("CREATE_COMPLETE")
    first = stack.ids()
    stack.update(goal | {"note": note(text="changed", colour="red")})
    stack.reached("UPDATE_COMPLETE")
    assert stack.ids() == first
    stack.update(goal | {"note": note(text="changed", colour="blue")})
    stack.reached("UPDATE_COMPLETE")
    assert stack.id("note") != first["note"] and stack.id("b") == first["b"]

"""Goals given to a stack that has reached the one before."""
from __future__ import annotations

import pytest

from tests.support.scenarios.goals import attr, node, ref, without

WEB = {
    "net": node(size=1, fixed="flat"),
    "port": node(network=ref("net"), size=attr("net", "size")),
    "server": node(port=ref("port"), kind="small"),
}

DIAMOND = {
    "top": node(p=1, fixed=1),
    "left": node(top=ref("top"), side="l"),
    "right": node(top=ref("top"), side="r"),
    "bottom": node("left", right=ref("right")),
}


def test_create(stack):
    """Each is begun when what it requires is there."""
    stack.create(WEB)
    stack.reached("CREATE_COMPLETE")
    net, port, server = (stack.id(name) for name in WEB)
    assert stack.when(net, "ACTIVE") <= stack.when(port, "BUILDING")
    assert stack.when(port, "ACTIVE") <= stack.when(server, "BUILDING")


@pytest.mark.scenario
def test_diamond(stack):
    stack.create(DIAMOND)
    stack.reached("CREATE_COMPLETE")
    stack.update(DIAMOND | {"top": node(p=1, fixed=2)})
    stack.reached("UPDATE_COMPLETE")


def test_disjoint_graphs(stack):
    stack.create({"a": node(fixed=1), "b": node(a=ref("a")), "x": node(), "y": node("x"), "alone": node()})
    stack.reached("CREATE_COMPLETE")
    untouched = {one: stack.id(one) for one in ("x", "y", "alone")}
    stack.update(stack.goal | {"a": node(fixed=2)})
    stack.reached("UPDATE_COMPLETE")
    assert untouched == {one: stack.id(one) for one in untouched}


def test_delete(stack):
    """In reverse: what is required goes when nobody requires it any more."""
    stack.create(DIAMOND)
    stack.reached("CREATE_COMPLETE")
    ids = stack.ids()
    stack.delete()
    stack.reached("DELETE_COMPLETE")
    for name in ("left", "right"):
        assert stack.when(ids["bottom"], "DELETED") <= stack.when(ids[name], "DELETING")
        assert stack.when(ids[name], "DELETED") <= stack.when(ids["top"], "DELETING")


def test_update_of_nothing(stack):
    """The same goal again: the cloud is not touched."""
    stack.create(WEB)
    stack.reached("CREATE_COMPLETE")
    before = stack.revisions()
    stack.update(WEB)
    stack.reached("UPDATE_COMPLETE")
    assert stack.revisions() == before


def test_update_adds(stack):
    stack.create(WEB)
    stack.reached("CREATE_COMPLETE")
    stack.update(WEB | {"disk": node(server=ref("server")), "logs": node()})
    stack.reached("UPDATE_COMPLETE")


def test_update_removes(stack):
    stack.create(WEB)
    stack.reached("CREATE_COMPLETE")
    stack.update(without(WEB, "server", "port"))
    stack.reached("UPDATE_COMPLETE")


def test_update_inserts_between(stack):
    stack.create({"a": node(), "c": node(before=ref("a"))})
    stack.reached("CREATE_COMPLETE")
    stack.update({"a": node(), "b": node(before=ref("a")), "c": node(before=ref("b"))})
    stack.reached("UPDATE_COMPLETE")


@pytest.mark.scenario
def test_update_changes_in_place(stack):
    stack.create(WEB)
    stack.reached("CREATE_COMPLETE")
    before = stack.ids()
    stack.update(WEB | {"net": node(size=2, fixed="flat"), "server": node(port=ref("port"), kind="large")})
    stack.reached("UPDATE_COMPLETE")
    assert stack.ids() == before


def test_update_takes_properties_away(stack):
    stack.create({"a": node(p=1, q=2)})
    stack.reached("CREATE_COMPLETE")
    stack.update({"a": node(q=2)})
    stack.reached("UPDATE_COMPLETE")


@pytest.mark.scenario
def test_update_replaces(stack):
    """What refers to the replaced one follows its new id, in place; until then the old one is not touched."""
    stack.create(WEB)
    stack.reached("CREATE_COMPLETE")
    before = stack.ids()
    stack.update(WEB | {"net": node(size=1, fixed="deep")})
    stack.reached("UPDATE_COMPLETE")
    after = stack.ids()
    assert {name for name in before if before[name] != after[name]} == {"net"}
    assert stack.when(after["port"], "ACTIVE") <= stack.when(before["net"], "DELETING")


def test_get_attr_chain_through_replaced_resources(stack):
    """Each replacement gives the next one another fixed property: the change goes through the whole chain."""
    goal = {
        "a": node(fixed=1, size=10),
        "b": node(fixed=ref("a"), size=attr("a", "size")),
        "c": node(fixed=attr("b", "fixed"), size=attr("b", "size")),
        "d": node(size=attr("c", "size"), whose=attr("c", "fixed")),
    }
    stack.create(goal)
    stack.reached("CREATE_COMPLETE")
    before = stack.ids()
    stack.update(goal | {"a": node(fixed=2, size=20)})
    stack.reached("UPDATE_COMPLETE")
    after = stack.ids()
    assert {name for name in before if before[name] != after[name]} == {"a", "b", "c"}


def test_dependencies_inverted_in_place(stack):
    stack.create({"a": node(p=1), "b": node(a=ref("a"))})
    stack.reached("CREATE_COMPLETE")
    stack.update({"a": node(p=1, b=ref("b")), "b": node()})
    stack.reached("UPDATE_COMPLETE")


@pytest.mark.scenario
def test_replace_with_inverted_dependencies(stack):
    stack.create({"a": node(fixed=1), "b": node(fixed=1, a=ref("a")), "c": node(b=ref("b"))})
    stack.reached("CREATE_COMPLETE")
    stack.update({"c": node(), "b": node(fixed=2, c=ref("c")), "a": node(fixed=2, b=ref("b"))})
    stack.reached("UPDATE_COMPLETE")


def test_everything_replaced(stack):
    stack.create({name: node(fixed=1) for name in "abcdef"})
    stack.reached("CREATE_COMPLETE")
    stack.update({name: node(fixed=2) for name in "abcdef"})
    stack.reached("UPDATE_COMPLETE")


def test_another_goal_altogether_and_back(stack):
    stack.create(WEB)
    stack.reached("CREATE_COMPLETE")
    stack.update(DIAMOND)
    stack.reached("UPDATE_COMPLETE")
    stack.update(WEB)
    stack.reached("UPDATE_COMPLETE")


def test_what_somebody_deleted_comes_back(stack):
    """Lost behind our back, then the same goal again: another copy is made, and who refers to it follows."""
    stack.create(WEB)
    stack.reached("CREATE_COMPLETE")
    lost = stack.id("net")
    stack.lose("net")
    stack.until(net="GONE")
    stack.drifted("net")
    stack.update(WEB)
    stack.reached("UPDATE_COMPLETE")
    assert stack.id("net") != lost

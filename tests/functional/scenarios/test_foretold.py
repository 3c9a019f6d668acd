"""A preview says what the update then does."""
from __future__ import annotations

import pytest

from tests.support.scenarios.goals import Goal, attr, node, ref, without
from tests.support.scenarios.stage import Script

BEFORE = {
    "same": node(size=1), "grows": node(size=1), "moves": node(fixed=1), "follows": node(of=ref("moves")),
    "user": node(fixed=ref("follows")), "gone": node(size=1), "kept": node(retain=True),
}
AFTER = without(BEFORE, "gone", "kept") | {"grows": node(size=2), "moves": node(fixed=2), "new": node(of=ref("grows"))}


@pytest.mark.scenario
def test_what_is_foretold_is_what_happens(stack):
    stack.create(BEFORE)
    stack.reached("CREATE_COMPLETE")
    before = stack.ids()
    foretold = stack.foretold(AFTER)
    assert stack.ids() == before, "a preview changes nothing"
    assert foretold == {
        "same": "none", "grows": "update", "moves": "replace", "follows": "update", "user": "none", "new": "create",
        "gone": "delete", "kept": "retain"}
    stack.update(AFTER)
    stack.reached("UPDATE_COMPLETE", retained=[before["kept"]])
    after = stack.ids()
    assert {name for name in after if name not in before} == {"new"}
    assert {name for name in before if name not in after} == {"gone"} and after["kept"] == before["kept"]
    assert {name for name in before.keys() & after if after[name] != before[name]} == {"moves"}


WEB = {
    "net": node(size=1, fixed="flat"),
    "port": node(network=ref("net"), size=attr("net", "size")),
    "disk": node(retain=True, fixed=1),
    "server": node(port=ref("port"), disk=ref("disk"), kind="small"),
    "log": node(size=1),
    "old": node(fixed=1),
}


def comes_true(stack: Script, goal: Goal) -> dict[str, str]:
    """Update to the goal; what was foretold, once it is seen to be what happened."""
    ids, revisions = stack.ids(), stack.revisions()
    told = stack.foretold(goal)
    assert stack.revisions() == revisions, "a preview changes nothing"
    stack.update(goal)
    stack.reached("UPDATE_COMPLETE", retained=[ids[name] for name, change in told.items() if change == "retain"])
    after, later = stack.ids(but=stack.stage.retained), stack.revisions()
    happened = {}
    for name in ids.keys() | after.keys():
        was, now = ids.get(name), after.get(name)
        if was is None:
            happened[name] = "create"
        elif now is None:
            happened[name] = "retain" if was in later else "delete"
        elif was != now:
            happened[name] = "replace"
        else:
            happened[name] = "none" if later[now] == revisions[now] else "update"
    assert happened == told
    return told


def test_foretold_change_of_nothing(stack):
    stack.create(WEB)
    stack.reached("CREATE_COMPLETE")
    assert set(comes_true(stack, WEB).values()) == {"none"}


def test_foretold_replacement_of_what_refers_to_the_replaced(stack):
    """A reference that can't be changed in place has its owner replaced too, through the whole chain."""
    goal = {"n0": node(fixed=1)} | {f"n{at}": node(fixed=ref(f"n{at - 1}")) for at in range(1, 5)}
    stack.create(goal)
    stack.reached("CREATE_COMPLETE")
    assert comes_true(stack, goal | {"n1": node(fixed=9)}) == {
        "n0": "none", "n1": "replace", "n2": "replace", "n3": "replace", "n4": "replace"}


def test_foretold_removal_of_everything_but_one(stack):
    stack.create(WEB)
    stack.reached("CREATE_COMPLETE")
    assert comes_true(stack, {"log": node(size=1)}) == {
        "net": "delete", "port": "delete", "server": "delete", "old": "delete", "disk": "retain", "log": "none"}


def test_foretold_after_a_failure(stack):
    stack.create({"a": node(), "b": node(a=ref("a"))})
    stack.reached("CREATE_COMPLETE")
    stack.fail("b")
    stack.update({"a": node(), "b": node(a=ref("a"), p=1), "c": node(b=ref("b"))})
    stack.ended("UPDATE_FAILED")
    stack.heal("b")
    told = stack.foretold(stack.goal)
    assert told["a"] == "none" and told["c"] == "create" and told["b"] in ("update", "replace")
    assert comes_true(stack, stack.goal)["b"] == told["b"]


def test_foretold_in_the_middle_of_a_create(stack):
    """What is under way is said to be; what is not begun would be created."""
    goal = {"a": node(), "b": node(a=ref("a")), "c": node(b=ref("b"))}
    stack.hold("b")
    stack.create(goal)
    stack.until(a="ACTIVE", b="BUILDING")
    nodes = {one["name"]: one for one in stack.preview(goal | {"d": node()})}
    assert {name: one["change"] for name, one in nodes.items()} == {
        "a": "none", "b": "update", "c": "create", "d": "create"}
    assert "under way" in nodes["b"]["reason"]
    stack.let("b")
    stack.reached("CREATE_COMPLETE")


def test_foretold_goal_that_is_refused(stack):
    """As the update would be; and the stack stays as it is."""
    stack.create(WEB)
    stack.reached("CREATE_COMPLETE")
    before = stack.revisions()
    wrong = WEB | {"port": node(network=ref("nowhere"))}
    assert stack.refused(lambda: stack.preview(wrong)) == stack.refused(lambda: stack.update(wrong)) == 400
    assert stack.revisions() == before
    stack.reached("CREATE_COMPLETE", goal=WEB)

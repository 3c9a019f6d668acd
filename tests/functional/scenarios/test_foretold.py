"""A preview says what the update then does."""
from __future__ import annotations

import pytest

from tests.functional.scenarios.goals import node, ref, without

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

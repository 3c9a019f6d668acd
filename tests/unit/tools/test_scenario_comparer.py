"""The checker of the scenarios is checked first: it sees each way in which a cloud may not be as a goal has it."""
from __future__ import annotations

import pytest

from tests.support.scenarios.comparing import differences
from tests.support.scenarios.goals import attr, node, ref

GOAL = {"net": node(fixed=1, size=2), "port": node(network=ref("net"), size=attr("net", "size"))}


def real(which: str, name: str, status: str = "ACTIVE", **properties) -> dict:
    return {"id": which, "name": f"s.{name}", "exists": True, "status": status,
            "properties": {"name": f"s.{name}", **properties}}


NET = real("id-net", "net", **{"!fixed": 1, "size": 2})
PORT = real("id-port", "port", network="id-net", size=2)


def test_a_cloud_as_the_goal_has_it_differs_nowhere():
    gone = NET | {"id": "id-gone", "exists": False}
    other = real("id-other", "net") | {"name": "s2.net"}
    assert differences(GOAL, "s", [NET, PORT, gone, other]) == []


@pytest.mark.parametrize(("truth", "said"), [
    ([NET], ["port: expected one copy, found []"]),
    ([NET, PORT, PORT | {"id": "id-twin"}], ["port: expected one copy, found ['id-port', 'id-twin']"]),
    ([NET, PORT, real("id-x", "x")], ["s.x: is not part of the goal, and there: id-x ACTIVE"]),
    ([NET, PORT | {"status": "ERROR"}], ["port: id-port is ERROR"]),
    ([NET, real("id-port", "port", network="id-old", size=2)], ["port.network: expected 'id-net', found 'id-old'"]),
    ([real("id-net", "net", **{"!fixed": 1, "size": 3}), PORT],
     ["net.size: expected 2, found 3", "port.size: expected 3, found 2"]),
    ([NET, real("id-port", "port", network="id-net", size=2, more=1)], ["port.more: expected 'nothing', found 1"]),
    ([NET, real("id-port", "port", size=2)], ["port.network: expected 'id-net', found 'nothing'"]),
])
def test_each_difference_is_named(truth, said):
    assert differences(GOAL, "s", truth) == said


def test_what_is_retained_has_to_be_there_beside_the_goal():
    kept = NET | {"id": "id-kept"}
    assert differences(GOAL, "s", [NET, PORT, kept], retained=["id-kept"]) == []
    assert differences(GOAL, "s", [NET, PORT], retained=["id-kept"]) == ["retained id-kept: gone"]

"""``/v1/selectors``: whose they are, what they show, and what a foreign project can learn of them: nothing."""
from __future__ import annotations

import pytest

from obsvc.engine_client.selectors import DiscoverRequest
from obsvc.model import Condition, Ref
from tests.unit.test_api import SERVER, House, project


@pytest.fixture
def house():
    made = House()
    made.own()
    made.caller = project("p1")
    return made


def start(house, **more):
    return house.http.simulate_post("/v1/selectors", json={"resource_type": "compute.server", **more})


def shown(house):
    return house.get("/v1/selectors").json["selectors"]


def test_a_selector_from_start_to_stop(house):
    one = start(house)
    assert one.status_code == 201 and start(house).json == one.json and shown(house) == [one.json]
    assert (one.json["project_id"], one.json["region"], one.json["resource_type"]) == (
        "p1", "RegionOne", "compute.server")
    path = f"/v1/selectors/{one.json['selector_id']}"
    found = house.get(path)
    assert found.json == one.json
    assert house.http.simulate_get(path, headers={"If-None-Match": found.headers["etag"]}).status_code == 304
    assert house.http.simulate_delete(path).status_code == 204
    assert shown(house) == [] and house.get(path).status_code == house.http.simulate_delete(path).status_code == 404


@pytest.mark.parametrize("body", [{"resource_type": "no.such"}, {"resource_id": "x"}, {"region": ""}, {"labels": {}}])
def test_what_cant_be_selected_is_refused(house, body):
    status = start(house, **body).status_code
    assert status == (201 if body == {"region": ""} else 400), "an empty region is the API's own"


def test_the_project_is_the_callers_own_and_an_operator_names_any(house):
    mine = start(house, project_id="p1").json
    assert start(house, project_id="p2").status_code == 403
    house.caller = project(None, "admin")
    assert start(house, project_id="p2").json["project_id"] == "p2" and start(house).json["project_id"] is None
    assert len(shown(house)) == 3
    house.caller = project("p1")
    assert shown(house) == [mine]


def test_a_foreign_selector_is_as_a_missing_one(house):
    theirs = start(house).json["selector_id"]
    house.caller = project("p2")
    missing = "0" * len(theirs)
    for method in ("GET", "DELETE"):
        answers = [house.http.simulate_request(method, f"/v1/selectors/{each}") for each in (theirs, missing)]
        assert [each.status_code for each in answers] == [404, 404]
        assert answers[0].text.replace(theirs, missing) == answers[1].text
    assert shown(house) == []
    house.caller = project("p1")
    assert len(shown(house)) == 1, "it was not stopped either"


def test_a_selector_shows_what_is_the_projects_and_nothing_before_it_was_seen(house):
    start(house)
    other = Ref("RegionOne", "compute.server", "of-p2")
    assert house.engine.discover(DiscoverRequest((SERVER, other))).started == 2
    assert house.get("/v1/resources").json["resources"] == []
    assert house.get("/v1/observations").json["observations"] == []
    house.see(SERVER, Condition.ACTIVE, project_id="p1")
    house.see(other, Condition.ACTIVE, project_id="p2", name="secret-name")
    answer = house.get("/v1/resources?resource_type=compute.server")
    assert [each["resource_id"] for each in answer.json["resources"]] == ["srv-1"] and "secret" not in answer.text
    changes = house.get("/v1/changes?since=0")
    assert [each["resource_id"] for each in changes.json["changes"]] == ["srv-1"] and "p2" not in changes.text
    house.caller = project("p2")
    assert house.get("/v1/resources").json["resources"] == []
    assert house.get(f"/v1/resources/compute.server/{other.resource_id}").status_code == 404

"""``/v1/selectors``: whose they are, what they show, and what a foreign project can learn of them: nothing."""
from __future__ import annotations

import dataclasses

import pytest

from obsvc.engine_client.selectors import DiscoverRequest
from obsvc.model import Condition, Ref
from tests.support.public_api import SERVER, ApiHarness, project


@pytest.fixture
def harness():
    made = ApiHarness()
    made.own()
    made.caller = project("p1")
    return made


def start(harness, **more):
    return harness.http.simulate_post("/v1/selectors", json={"resource_type": "compute.server", **more})


def shown(harness):
    return harness.get("/v1/selectors").json["selectors"]


def test_a_selector_from_start_to_stop(harness):
    one = start(harness)
    assert one.status_code == 201 and start(harness).json == one.json and shown(harness) == [one.json]
    assert (one.json["project_id"], one.json["region"], one.json["resource_type"]) == (
        "p1", "RegionOne", "compute.server")
    path = f"/v1/selectors/{one.json['selector_id']}"
    found = harness.get(path)
    assert found.json == one.json
    assert harness.http.simulate_get(path, headers={"If-None-Match": found.headers["etag"]}).status_code == 304
    assert harness.http.simulate_delete(path).status_code == 204
    assert shown(harness) == []
    assert harness.get(path).status_code == harness.http.simulate_delete(path).status_code == 404


@pytest.mark.parametrize("body", [{"resource_type": "no.such"}, {"resource_id": "x"}, {"region": ""}, {"labels": {}}])
def test_what_cant_be_selected_is_refused(harness, body):
    status = start(harness, **body).status_code
    assert status == (201 if body == {"region": ""} else 400), "an empty region is the API's own"


def test_the_project_is_the_callers_own_and_an_operator_names_any(harness):
    mine = start(harness, project_id="p1").json
    assert start(harness, project_id="p2").status_code == 403
    harness.caller = project(None, "admin")
    assert start(harness, project_id="p2").json["project_id"] == "p2" and start(harness).json["project_id"] is None
    assert len(shown(harness)) == 3
    harness.caller = project("p1")
    assert shown(harness) == [mine]


def test_a_foreign_selector_is_as_a_missing_one(harness):
    theirs = start(harness).json["selector_id"]
    harness.caller = project("p2")
    missing = "0" * len(theirs)
    for method in ("GET", "DELETE"):
        answers = [harness.http.simulate_request(method, f"/v1/selectors/{each}") for each in (theirs, missing)]
        assert [each.status_code for each in answers] == [404, 404]
        assert answers[0].text.replace(theirs, missing) == answers[1].text
    assert shown(harness) == []
    harness.caller = project("p1")
    assert len(shown(harness)) == 1, "it was not stopped either"


def test_a_selector_shows_what_is_the_projects_and_nothing_before_it_was_seen(harness):
    start(harness)
    other = Ref("RegionOne", "compute.server", "of-p2")
    assert harness.engine.discover(DiscoverRequest((SERVER, other))).started == 2
    assert harness.get("/v1/resources").json["resources"] == []
    assert harness.get("/v1/observations").json["observations"] == []
    harness.see(SERVER, Condition.ACTIVE, project_id="p1")
    harness.see(other, Condition.ACTIVE, project_id="p2", name="secret-name")
    answer = harness.get("/v1/resources?resource_type=compute.server")
    assert [each["resource_id"] for each in answer.json["resources"]] == ["srv-1"] and "secret" not in answer.text
    changes = harness.get("/v1/changes?since=0")
    assert [each["resource_id"] for each in changes.json["changes"]] == ["srv-1"] and "p2" not in changes.text
    harness.caller = project("p2")
    assert harness.get("/v1/resources").json["resources"] == []
    assert harness.get(f"/v1/resources/compute.server/{other.resource_id}").status_code == 404


def test_a_list_comes_in_pages_and_by_filters(harness):
    started = [start(harness, region=region).json for region in ("one", "two", "three")]
    started.append(start(harness, resource_type="sim.resource").json)
    pages, marker = [], ""
    while marker is not None:
        page = harness.get(f"/v1/selectors?limit=3{marker and f'&marker={marker}'}").json
        pages.append(page["selectors"])
        marker = page["marker"]
    assert [len(page) for page in pages] == [3, 1, 0]
    assert sum(pages, []) == sorted(started, key=lambda each: each["selector_id"])
    for query, count in ("region=two", 1), ("resource_type=compute.server", 3), ("project_id=p2", 0), ("region=zz", 0):
        assert len(harness.get(f"/v1/selectors?{query}").json["selectors"]) == count, query
    assert harness.get("/v1/selectors?limit=0").status_code == harness.get("/v1/selectors?label=a=b").status_code == 400


def test_a_project_has_so_many_selectors_and_no_more(harness):
    store = harness.service.store
    store.settings = dataclasses.replace(store.settings, selectors_per_project=2)
    first = start(harness, region="r1").json
    assert start(harness, region="r2").status_code == 201
    refused = start(harness, region="r3")
    assert refused.status_code == 409 and "p1 has 2 selectors" in refused.json["error"]["message"]
    assert start(harness, region="r1").json == first, "one that is there is answered"
    harness.caller = project("p2")
    assert start(harness, region="r3").status_code == 201, "another project has its own number"
    harness.caller = project(None, "admin")
    assert [start(harness, region=f"r{number}").status_code for number in range(4)] == [201] * 4, "of all projects"
    harness.caller = project("p1")
    assert harness.http.simulate_delete(f"/v1/selectors/{first['selector_id']}").status_code == 204
    assert start(harness, region="r3").status_code == 201

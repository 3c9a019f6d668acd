"""``/v1/selectors``: whose they are, what they show, and what a foreign project can learn of them: nothing."""
from __future__ import annotations

import dataclasses

import pytest

from obsvc.engine_client.selectors import DiscoverRequest
from obsvc.model import Condition, Ref
from tests.support.in_memory_api import SERVER, InMemoryApi, project


@pytest.fixture
def api():
    made = InMemoryApi()
    made.own()
    made.caller = project("p1")
    return made


def start(api, **more):
    return api.http.simulate_post("/v1/selectors", json={"resource_type": "compute.server", **more})


def shown(api):
    return api.get("/v1/selectors").json["selectors"]


def test_a_selector_from_start_to_stop(api):
    one = start(api)
    assert one.status_code == 201 and start(api).json == one.json and shown(api) == [one.json]
    assert (one.json["project_id"], one.json["region"], one.json["resource_type"]) == (
        "p1", "RegionOne", "compute.server")
    path = f"/v1/selectors/{one.json['selector_id']}"
    found = api.get(path)
    assert found.json == one.json
    assert api.http.simulate_get(path, headers={"If-None-Match": found.headers["etag"]}).status_code == 304
    assert api.http.simulate_delete(path).status_code == 204
    assert shown(api) == [] and api.get(path).status_code == api.http.simulate_delete(path).status_code == 404


@pytest.mark.parametrize("body", [{"resource_type": "no.such"}, {"resource_id": "x"}, {"region": ""}, {"labels": {}}])
def test_what_cant_be_selected_is_refused(api, body):
    status = start(api, **body).status_code
    assert status == (201 if body == {"region": ""} else 400), "an empty region is the API's own"


def test_the_project_is_the_callers_own_and_an_operator_names_any(api):
    mine = start(api, project_id="p1").json
    assert start(api, project_id="p2").status_code == 403
    api.caller = project(None, "admin")
    assert start(api, project_id="p2").json["project_id"] == "p2" and start(api).json["project_id"] is None
    assert len(shown(api)) == 3
    api.caller = project("p1")
    assert shown(api) == [mine]


def test_a_foreign_selector_is_as_a_missing_one(api):
    theirs = start(api).json["selector_id"]
    api.caller = project("p2")
    missing = "0" * len(theirs)
    for method in ("GET", "DELETE"):
        answers = [api.http.simulate_request(method, f"/v1/selectors/{each}") for each in (theirs, missing)]
        assert [each.status_code for each in answers] == [404, 404]
        assert answers[0].text.replace(theirs, missing) == answers[1].text
    assert shown(api) == []
    api.caller = project("p1")
    assert len(shown(api)) == 1, "it was not stopped either"


def test_a_selector_shows_what_is_the_projects_and_nothing_before_it_was_seen(api):
    start(api)
    other = Ref("RegionOne", "compute.server", "of-p2")
    assert api.engine.discover(DiscoverRequest((SERVER, other))).started == 2
    assert api.get("/v1/resources").json["resources"] == []
    assert api.get("/v1/observations").json["observations"] == []
    api.see(SERVER, Condition.ACTIVE, project_id="p1")
    api.see(other, Condition.ACTIVE, project_id="p2", name="secret-name")
    answer = api.get("/v1/resources?resource_type=compute.server")
    assert [each["resource_id"] for each in answer.json["resources"]] == ["srv-1"] and "secret" not in answer.text
    changes = api.get("/v1/changes?since=0")
    assert [each["resource_id"] for each in changes.json["changes"]] == ["srv-1"] and "p2" not in changes.text
    api.caller = project("p2")
    assert api.get("/v1/resources").json["resources"] == []
    assert api.get(f"/v1/resources/compute.server/{other.resource_id}").status_code == 404


def test_a_list_comes_in_pages_and_by_filters(api):
    started = [start(api, region=region).json for region in ("one", "two", "three")]
    started.append(start(api, resource_type="sim.resource").json)
    pages, marker = [], ""
    while marker is not None:
        page = api.get(f"/v1/selectors?limit=3{marker and f'&marker={marker}'}").json
        pages.append(page["selectors"])
        marker = page["marker"]
    assert [len(page) for page in pages] == [3, 1, 0]
    assert sum(pages, []) == sorted(started, key=lambda each: each["selector_id"])
    for query, count in ("region=two", 1), ("resource_type=compute.server", 3), ("project_id=p2", 0), ("region=zz", 0):
        assert len(api.get(f"/v1/selectors?{query}").json["selectors"]) == count, query
    assert api.get("/v1/selectors?limit=0").status_code == api.get("/v1/selectors?label=a=b").status_code == 400


def test_a_project_has_so_many_selectors_and_no_more(api):
    store = api.service.store
    store.settings = dataclasses.replace(store.settings, selectors_per_project=2)
    first = start(api, region="r1").json
    assert start(api, region="r2").status_code == 201
    refused = start(api, region="r3")
    assert refused.status_code == 409 and "p1 has 2 selectors" in refused.json["error"]["message"]
    assert start(api, region="r1").json == first, "one that is there is answered"
    api.caller = project("p2")
    assert start(api, region="r3").status_code == 201, "another project has its own number"
    api.caller = project(None, "admin")
    assert [start(api, region=f"r{number}").status_code for number in range(4)] == [201] * 4, "of all projects"
    api.caller = project("p1")
    assert api.http.simulate_delete(f"/v1/selectors/{first['selector_id']}").status_code == 204
    assert start(api, region="r3").status_code == 201

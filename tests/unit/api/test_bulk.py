"""Many observations in one request, each answered by itself; lists with filters; reads of what the caller has."""
from __future__ import annotations

import pytest

from obsvc.engine_client.contract import OPERATIONS
from obsvc.engine_client.observations import StartRequest
from obsvc.engine_client.stacks import StackCreate
from obsvc.model import Condition, Ref
from tests.support.in_memory_api import MEMBER, SERVER, TEMPLATE, InMemoryApi, project


@pytest.fixture
def api():
    made = InMemoryApi()
    made.own()
    return made


def item(resource_id="srv-1", **fields):
    return {"resource_type": "compute.server", "resource_id": resource_id, **fields}


def start(api, *items):
    return api.http.simulate_post("/v1/observations/start", json={"observations": list(items)})


def stop(api, *ids):
    return api.http.simulate_post("/v1/observations/stop", json={"observation_ids": list(ids)})


def test_each_start_is_answered_by_itself_in_order(api):
    one = item("a", goal="active")
    answer = start(api, one, item("b", resource_type="no.such"), item("c"), one)
    assert answer.status_code == 200
    first, wrong, third, again = answer.json["results"]
    assert [each["observation"]["resource_id"] for each in (first, third)] == ["a", "c"] and first["error"] is None
    assert wrong["observation"] is None and wrong["error"]["code"] == "invalid_input"
    assert "no.such" in wrong["error"]["message"]
    assert again == first, "the same ref and goal is the same observation"
    assert start(api, one).json["results"] == [first], "in a later request too"


def test_a_thousand_at_once_cost_the_engine_as_much_as_one(api, monkeypatch):
    api.caller = project("p1")
    asked = []
    for name in OPERATIONS:
        real = getattr(api.service, name)
        monkeypatch.setattr(
            api.service, name, lambda request, name=name, real=real: asked.append(name) or real(request))
    results = start(api, *(item(f"r{number}") for number in range(1000))).json["results"]
    assert len(results) == 1000 and all(each["observation"] for each in results)
    assert asked == ["read_resources", "start"]
    asked.clear()
    assert len(api.get("/v1/observations?limit=1000").json["observations"]) == 1000
    assert asked == ["list_observations", "read_resources"]
    asked.clear()
    ids = [each["observation"]["observation_id"] for each in results]
    assert all(each["error"] is None for each in stop(api, *ids).json["results"]) and asked == ["stop"]


@pytest.mark.parametrize("most", [0, 1001])
def test_a_request_has_one_to_a_thousand(api, most):
    assert start(api, *(item(f"r{number}") for number in range(most))).status_code == 400
    assert stop(api, *(f"r{number}" for number in range(most))).status_code == 400


def test_each_stop_is_answered_by_itself_in_order(api):
    one = start(api, item()).json["results"][0]["observation"]["observation_id"]
    stack = api.engine.create_stack(StackCreate("s", TEMPLATE))
    ref = Ref("RegionOne", "sim.resource", "of-a-stack")
    [of_stack] = api.service.store.run(lambda tx: _observe_for(tx, ref, stack.stack_id))
    results = stop(api, one, "nothing", of_stack.observation_id, one).json["results"]
    assert [each["observation_id"] for each in results] == [one, "nothing", of_stack.observation_id, one]
    assert [each["error"] and each["error"]["code"] for each in results] == [None, "not_found", "conflict", None]
    assert stop(api, one).json["results"][0]["error"]["code"] == "not_found"
    assert api.get(f"/v1/observations/{of_stack.observation_id}").status_code == 200


def _observe_for(tx, ref, stack_id):
    from obsvc.engine.observations import watches
    from obsvc.engine_client.observations import StartItem

    return watches.start(tx, [StartItem(ref)], stack_id=stack_id)


def test_a_foreign_one_is_answered_as_a_missing_one_and_the_others_go_on(api):
    theirs = start(api, item()).json["results"][0]["observation"]["observation_id"]
    api.see(SERVER, Condition.ACTIVE, project_id="p1", name="secret-name")
    api.caller = project("p2")
    answer = start(api, item(), item("own"))
    foreign, own = answer.json["results"]
    assert foreign["observation"] is None and foreign["error"]["code"] == "not_found" and own["observation"]
    assert "secret" not in answer.text and "p1" not in answer.text
    missing = "0" * len(theirs)
    found = [each["error"]["message"] for each in stop(api, theirs, missing).json["results"]]
    assert found[0].replace(theirs, missing) == found[1]
    api.caller = project("p1")
    assert api.get("/v1/observations").json["observations"] == []  # the operator's, of no project


def listed(api, query):
    return [each["resource_id"] for each in api.get(f"/v1/observations?{query}").json["observations"]]


def test_observations_are_listed_by_label_condition_and_owner(api):
    start(api, item("a", labels={"team": "one", "x": "100%"}), item("b", labels={"team": "two"}),
          item("c", labels={"note": '"team":"one"', "TEAM": "one"}))
    api.see(Ref("RegionOne", "compute.server", "b"), Condition.ERROR, project_id="p1")
    assert listed(api, "label=team%3Done") == ["a"] and listed(api, "label=x%3D100%25") == ["a"]
    assert listed(api, "label=x%3D1001") == listed(api, "label=team%3Don") == listed(api, "label=team%3D") == []
    assert listed(api, "condition=error") == ["b"] and sorted(listed(api, "condition=unknown")) == ["a", "c"]
    assert sorted(listed(api, f"member={MEMBER.name}")) == ["a", "b", "c"] and listed(api, "member=else") == []
    for query in ("label=team", "label=%3Done", "condition=fine"):
        assert api.get(f"/v1/observations?{query}").status_code == 400
    api.caller = project("p1")
    assert api.get(f"/v1/observations?member={MEMBER.name}").status_code == 403


def test_a_page_by_label_is_filled_up_from_what_follows(api):
    wanted = [f"w{number}" for number in range(5)]
    start(api, *(item(f"o{number}", labels={"of": '"k":"v"'}) for number in range(20)),
          *(item(each, labels={"k": "v"}) for each in wanted))
    found, marker = [], ""
    while True:
        page = api.get(f"/v1/observations?label=k%3Dv&limit=2{marker}").json
        if not page["observations"]:
            break
        found += [each["resource_id"] for each in page["observations"]]
        marker = f"&marker={page['marker']}"
    assert sorted(found) == wanted


@pytest.mark.parametrize("what", ["observation", "resource"])
def test_what_the_caller_has_already_is_not_sent_again(api, what):
    one = api.start().json["observation_id"]
    path = {"observation": f"/v1/observations/{one}", "resource": "/v1/resources/compute.server/srv-1"}[what]
    first = api.get(path)
    tag = first.headers["etag"]
    for known in (tag, f'"x", {tag}', "*", f"W/{tag}"):
        again = api.http.simulate_get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert api.http.simulate_get(path, headers={"If-None-Match": '"x"'}).json == first.json
    api.start(timeout=60, goal=None, labels={"a": "b"})
    api.see(SERVER, Condition.ACTIVE, project_id="p1")
    changed = api.http.simulate_get(path, headers={"If-None-Match": tag})
    assert changed.status_code == 200 and changed.headers["etag"] != tag


def test_starting_again_renews_what_there_is(api):
    first = api.start(goal="active", timeout=60, labels={"a": "b"}).json
    api.clock.advance(10)
    again = api.start(goal="active", timeout=60).json
    assert again["observation_id"] == first["observation_id"]
    assert (again["deadline"], again["labels"]) == (first["deadline"] + 10, {})
    assert len(api.engine.start(StartRequest(())).observations) == 0

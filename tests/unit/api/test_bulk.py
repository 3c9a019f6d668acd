"""Many observations in one request, each answered by itself; lists with filters; reads of what the caller has."""
from __future__ import annotations

import pytest

from obsvc.engine_client.contract import OPERATIONS
from obsvc.engine_client.observations import StartRequest
from obsvc.engine_client.stacks import StackCreate
from obsvc.model import Condition, Ref
from tests.support.public_api import MEMBER, SERVER, TEMPLATE, ApiHarness, project


@pytest.fixture
def harness():
    made = ApiHarness()
    made.own()
    return made


def item(resource_id="srv-1", **fields):
    return {"resource_type": "compute.server", "resource_id": resource_id, **fields}


def start(harness, *items):
    return harness.http.simulate_post("/v1/observations/start", json={"observations": list(items)})


def stop(harness, *ids):
    return harness.http.simulate_post("/v1/observations/stop", json={"observation_ids": list(ids)})


def test_each_start_is_answered_by_itself_in_order(harness):
    one = item("a", goal="active")
    answer = start(harness, one, item("b", resource_type="no.such"), item("c"), one)
    assert answer.status_code == 200
    first, wrong, third, again = answer.json["results"]
    assert [each["observation"]["resource_id"] for each in (first, third)] == ["a", "c"] and first["error"] is None
    assert wrong["observation"] is None and wrong["error"]["code"] == "invalid_input"
    assert "no.such" in wrong["error"]["message"]
    assert again == first, "the same ref and goal is the same observation"
    assert start(harness, one).json["results"] == [first], "in a later request too"


def test_a_thousand_at_once_cost_the_engine_as_much_as_one(harness, monkeypatch):
    harness.caller = project("p1")
    asked = []
    for name in OPERATIONS:
        real = getattr(harness.service, name)
        monkeypatch.setattr(
            harness.service, name, lambda request, name=name, real=real: asked.append(name) or real(request))
    results = start(harness, *(item(f"r{number}") for number in range(1000))).json["results"]
    assert len(results) == 1000 and all(each["observation"] for each in results)
    assert asked == ["read_resources", "start"]
    asked.clear()
    assert len(harness.get("/v1/observations?limit=1000").json["observations"]) == 1000
    assert asked == ["list_observations", "read_resources"]
    asked.clear()
    ids = [each["observation"]["observation_id"] for each in results]
    assert all(each["error"] is None for each in stop(harness, *ids).json["results"]) and asked == ["stop"]


@pytest.mark.parametrize("most", [0, 1001])
def test_a_request_has_one_to_a_thousand(harness, most):
    assert start(harness, *(item(f"r{number}") for number in range(most))).status_code == 400
    assert stop(harness, *(f"r{number}" for number in range(most))).status_code == 400


def test_each_stop_is_answered_by_itself_in_order(harness):
    one = start(harness, item()).json["results"][0]["observation"]["observation_id"]
    stack = harness.engine.create_stack(StackCreate("s", TEMPLATE))
    ref = Ref("RegionOne", "sim.resource", "of-a-stack")
    [of_stack] = harness.service.store.run(lambda tx: _observe_for(tx, ref, stack.stack_id))
    results = stop(harness, one, "nothing", of_stack.observation_id, one).json["results"]
    assert [each["observation_id"] for each in results] == [one, "nothing", of_stack.observation_id, one]
    assert [each["error"] and each["error"]["code"] for each in results] == [None, "not_found", "conflict", None]
    assert stop(harness, one).json["results"][0]["error"]["code"] == "not_found"
    assert harness.get(f"/v1/observations/{of_stack.observation_id}").status_code == 200


def _observe_for(tx, ref, stack_id):
    from obsvc.engine.observations import watches as observing
    from obsvc.engine_client.observations import StartItem

    return observing.start(tx, [StartItem(ref)], stack_id=stack_id)


def test_a_foreign_one_is_answered_as_a_missing_one_and_the_others_go_on(harness):
    theirs = start(harness, item()).json["results"][0]["observation"]["observation_id"]
    harness.see(SERVER, Condition.ACTIVE, project_id="p1", name="secret-name")
    harness.caller = project("p2")
    answer = start(harness, item(), item("own"))
    foreign, own = answer.json["results"]
    assert foreign["observation"] is None and foreign["error"]["code"] == "not_found" and own["observation"]
    assert "secret" not in answer.text and "p1" not in answer.text
    missing = "0" * len(theirs)
    found = [each["error"]["message"] for each in stop(harness, theirs, missing).json["results"]]
    assert found[0].replace(theirs, missing) == found[1]
    harness.caller = project("p1")
    assert harness.get("/v1/observations").json["observations"] == []  # the operator's, of no project


def listed(harness, query):
    return [each["resource_id"] for each in harness.get(f"/v1/observations?{query}").json["observations"]]


def test_observations_are_listed_by_label_condition_and_owner(harness):
    start(harness, item("a", labels={"team": "one", "x": "100%"}), item("b", labels={"team": "two"}),
          item("c", labels={"note": '"team":"one"', "TEAM": "one"}))
    harness.see(Ref("RegionOne", "compute.server", "b"), Condition.ERROR, project_id="p1")
    assert listed(harness, "label=team%3Done") == ["a"] and listed(harness, "label=x%3D100%25") == ["a"]
    assert listed(harness, "label=x%3D1001") == []
    assert listed(harness, "label=team%3Don") == listed(harness, "label=team%3D") == []
    assert listed(harness, "condition=error") == ["b"] and sorted(listed(harness, "condition=unknown")) == ["a", "c"]
    assert sorted(listed(harness, f"member={MEMBER.name}")) == ["a", "b", "c"] and listed(harness, "member=else") == []
    for query in ("label=team", "label=%3Done", "condition=fine"):
        assert harness.get(f"/v1/observations?{query}").status_code == 400
    harness.caller = project("p1")
    assert harness.get(f"/v1/observations?member={MEMBER.name}").status_code == 403


def test_a_page_by_label_is_filled_up_from_what_follows(harness):
    wanted = [f"w{number}" for number in range(5)]
    start(harness, *(item(f"o{number}", labels={"of": '"k":"v"'}) for number in range(20)),
          *(item(each, labels={"k": "v"}) for each in wanted))
    found, marker = [], ""
    while True:
        page = harness.get(f"/v1/observations?label=k%3Dv&limit=2{marker}").json
        if not page["observations"]:
            break
        found += [each["resource_id"] for each in page["observations"]]
        marker = f"&marker={page['marker']}"
    assert sorted(found) == wanted


@pytest.mark.parametrize("what", ["observation", "resource"])
def test_what_the_caller_has_already_is_not_sent_again(harness, what):
    one = harness.start().json["observation_id"]
    path = {"observation": f"/v1/observations/{one}", "resource": "/v1/resources/compute.server/srv-1"}[what]
    first = harness.get(path)
    tag = first.headers["etag"]
    for known in (tag, f'"x", {tag}', "*", f"W/{tag}"):
        again = harness.http.simulate_get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert harness.http.simulate_get(path, headers={"If-None-Match": '"x"'}).json == first.json
    harness.start(timeout=60, goal=None, labels={"a": "b"})
    harness.see(SERVER, Condition.ACTIVE, project_id="p1")
    changed = harness.http.simulate_get(path, headers={"If-None-Match": tag})
    assert changed.status_code == 200 and changed.headers["etag"] != tag


def test_starting_again_renews_what_there_is(harness):
    first = harness.start(goal="active", timeout=60, labels={"a": "b"}).json
    harness.clock.advance(10)
    again = harness.start(goal="active", timeout=60).json
    assert again["observation_id"] == first["observation_id"]
    assert (again["deadline"], again["labels"]) == (first["deadline"] + 10, {})
    assert len(harness.engine.start(StartRequest(())).observations) == 0

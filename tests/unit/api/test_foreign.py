"""A tenant tries to learn something of another's resource, in every way that there is: a test for each.

Foreign and missing must be the same answer to the letter, after the same work: so the engine is asked the same, which
says more of the time that an answer takes than a clock could.
"""
from __future__ import annotations

import threading

import pytest

from obsvc.engine_client.contract import OPERATIONS
from obsvc.model import Condition, Ref
from tests.support.in_memory_api import InMemoryApi, project
from tests.support.processes.servers import wait_until

FOREIGN = Ref("RegionOne", "compute.server", "0000-of-another")
MISSING = Ref("RegionOne", "compute.server", "9999-of-nobody0")


@pytest.fixture
def api():
    """The server of p1 was seen; the caller is a member of p2."""
    made = InMemoryApi()
    made.own()
    made.caller = project("p1")
    made.theirs = made.start(FOREIGN, goal="active", labels={"secret": "label"}).json["observation_id"]
    made.see(FOREIGN, Condition.ACTIVE, project_id="p1", name="secret-name")
    made.caller = project("p2")
    return made


@pytest.fixture
def asked(api, monkeypatch):
    """The operations that the engine is asked for, in order; without the rounds of the feed's own thread."""
    made, asker = [], threading.get_ident()
    for name in OPERATIONS:
        real = getattr(api.service, name)

        def noted(request, name=name, real=real):
            if name != "changes" or threading.get_ident() == asker:
                made.append(name)
            return real(request)

        monkeypatch.setattr(api.service, name, noted)
    return made


def compare(api, asked, method, path, foreign, missing, **fields):
    """The same answer and the same work for both, each put into ``path``."""
    seen = []
    for each in (foreign, missing):
        asked.clear()
        answer = api.http.simulate_request(method, path.format(each), **fields)
        headers = {name: value for name, value in answer.headers.items() if name != "content-length"}
        seen.append((answer.status_code, headers, answer.text.replace(each, "ID"), list(asked)))
        assert "secret" not in answer.text
    assert seen[0] == seen[1]
    return seen[0][0]


@pytest.mark.parametrize(("method", "path"), [
    ("GET", "/v1/resources/compute.server/{}"),
    ("GET", "/v1/resources/compute.server/{}?region=RegionOne"),
    ("GET", "/v1/resources/compute.server/{}?region=Elsewhere"),
    ("GET", "/v1/resources/compute.server/{}?wait=5&since=0"),
    ("GET", "/v1/resources/compute.server/{}?trail=true"),
    ("GET", "/v1/resources/compute.server/{}?wait=5&until=active"),
    ("POST", "/v1/resources/compute.server/{}/check"),
    ("POST", "/v1/resources/compute.server/{}/check?region=RegionOne"),
])
def test_by_its_ref(api, asked, method, path):
    assert compare(api, asked, method, path, FOREIGN.resource_id, MISSING.resource_id) == 404


@pytest.mark.parametrize(("method", "path"), [
    ("GET", "/v1/observations/{}"), ("GET", "/v1/observations/{}/wait?timeout=5"), ("DELETE", "/v1/observations/{}"),
])
def test_by_an_observation_of_it(api, asked, method, path):
    missing = "0" * len(api.theirs)
    assert compare(api, asked, method, path, api.theirs, missing) == 404
    api.caller = project("p1")
    assert api.get(f"/v1/observations/{api.theirs}").status_code == 200, "it was not stopped either"


@pytest.mark.parametrize("path", [
    "/v1/observations?resource_id={}", "/v1/observations?resource_id={}&project_id=p1",
    "/v1/observations?resource_type=compute.server&limit=1000", "/v1/observations?marker=0",
])
def test_by_a_list_of_observations(api, asked, path):
    assert compare(api, asked, "GET", path, FOREIGN.resource_id, MISSING.resource_id) == 200


@pytest.mark.parametrize("path", [
    "/v1/changes?resource_id={}", "/v1/changes?resource_id={}&project_id=p1", "/v1/changes?since=0&limit=1",
    "/v1/changes?resource_id={}&wait=0.01", "/v1/watch?since=0&timeout=0&resource_id={}", "/v1/watch?timeout=0",
    "/v1/watch?since=0&timeout=0.01&resource_id={}", "/v1/watch?since=0&timeout=0&project_id=p1",
])
def test_by_following_changes(api, asked, path):
    with api.context.feed.signal():  # what all waiters share is there: it is no request's work
        wait_until(lambda: api.service.waiters.waiting == 1, bound=10, what="the feed is followed")
    assert compare(api, asked, "GET", path, FOREIGN.resource_id, MISSING.resource_id) == 200


@pytest.mark.parametrize("path", [
    "/v1/resources?resource_id={}", "/v1/resources?resource_id={}&project_id=p1", "/v1/resources?limit=1",
    "/v1/resources?condition=active", "/v1/resources?since=0", "/v1/resources?marker=0",
])
def test_by_a_list_of_resources(api, asked, path):
    assert compare(api, asked, "GET", path, FOREIGN.resource_id, MISSING.resource_id) == 200


@pytest.mark.parametrize("shape", [
    lambda one, own: one, lambda one, own: [own, one], lambda one, own: {"observations": [one, own]}])
def test_by_starting_to_observe_it_alone_or_among_others(api, shape):
    one = {"resource_type": FOREIGN.resource_type, "resource_id": FOREIGN.resource_id}
    own = {"resource_type": "sim.resource", "resource_id": "own"}
    answer = api.http.simulate_post("/v1/observations", json=shape(one, own))
    assert answer.status_code == 404 and "secret" not in answer.text and "p1" not in answer.text
    assert api.get("/v1/observations").json["observations"] == [], "nothing of it was started"


def test_by_having_observed_it_before_it_was_seen():
    api = InMemoryApi()
    api.own()
    api.caller = project("p2")
    mine = api.start(FOREIGN, goal="active").json["observation_id"]
    path = f"/v1/resources/compute.server/{FOREIGN.resource_id}"
    unknown = api.get(path).json
    assert (unknown["condition"], unknown["snapshot"], unknown["mark"]) == ("unknown", None, None)
    api.caller = project("p3")
    assert api.get(path).status_code == 404, "who does not observe it is told nothing"
    api.caller = project("p2")
    api.see(FOREIGN, Condition.ACTIVE, project_id="p1", name="secret-name")
    for each in (path, f"{path}?wait=1&since=0", f"/v1/observations/{mine}", f"/v1/observations/{mine}/wait?timeout=0"):
        answer = api.get(each)
        assert answer.status_code == 404 and "secret" not in answer.text and "p1" not in answer.text
    assert api.get("/v1/observations").json["observations"] == []
    assert api.get("/v1/changes").json["changes"] == []


def test_by_what_a_notification_claims_of_it():
    """Tenancy is by the snapshot alone: who an observation, a label or a query says it is of does not count."""
    api = InMemoryApi()
    api.own()
    api.caller = project("p2")
    api.start(FOREIGN, labels={"project_id": "p2"})
    api.see(FOREIGN, Condition.ACTIVE, project_id="p1", attributes={"project_id": "p2", "tenant_id": "p2"})
    assert api.get(f"/v1/resources/compute.server/{FOREIGN.resource_id}").status_code == 404
    assert api.get("/v1/changes?project_id=p2").json["changes"] == []


def test_its_deletion_is_its_own_projects_to_see(api):
    api.sequence += 1
    api.see(FOREIGN, Condition.DELETED, project_id=None)
    for caller, status in ((project("p1"), 200), (project("p2"), 404)):
        api.caller = caller
        assert api.get(f"/v1/resources/compute.server/{FOREIGN.resource_id}").status_code == status


@pytest.mark.parametrize(("method", "path", "body"), [
    ("GET", "/v1/stacks/{}", None), ("GET", "/v1/stacks/{}?wait=5", None), ("GET", "/v1/stacks/{}/resources", None),
    ("GET", "/v1/stacks/{}/events", None), ("DELETE", "/v1/stacks/{}", None), ("POST", "/v1/stacks/{}/rollback", None),
    ("POST", "/v1/stacks/{}/resume", None), ("POST", "/v1/stacks/{}/cancel", {"rollback": True}),
    ("POST", "/v1/observations", "of the stack"),
])
def test_by_the_stack_that_it_is_in(api, asked, method, path, body):
    from tests.support.in_memory_api import TEMPLATE

    api.caller = project("p1")
    made = api.http.simulate_post("/v1/stacks", json={"name": "secret", "template": TEMPLATE}).json["stack_id"]
    api.caller = project("p2")
    missing = "0" * len(made)
    if body == "of the stack":
        answers = [api.http.simulate_post(path, json={"stack": each}) for each in (made, missing)]
        assert [each.status_code for each in answers] == [404, 404]
        assert answers[0].text.replace(made, missing) == answers[1].text
    else:
        assert compare(api, asked, method, path, made, missing, json=body) == 404

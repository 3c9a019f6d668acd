"""``/v1/watch`` without a server: events, where they begin and end, and to whom they are shown."""
from __future__ import annotations

import json

import falcon.testing
import pytest

from obsvc.api.access.limits import Limits
from obsvc.api.app import make_app
from obsvc.api.streaming import sse
from obsvc.client.watching import events
from obsvc.model import Condition, Ref
from tests.support.in_memory_api import SERVER, InMemoryApi, project


@pytest.fixture
def api():
    made = InMemoryApi()
    made.own()
    made.start()
    for condition in (Condition.PENDING, Condition.ACTIVE, Condition.ERROR):
        made.see(SERVER, condition, project_id="p1")
    return made


def watch(api, query="since=0&timeout=0", **headers):
    answer = api.http.simulate_get(f"/v1/watch?{query}", headers={"X-Openstack-Request-Id": "", **headers})
    if answer.status_code != 200:
        return answer
    assert answer.headers["content-type"] == "text/event-stream" and answer.headers["cache-control"] == "no-store"
    return [(each.name, json.loads(each.data)) for each in events([answer.content])]


def versions(found):
    return [data["version"] for name, data in found if name == "change"]


def test_changes_come_as_events_that_name_their_version(api):
    found = watch(api)
    assert [name for name, _ in found] == ["change"] * 3 and versions(found) == [1, 2, 3]
    assert found[0][1] == api.get("/v1/changes?since=0").json["changes"][0]
    text = api.http.simulate_get("/v1/watch?since=2&timeout=0").text
    assert text.startswith("id: 3\nevent: change\ndata: {") and text.endswith("}\n\n") and text.count("\n") == 4


def test_it_begins_after_what_the_caller_has(api):
    assert versions(watch(api, "since=2&timeout=0")) == [3]
    assert versions(watch(api, "since=0&timeout=0", **{"Last-Event-ID": "1"})) == [2, 3]
    assert watch(api, "timeout=0") == [("heartbeat", {"next": 3})]
    assert watch(api, "since=3&timeout=0") == [("heartbeat", {"next": 3})]


def test_a_filter_that_leaves_everything_out_moves_on_with_the_heartbeats(api):
    assert watch(api, "since=0&timeout=0&resource_id=other") == [("heartbeat", {"next": 3})]
    assert versions(watch(api, "since=0&timeout=0&resource_id=srv-1&region=RegionOne")) == [1, 2, 3]


def test_a_label_is_one_that_the_callers_project_gave(api):
    api.see(SERVER, Condition.ACTIVE, project_id="p1")
    api.start(goal="active", labels={"app": "audit"})  # an operator's
    operator, api.caller = api.caller, project("p1")
    assert api.start(labels={"app": "shop"}).status_code == 201
    api.caller = project("p2")
    api.start(Ref("RegionOne", "compute.server", "srv-2"), labels={"app": "shop"})
    api.see(Ref("RegionOne", "compute.server", "srv-2"), Condition.ACTIVE, project_id="p2")
    for caller, label, seen, listed in (
        (operator, "app=shop", [1, 2, 3, 4, 5], ["srv-1", "srv-2"]), (operator, "app=sho", [], []),
        (operator, "app=audit", [1, 2, 3, 4], ["srv-1"]), (project("p1"), "app=audit", [], []),
        (project("p1"), "app=shop", [1, 2, 3, 4], ["srv-1"]), (project("p2"), "app=shop", [5], ["srv-2"]),
    ):
        api.caller = caller
        found = api.get(f"/v1/changes?since=0&label={label}").json
        assert ([each["version"] for each in found["changes"]], found["next"]) == (seen, 5)
        assert versions(watch(api, f"since=0&timeout=0&label={label}")) == seen
        resources = api.get(f"/v1/resources?label={label}").json["resources"]
        assert sorted(each["resource_id"] for each in resources) == listed
    assert api.get("/v1/changes?label=app").status_code == 400


def test_more_than_a_piece_comes_in_several(api, monkeypatch):
    monkeypatch.setattr(sse, "PIECE", 2)
    found = watch(api, "since=0&timeout=0")
    assert versions(found) == [1, 2], "the stream's time is over, its client comes back"


def test_a_foreign_project_sees_that_time_goes_on_and_nothing_else(api):
    api.caller = project("p2")
    assert watch(api) == [("heartbeat", {"next": 3})]
    assert watch(api, "since=0&timeout=0&project_id=p1") == [("heartbeat", {"next": 3})]
    api.caller = project("p1")
    assert versions(watch(api)) == [1, 2, 3]


@pytest.mark.parametrize(("query", "headers", "status"), [
    ("since=99", {}, 410), ("since=x", {}, 400), ("wait=1", {}, 400), ("heartbeat=-1", {}, 400),
    ("", {"Last-Event-ID": "nine"}, 400), ("", {"Last-Event-ID": "99"}, 410),
    ("since=x", {"Last-Event-ID": "0"}, 400), ("since=0", {"Last-Event-ID": "99"}, 410),
])
def test_what_can_not_be_watched_is_said_by_the_status(api, query, headers, status):
    answer = watch(api, query, **headers)
    assert answer.status_code == status and answer.json["error"]["code"]


def test_an_empty_event_id_is_none(api):
    assert versions(watch(api, "since=1&timeout=0", **{"Last-Event-ID": ""})) == [2, 3]


def test_a_listing_says_from_where_to_follow(api):
    listed = api.get("/v1/resources").json
    assert [(each["resource_id"], each["condition"], each["version"]) for each in listed["resources"]] == [
        ("srv-1", "error", 3)]
    assert (listed["version"], listed["marker"]) == (3, None)
    assert api.get("/v1/resources?since=3").json["resources"] == []
    assert api.get("/v1/resources?condition=active").json["resources"] == []
    api.caller = project("p2")
    for query in ("", "?project_id=p1", "?resource_id=srv-1"):
        assert api.get(f"/v1/resources{query}").json["resources"] == []


def stream_of(api, after):
    return sse.Stream(api.context.feed, sse.Filter(api.caller), sse.Page([], after), heartbeat=60, lasts=60,
                      clock=api.clock, request_id="req-1")


def test_a_stream_tells_of_what_comes_until_the_process_ends(api):
    stream = stream_of(api, 3)
    pieces = iter(stream)
    assert next(pieces) == sse.heartbeat(3)
    api.see(SERVER, Condition.ACTIVE, project_id="p1")
    assert [(each.name, json.loads(each.data)["version"]) for each in events([next(pieces)])] == [("change", 4)]
    api.context.feed.stop()
    assert list(pieces) == [], "its client comes back, to another process: no error"
    stream.close()


def test_a_stream_that_was_left_behind_ends_with_the_error(api):
    *_, last = events(list(stream_of(api, 77)))
    assert last.name == "error" and json.loads(last.data)["error"]["code"] == "version_too_old"


@pytest.mark.parametrize("begun", [True, False])
def test_a_stream_counts_among_those_that_wait_until_it_is_closed(api, begun):
    limits = Limits(max_waiters=1)
    app = make_app(api.context, api.policy, api.identify, limits=limits)
    statuses = []
    environ = falcon.testing.create_environ("/v1/watch", query_string="since=0")
    body = app(environ, lambda status, headers: statuses.append(status))
    if begun:
        next(iter(body))
    assert falcon.testing.TestClient(app).simulate_get("/v1/changes?wait=1&since=0").status_code == 503
    body.close()
    body.close()
    assert falcon.testing.TestClient(app).simulate_get("/v1/changes?wait=1&since=0").status_code == 200
    api.context.feed.stop()

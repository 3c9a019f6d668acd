"""The trail of a resource through the API: asked of its owner, shown with its snapshot only."""
from __future__ import annotations

import threading

import pytest

from obsvc.api import trail as api_trail
from obsvc.api.caller import OPERATOR
from obsvc.engine_client.ownership import FollowRequest
from obsvc.engine_client.trails import TellTrailsRequest, Trail, TrailAnswer, TrailEvent
from obsvc.model import Condition, partition
from tests.support.in_memory_api import MEMBER, SERVER, InMemoryApi, P, project

PATH = f"/v1/resources/{SERVER.resource_type}/{SERVER.resource_id}?trail=true"
TOLD = Trail(1.0, "a look is being made now", 2.0, "polled", (TrailEvent(1.0, "look", "notified, secret words"),))


@pytest.fixture
def api(monkeypatch):
    monkeypatch.setattr(api_trail, "PATIENCE", 0.0)
    made = InMemoryApi()
    made.caller = project("p1")
    made.start(SERVER)
    return made


def test_without_an_owner_it_says_so(api):
    api.own(*(number for number in range(P) if number != partition(SERVER, P)))
    api.grants[partition(SERVER, P)] = 0
    api.caller = OPERATOR
    found = api.get(PATH).json["trail"]
    assert "nobody owns" in found["why"] and found["owner"] is None and found["events"] == []


def test_an_owner_that_does_not_say_is_named(api):
    api.own()
    api.see(SERVER, Condition.ACTIVE, project_id="p1")
    found = api.get(PATH).json["trail"]
    assert found["why"].startswith("its owner obs-1 did not say") and found["generation"] == 1


def test_it_is_asked_of_the_owner_and_shown_to_the_snapshots_project_alone(api, monkeypatch):
    monkeypatch.setattr(api_trail, "PATIENCE", 10.0)
    api.own()
    assert api.get(PATH).json["trail"] is None, "unknown before the first look"
    api.see(SERVER, Condition.ACTIVE, project_id="p1")
    number = partition(SERVER, P)
    generation, ending = api.grants[number], threading.Event()

    def owner():
        while not ending.is_set():
            reply = api.engine.follow(FollowRequest(MEMBER, ((number, generation, 10**6),), wait=0.2))
            api.engine.tell_trails(TellTrailsRequest(
                MEMBER, tuple(TrailAnswer(ref, generation, TOLD) for ref in reply.explain)))

    thread = threading.Thread(target=owner)
    thread.start()
    try:
        found = api.get(PATH).json["trail"]
        assert (found["why"], found["next_cause"], found["told_by"]["name"]) == (TOLD.why, "polled", MEMBER.name)
        assert found["events"] == [{"at": 1.0, "what": "look", "text": "notified, secret words"}]
        assert (found["partition"], found["generation"]) == (number, generation) and "obs-1" in found["ownership"]
        api.caller = project("p2")
        answer = api.get(PATH)
        assert answer.status_code == 404 and "secret" not in answer.text
    finally:
        ending.set()
        thread.join()

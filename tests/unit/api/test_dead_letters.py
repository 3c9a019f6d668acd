"""Dead letters for operators: the API and the client's commands over a real engine, replay by marks."""
import json

import pytest

from obsvc import catalog
from obsvc.engine_client.observations import ResourceRequest, StartItem, StartRequest
from obsvc.engine_client.reports import BuryRequest, DeadLetter
from obsvc.listeners import redact
from obsvc.model import Ref
from tests.support.in_memory_api import InMemoryApi, project

SERVER = Ref("RegionTwo", "compute.server", "5f0f4a0a-1d43-4c0e-9d8a-6f4a1f2b3c4d")
EVENT = {"event_type": "compute.instance.update", "publisher_id": "compute.host1", "priority": "INFO",
         "_context_auth_token": "gAAAAABsecret",
         "payload": {"instance_id": SERVER.resource_id, "tenant_id": "p1", "state": "active"}}


@pytest.fixture
def api():
    return InMemoryApi(catalog=catalog.load())


def bury(api, body: bytes, **fields) -> int:
    letter = DeadLetter("main", "intake_failed", "KeyError", 1.0, redact.excerpt(body), len(body), "obs-1",
                        body=redact.whole_body(body), region="RegionTwo", exchange="nova", **fields)
    api.engine.bury(BuryRequest((letter,)))
    return api.get("/v1/dead-letters").json["letters"][0]["letter_id"]


def replay(api, letter_id):
    return api.http.simulate_post(f"/v1/dead-letters/{letter_id}/replay")


def test_lists_leave_the_body_out_and_show_has_it_redacted(api):
    number = bury(api, json.dumps(EVENT).encode())
    (listed,) = api.get("/v1/dead-letters").json["letters"]
    assert "body" not in listed and listed["reason"] == "intake_failed" and listed["replayed_at"] is None
    shown = api.get(f"/v1/dead-letters/{number}")
    assert json.loads(shown.json["body"])["event_type"] == EVENT["event_type"]
    assert "gAAAAAB" not in shown.text and shown.json["region"] == "RegionTwo"


def test_a_replay_marks_what_the_message_names(api):
    api.engine.start(StartRequest((StartItem(SERVER),)))
    before = api.engine.read_resource(ResourceRequest(SERVER)).mark
    number = bury(api, json.dumps(EVENT).encode(), replayed_at=5.0)
    assert api.get(f"/v1/dead-letters/{number}").json["replayed_at"] is None, "a member can't set it"
    done = replay(api, number)
    assert done.status_code == 202 and done.json["marked"] == 1
    (ref,) = done.json["refs"]
    assert ref["resource_id"] == SERVER.resource_id and ref["region"] == "RegionTwo"
    assert api.engine.read_resource(ResourceRequest(SERVER)).mark == ref["mark"] != before
    assert api.get(f"/v1/dead-letters/{number}").json["replayed_at"] == api.clock.time()


def test_what_nobody_observes_is_named_and_not_marked(api):
    done = replay(api, bury(api, json.dumps(EVENT).encode())).json
    assert done["marked"] == 0 and [ref["mark"] for ref in done["refs"]] == [None]


def test_what_still_cannot_be_read_says_why_and_is_not_noted(api):
    number = bury(api, b'{"event_type": "x.y", "pay')
    refused = replay(api, number)
    assert refused.status_code == 409 and "not_json" in refused.json["error"]["message"]
    assert api.get(f"/v1/dead-letters/{number}").json["replayed_at"] is None


def test_what_was_too_long_to_be_kept_says_so(api):
    body = json.dumps(EVENT | {"more": "x" * 65536}).encode()
    refused = replay(api, bury(api, body))
    assert refused.status_code == 409 and f"its {len(body)} bytes were not kept" in refused.json["error"]["message"]


@pytest.mark.parametrize(("letter", "status"), [("1", 404), ("x", 400), ("-1", 400), ("9" * 19, 400), ("9" * 20, 400),
                                               ("²", 400)])
def test_a_wrong_number(api, letter, status):
    assert api.get(f"/v1/dead-letters/{letter}").status_code == status
    assert replay(api, letter).status_code == status


def test_replay_is_for_operators(api):
    number = bury(api, json.dumps(EVENT).encode())
    api.caller = project("p1")
    assert replay(api, number).status_code == 403
    assert api.get(f"/v1/dead-letters/{number}").status_code == 403

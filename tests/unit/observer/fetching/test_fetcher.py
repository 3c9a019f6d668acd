"""What the answers of a cloud mean, without a cloud."""
from __future__ import annotations

import json

import msgspec
import pytest

from obsvc import catalog
from obsvc.cloud.sessions import Answer, RequestFailed
from obsvc.exceptions import NotFound
from obsvc.model import Condition, Ref
from obsvc.observer.fetching.fetcher import Fetcher
from obsvc.observer.fetching.gate import GateSettings, ServiceGate
from obsvc.observer.fetching.result import FetchOutcome
from obsvc.process.clock import ManualClock

CATALOG = catalog.load()
SERVER = Ref("R", "compute.server", "s1")
BODY = json.dumps({"server": {"id": "s1", "status": "ACTIVE", "name": "one", "tenant_id": "p1",
                              "OS-EXT-STS:task_state": None}}).encode()


class Sessions:
    """Answers what the test says, and notes what was asked."""

    def __init__(self, answer):
        self.answer, self.asked = answer, []

    def get(self, region, service_type, path, *, aliases=(), version_prefix="", microversion=None, headers=None):
        self.headers = headers
        self.asked.append((region, service_type, path, tuple(aliases), version_prefix))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def fetch(answer, ref=SERVER, *, gate=None):
    sessions = Sessions(answer)
    fetched = Fetcher(CATALOG, sessions, gate=gate, clock=ManualClock(500.0)).fetch(ref)
    return fetched, sessions.asked


def test_found():
    fetched, asked = fetch(Answer(200, BODY, request_id="req-1"))
    assert asked == [("R", "compute", "/servers/s1", CATALOG.service_of("compute.server").aliases, "")]
    assert (fetched.outcome, fetched.began_at, fetched.request_id) == (FetchOutcome.FOUND, 500.0, "req-1")
    seen = fetched.snapshot
    assert (seen.condition, seen.status, seen.project_id, seen.fetched_at, seen.request_id) == (
        Condition.ACTIVE, "ACTIVE", "p1", 500.0, "req-1")


def test_headers_of_the_catalogue_are_sent():
    sessions = Sessions(Answer(404, b""))
    Fetcher(CATALOG, sessions).fetch(Ref("R", "dns.zone", "z"))
    assert sessions.headers == {"X-Auth-All-Projects": "true"}  # else another project's zone would be a 404


def test_an_id_cannot_leave_its_place_in_the_path():
    _, asked = fetch(Answer(404, b""), Ref("R", "network.port", "../ports?x=1#/%2e"))
    assert asked[0][2] == "/ports/..%2Fports%3Fx%3D1%23%2F%252e"
    assert asked[0][4] == "/v2.0"


@pytest.mark.parametrize("status", [404, 410])
def test_absent(status):
    assert fetch(Answer(status, b"<html>"))[0].outcome is FetchOutcome.ABSENT


@pytest.mark.parametrize("answer,reason", [
    (Answer(401, b""), "http_401"),
    (Answer(403, b""), "http_403"),
    (Answer(429, b"", retry_after=9.0), "http_429"),
    (Answer(500, b""), "http_500"),
    (Answer(503, b""), "http_503"),
    (Answer(300, b"{}"), "http_300"),
    (Answer(200, b"<html>a proxy's page"), "unreadable"),
    (Answer(200, b'{"other": {}}'), "unreadable"),
    (Answer(200, b'{"server": []}'), "unreadable"),
    (RequestFailed("no answer in time", reason="timeout"), "timeout"),
    (NotFound("no such service"), "no_endpoint"),
])
def test_anything_else_says_nothing(answer, reason):
    fetched, _ = fetch(answer)
    assert (fetched.outcome, fetched.reason, fetched.snapshot) == (FetchOutcome.FAILED, reason, None)
    assert "nova in R" in fetched.error


def test_a_type_that_is_not_in_the_catalogue_is_not_asked_for():
    fetched, asked = fetch(Answer(200, b"{}"), Ref("R", "no.such", "x"))
    assert fetched.outcome is FetchOutcome.UNSUPPORTED and asked == [] and "no.such" in fetched.error


def breaker_after(answers):
    gate = ServiceGate(GateSettings(breaker_failures=3))
    for number, answer in enumerate(answers):
        fetch(answer, Ref("R", "compute.server", str(number)), gate=gate)
    return gate.open_breakers(500.0)


def test_the_gate_learns_of_failures_and_answers():
    down, found = Answer(503, b""), Answer(200, BODY)
    assert breaker_after([down] * 3) == ("R/nova",)
    assert breaker_after([down, down, found, down, down]) == ()
    assert breaker_after([down, down, Answer(404, b""), down]) == ()
    assert breaker_after([Answer(403, b"")] * 9) == (), "a service that refuses us is not down"
    assert breaker_after([Answer(401, b"")] * 3) == ("R/nova",), "but each 401 costs Keystone a token"
    assert breaker_after([RequestFailed("timed out", reason="timeout")] * 3) == ("R/nova",)


@pytest.mark.parametrize("retry_after,pause", [(9.0, 9.0), (None, 5.0)])
def test_429_leaves_the_service_alone_for_as_long_as_it_says(retry_after, pause):
    gate = ServiceGate(GateSettings())
    fetched, _ = fetch(Answer(429, b"", retry_after=retry_after), gate=gate)
    assert fetched.retry_after == pause
    assert gate.enter(("R", "nova"), 500.0) == pause


def test_503_with_retry_after_concerns_that_ref_alone():
    gate = ServiceGate(GateSettings())
    fetched, _ = fetch(Answer(503, b"", retry_after=40.0), gate=gate)
    assert fetched.retry_after == 40.0
    assert gate.enter(("R", "nova"), 500.0) == 0.0


def test_what_strict_json_refuses_is_still_read():
    fetched, _ = fetch(Answer(200, BODY.replace(b'"one"', b"NaN")))
    assert fetched.outcome is FetchOutcome.FOUND


@pytest.mark.parametrize("name", ["a\\u0000b", "a\\ud800b", "a\\uDFFF"])
def test_a_text_that_no_database_holds_does_not_reach_the_reporter(name):
    fetched, _ = fetch(Answer(200, BODY.replace(b'"name": "one"', b'"name": "%s"' % name.encode())))
    seen = fetched.snapshot
    assert fetched.outcome is FetchOutcome.FOUND and "\ufffd" in seen.name and "\0" not in seen.name
    assert msgspec.json.decode(msgspec.json.encode(seen), type=type(seen)) == seen


def test_a_real_pair_of_surrogates_is_kept():
    fetched, _ = fetch(Answer(200, BODY.replace(b'"name": "one"', b'"name": "\\ud83d\\ude00"')))
    assert fetched.snapshot.name == "\U0001f600"

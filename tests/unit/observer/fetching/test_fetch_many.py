"""One request for several refs, where the API lists by ids."""
from __future__ import annotations

import json
from urllib.parse import parse_qsl, urlsplit

import pytest

from obsvc import catalog
from obsvc.cloud.sessions import Answer, RequestFailed
from obsvc.model import Ref
from obsvc.observer.fetching.fetcher import TOGETHER_MAX, Fetcher
from obsvc.observer.fetching.gate import GateSettings, ServiceGate
from obsvc.observer.fetching.result import FetchOutcome
from obsvc.process.clock import ManualClock

CATALOG = catalog.load()
PORTS = [Ref("R", "network.port", f"p{number}") for number in range(4)]
LANE = ("R", "neutron")


class Sessions:
    def __init__(self, answer):
        self.answer, self.asked = answer, []

    def get(self, region, service_type, path, **_more):
        self.asked.append(path)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def fetch(answer, *, gate=None, refs=PORTS):
    sessions = Sessions(answer)
    return Fetcher(CATALOG, sessions, gate=gate, clock=ManualClock(500.0)).fetch_many(refs), sessions.asked


def body(*ids):
    return json.dumps({"ports": [{"id": each, "status": "ACTIVE", "tenant_id": "p"} for each in ids]}).encode()


def test_one_request_names_every_id_and_what_the_list_lacks_is_left_out():
    found, asked = fetch(Answer(200, body("p0", "p2", "stranger"), request_id="req-1"))
    assert len(asked) == 1 and urlsplit(asked[0]).path == "/ports"
    assert parse_qsl(urlsplit(asked[0]).query) == [("id", ref.resource_id) for ref in PORTS]
    assert set(found) == {PORTS[0], PORTS[2]}
    one = found[PORTS[2]]
    assert (one.outcome, one.began_at, one.snapshot.status, one.snapshot.project_id, one.request_id) == (
        FetchOutcome.FOUND, 500.0, "ACTIVE", "p", "req-1")


def test_an_id_can_not_become_another_parameter():
    _, (path,) = fetch(Answer(200, body()), refs=[Ref("R", "network.port", "x&all=1#/..")])
    assert parse_qsl(urlsplit(path).query) == [("id", "x&all=1#/..")]


@pytest.mark.parametrize("answer", [
    Answer(400, b"{}"), Answer(404, b""), Answer(414, b""), Answer(403, b""), Answer(200, b"<html>"),
    Answer(200, b'{"ports": [1]}'), Answer(200, b'{"ports": null}'), Answer(200, b'{"ports": [{"name": 1}]}'),
])
def test_what_says_nothing_says_nothing(answer):
    gate = ServiceGate(GateSettings(breaker_failures=1))
    assert fetch(answer, gate=gate)[0] == {} and gate.open_breakers(500.0) == ()


@pytest.mark.parametrize("answer", [Answer(503, b""), Answer(401, b""), RequestFailed("away", reason="timeout")])
def test_a_service_in_trouble_fails_all_and_the_gate_is_told_once(answer):
    gate = ServiceGate(GateSettings(breaker_failures=2))
    found, _ = fetch(answer, gate=gate)
    assert {ref: one.outcome for ref, one in found.items()} == dict.fromkeys(PORTS, FetchOutcome.FAILED)
    assert all(one.ref == ref for ref, one in found.items()) and gate.open_breakers(500.0) == ()


def test_retry_after_is_heeded_for_all():
    gate = ServiceGate(GateSettings())
    found, _ = fetch(Answer(429, b"", retry_after=7.0), gate=gate)
    assert all(one.retry_after == 7.0 for one in found.values()) and gate.enter(LANE, 500.0) == 7.0


def test_the_catalogue_says_whose_api_lists_by_ids():
    fetcher = Fetcher(CATALOG, Sessions(None))
    together = {name for name in CATALOG.types if fetcher.most_together(Ref("R", name, "x")) == TOGETHER_MAX}
    assert together >= {"network.network", "network.subnet", "network.port", "network.security_group"}
    assert "compute.server" not in together and fetcher.most_together(Ref("R", "no.such", "x")) == 1

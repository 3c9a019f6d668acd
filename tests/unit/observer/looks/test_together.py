"""Due looks of one type share one request where the API lists by ids: queue, fetcher and looks, in virtual time."""
from __future__ import annotations

import json
import random
from urllib.parse import parse_qsl, urlsplit

import pytest

from obsvc import catalog
from obsvc.cloud.sessions import Answer, RequestFailed
from obsvc.model import Cause, Ref
from obsvc.observer.fetching.fetcher import TOGETHER_MAX, Fetcher
from obsvc.observer.fetching.gate import GateSettings, ServiceGate
from obsvc.observer.fetching.result import FetchOutcome, FetchResult
from obsvc.observer.queue.work_queue import WorkQueue
from obsvc.process.clock import ManualClock
from tests.support.observer_member import Member, seen
from tests.support.observer_state import ref_in, snapshot

CATALOG = catalog.load()
PORTS = [Ref("R", "network.port", f"p{number}") for number in range(4)]
LANE = ("R", "neutron")


# the queue


def queue_of(*refs, gate=None, clock=None):
    queue = WorkQueue(clock=clock or ManualClock(), gate=gate, rng=random.Random(1),
                      lane_of=lambda ref: (ref.region, "neutron"))
    for ref in refs:
        queue.add(ref, Cause.STARTED)
    return queue


def companions(queue, look, most=10, may=lambda ref: True):
    return [each.ref for each in queue.get_with(look, most, may)]


def test_only_what_is_due_of_the_same_type_and_region_rides_along_in_order():
    other_type, other_region = Ref("R", "network.subnet", "s"), Ref("S", "network.port", "p9")
    queue = queue_of(PORTS[0], other_type, PORTS[1], other_region, PORTS[2], PORTS[3])
    queue.add_after(Ref("R", "network.port", "later"), 5.0, Cause.STARTED)
    look = queue.get()
    assert companions(queue, look, 2, lambda ref: ref != PORTS[1]) == PORTS[2:]
    assert queue.processing == {PORTS[0], PORTS[2], PORTS[3]}
    assert [queue.get().ref for _ in range(3)] == [other_type, PORTS[1], other_region]


def test_a_companion_is_processed_never_twice_and_what_comes_meanwhile_is_looked_at_after():
    queue = queue_of(*PORTS[:2])
    look = queue.get()
    (other,) = queue.get_with(look, 10, lambda ref: True)
    queue.add(PORTS[1], Cause.MARKED)
    assert queue.get() is None
    queue.done(other)
    assert queue.get().ref == PORTS[1]


def test_what_failed_is_made_again_alone():
    clock = ManualClock()
    queue = queue_of(PORTS[1], clock=clock)
    queue.retry(queue.get())
    clock.advance(60.0)
    queue.add(PORTS[0], Cause.STARTED)
    queue.add(PORTS[2], Cause.STARTED)
    look = queue.get()
    while look.ref == PORTS[1]:
        look = queue.get()
    assert PORTS[1] not in companions(queue, look)


def test_companions_cost_one_entry_of_the_gate():
    gate = ServiceGate(GateSettings(requests_per_second=2.0, threads=2))
    clock = ManualClock()
    queue = queue_of(*PORTS, gate=gate, clock=clock)
    look = queue.get()
    others = queue.get_with(look, 10, lambda ref: True)
    assert len(others) == 3
    for each in [*others, look]:
        queue.done(each)
    assert gate._inside == 0, "left as often as entered"
    assert gate.enter(LANE, clock.monotonic()) == 0.0, "one request of two was spent"


# the fetcher


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


# the looks


class Lists:
    """A cloud whose lists have all but ``lacking``."""

    def __init__(self, member, lacking=()):
        self.member, self.lacking, self.asked, self.error = member, set(lacking), [], None

    def most_together(self, ref):
        return 3

    def fetch_many(self, refs):
        self.asked.append(refs)
        if self.error is not None:
            raise self.error
        began = self.member.clock.monotonic()
        self.member.clock.advance(0.1)
        return {ref: FetchResult(ref, FetchOutcome.FOUND, began, self.member.clock.time(), snapshot()) for ref in refs
                if ref not in self.lacking}


@pytest.fixture
def refs():
    return [ref_in(3, nth) for nth in range(5)]


@pytest.fixture
def member(refs):
    made = Member()
    made.lists = Lists(made)
    made.most_together, made.fetch_many = made.lists.most_together, made.lists.fetch_many
    made.gain(*(seen(each) for each in refs))
    while made.step() or made.queue.waiting:
        made.answer()
        made.clock.advance(100.0)
    made.fetches.clear(), made.reports.clear(), made.lists.asked.clear()
    return made


def due(member, refs):
    for ref in refs:
        member.queue.add(ref, Cause.MARKED)
    member.step()


def test_due_looks_go_together_and_each_is_reported_by_itself(member, refs):
    due(member, refs)
    assert [len(each) for each in member.lists.asked] == [3, 2] and member.fetches == []
    assert {report.ref for report in member.reports} == set(refs)
    numbers = [report.sequence for report in member.reports]
    assert len(set(numbers)) == 5 and member.queue.processing == frozenset()


def test_one_look_is_made_as_ever(member, refs):
    due(member, refs[:1])
    assert member.lists.asked == [] and member.fetches == refs[:1]


def test_absence_from_a_list_is_confirmed_alone_at_once(member, refs):
    member.lists.lacking = {refs[1]}
    member.answers[refs[1]] = FetchResult(refs[1], FetchOutcome.ABSENT, member.clock.monotonic(), member.clock.time())
    due(member, refs[:3])
    assert member.lists.asked == [tuple(refs[:3])] and member.fetches == [refs[1]]
    assert refs[1] not in {report.ref for report in member.reports if not report.snapshot.exists}, "404 needs a second"
    assert {report.ref for report in member.reports} >= {refs[0], refs[2]}


def test_a_ref_that_is_no_longer_ours_takes_no_part(member, refs):
    member.holdings.drop(3, 1)
    due(member, refs[:3])
    assert member.fetches == [] and member.reports == [] and member.queue.processing == frozenset()


def test_a_bug_in_lists_costs_a_look_alone_and_no_look_is_lost(member, refs):
    member.lists.error = RuntimeError("bug")
    due(member, refs[:3])
    assert sorted(member.fetches) == sorted(refs[:3]) and len(member.reports) == 3

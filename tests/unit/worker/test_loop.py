"""Leases, one job's course, and which cloud errors may go away."""
from __future__ import annotations

import threading

import pytest

from obsvc.cloud import calls, retry_after
from obsvc.engine_client.contract import Empty
from obsvc.engine_client.jobs import Action, Job, JobClaimReply, JobDone, JobFailed, LeaseReply
from obsvc.exceptions import Conflict, NotFound, ObsvcError, Unavailable
from obsvc.model import Condition, Ref
from obsvc.process.backoff import Backoff
from obsvc.process.clock import ManualClock
from obsvc.worker import runner
from obsvc.worker.clients import CloudClients
from obsvc.worker.leases import Leases
from obsvc.worker.loop import Worker
from obsvc.worker.plugins import base

REF = Ref("R", "sim.resource", "1")


def job(job_id="j1", token="t1", **fields) -> Job:
    return Job(**{"job_id": job_id, "lease_token": token, "lease_seconds": 60.0, "action": Action.CREATE, "type": "T",
                  "node_id": "n", "node_name": "web", "stack_id": "s", "stack_name": "shop", "attempt": 1,
                  "marker": "n.1", **fields})


class Plugin(base.Plugin):
    type, resource_type, properties = "T", "sim.resource", None

    def __init__(self, raises=None, result=None):
        self.raises, self.result, self.created = raises, result, 0

    def handle_create(self, job, clients, confirm):
        if self.raises:
            raise self.raises
        confirm()
        self.created += 1
        return base.Created(REF, "req-1")

    def handle_update(self, job, clients):
        return base.Created(REF)

    def handle_delete(self, job, clients):
        return self.result


def run(plugin, wanted=None):
    return runner.run(wanted or job(), {"T": plugin}, None, lambda: None)


def test_outcomes_of_a_job():
    assert run(Plugin()) == JobDone("j1", "t1", ref=REF, goal=Condition.ACTIVE, request_id="req-1")
    delete = job(action=Action.DELETE, resource_id="1")
    assert run(Plugin(result=base.Deleting(REF)), delete) == JobDone("j1", "t1", ref=REF, goal=Condition.DELETED)
    assert run(Plugin(result=base.Gone()), delete) == JobDone("j1", "t1", goal=Condition.DELETED, gone=True)


@pytest.mark.parametrize(("error", "retriable", "after"), [
    (base.ActionFailed("no such property"), False, None),
    (base.ActionFailed("later", retriable=True), True, None),
    (calls.CallFailed("busy", status=429, retriable=True, retry_after=7.0), True, 7.0),
    (ObsvcError("odd"), True, None),
    (ZeroDivisionError("bug"), True, None),
])
def test_failures_of_a_job(error, retriable, after):
    failed = run(Plugin(raises=error))
    assert isinstance(failed, JobFailed) and (failed.retriable, failed.retry_after) == (retriable, after)
    assert str(error) in failed.error


def test_a_lost_lease_tells_nobody_anything():
    assert run(Plugin(raises=base.LeaseLost("another's"))) is None


def test_an_unknown_type_is_final():
    failed = run(Plugin(), job(type="OS::Other"))
    assert not failed.retriable and "OS::Other" in failed.error


@pytest.mark.parametrize(("status", "retriable"), [
    (400, False), (401, True), (403, False), (404, False), (408, True), (409, True), (413, False), (429, True),
    (500, True), (502, True), (503, True),
])
def test_which_statuses_may_go_away(status, retriable):
    assert calls.failure("POST", "/x", status, {}, None, None).retriable is retriable


@pytest.mark.parametrize(("body", "message"), [
    ({"badRequest": {"code": 400, "message": "Invalid flavor"}}, "Invalid flavor"),
    ({"NeutronError": {"type": "X", "message": "Quota exceeded", "detail": ""}}, "Quota exceeded"),
    ({"error": {"code": 401, "title": "Unauthorized", "message": "please log in"}}, "please log in"),
    ("<html><body><h1>503 Service\nUnavailable</h1></body></html>", "503 Service Unavailable"),
    ({"message": "plain"}, "plain"), ("", "no explanation"), (None, "None"),
])
def test_explanations(body, message):
    assert calls.explanation(body) == message


def test_retry_after_is_seconds_or_a_date():
    assert retry_after.seconds("12", 0.0) == 12.0
    assert retry_after.seconds("Sun, 06 Nov 1994 08:49:37 GMT", 784111770.0) == 7.0
    assert retry_after.seconds("Sun, 06 Nov 1994 08:49:37 GMT", 784111790.0) == 0.0
    assert retry_after.seconds("soon", 0.0) is None and retry_after.seconds(None, 0.0) is None


def test_version_prefix_only_where_the_endpoint_has_none():
    assert calls.versioned("http://h/network", "/v2.0", "/ports") == "/v2.0/ports"
    assert calls.versioned("http://h:9696/", "/v2.0", "/ports") == "/v2.0/ports"
    assert calls.versioned("http://h/network/v2.0/", "/v2.0", "/ports") == "/ports"
    assert calls.versioned("http://h/volume/v3/0123abcd", "/v3", "/volumes") == "/volumes"


def test_leases_are_due_held_lost_and_lapse_by_the_local_clock():
    clock = ManualClock()
    leases = Leases(clock)
    mine = job()
    leases.take(mine, clock.monotonic())
    assert leases.holds(mine) and leases.due() == []
    clock.advance(20)
    assert leases.due() == [mine]
    leases.renewed(mine, clock.monotonic())
    assert leases.due() == []
    clock.advance(60)
    assert not leases.holds(mine) and not leases.lost(mine)
    leases.renewed(mine, clock.monotonic())
    assert leases.holds(mine)
    leases.lose(job(token="another"))
    assert leases.holds(mine)
    leases.lose(mine)
    assert leases.lost(mine) and not leases.holds(mine) and leases.due() == []
    leases.drop(mine)
    assert len(leases) == 0


class Engine:
    """Answers from lists; a list that is used up answers with its last entry."""

    def __init__(self, jobs=(), **answers):
        self.jobs, self.answers, self.calls = list(jobs), answers, []
        self.answered, self.tried = threading.Event(), threading.Event()

    def claim_jobs(self, request):
        taken, self.jobs = self.jobs[:request.limit], self.jobs[request.limit:]
        if not taken:
            self.answered.wait(0.05)
        return JobClaimReply(tuple(taken))

    def _next(self, name, default):
        self.calls.append(name)
        left = self.answers.get(name) or [default]
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def confirm_attempt(self, request):
        return self._next("confirm", LeaseReply(0.0))

    def renew_job(self, request):
        return self._next("renew", LeaseReply(0.0))

    def complete_job(self, request):
        self.tried.set()
        answer = self._next("complete", Empty())
        self.answered.set()
        return answer

    def fail_job(self, request):
        self.answered.set()
        return self._next("fail", Empty())


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    from obsvc.worker import loop

    monkeypatch.setattr(loop, "ENGINE_BACKOFF", Backoff(0.001, 0.001))
    monkeypatch.setattr(loop, "RENEW_TICK", 0.01)


class Unbounded:
    """Clients that are asked for nothing but the time that each request may take."""

    def __init__(self):
        self.seconds = []

    def within(self, seconds):
        self.seconds.append(seconds)


def work(engine, plugin, *, until, clients=None):
    worker = Worker(engine, {"T": plugin}, clients or Unbounded(), name="w", threads=2, drain_timeout=5.0)
    worker.start()
    try:
        until(worker)
    finally:
        assert worker.stop()
    return worker


def test_a_finished_result_is_sent_until_the_engine_answers():
    engine = Engine([job()], complete=[Unavailable("away"), Unavailable("away"), Empty()])
    plugin = Plugin()
    worker = work(engine, plugin, until=lambda _: engine.answered.wait(5))
    assert engine.calls.count("complete") == 3 and plugin.created == 1 and worker.ready() is None


def test_a_result_is_not_sent_again_after_a_conflict():
    engine = Engine([job()], complete=[Conflict("another's")])
    work(engine, Plugin(), until=lambda _: engine.tried.wait(5))
    assert engine.calls.count("complete") == 1


@pytest.mark.parametrize("refusal", [Conflict("another's"), NotFound("no such job")])
def test_an_attempt_that_is_not_confirmed_creates_nothing_and_answers_nothing(refusal):
    engine, plugin = Engine([job(), job("j2", "t2")], confirm=[refusal, LeaseReply(0.0)]), Plugin()
    work(engine, plugin, until=lambda _: engine.answered.wait(5))
    assert plugin.created == 1 and engine.calls.count("complete") == 1


def test_confirming_waits_for_the_engine():
    engine, plugin = Engine([job()], confirm=[Unavailable("away"), LeaseReply(0.0)]), Plugin()
    work(engine, plugin, until=lambda _: engine.answered.wait(5))
    assert plugin.created == 1


class Sessions:
    def __init__(self, *pages):
        self.pages = list(pages)

    def regions(self):
        return ["R2", "R1"]

    def adapter(self, region, service_type, aliases=()):
        return self

    def get_endpoint(self):
        return "http://h/image"

    def request(self, path, method, **more):
        self.asked, self.more = path, more
        body = self.pages.pop(0)

        class Response:
            status_code, headers, content, text = 200, {}, b"x", ""

            def json(self):
                return body

        return Response()


def test_names_are_looked_up_once_and_forgotten_after_a_minute():
    clock = ManualClock()
    sessions = Sessions({"images": [{"id": "a", "name": "cirros"}]}, {"images": [{"id": "b", "name": "cirros"}]})
    clients = CloudClients(sessions, clock=clock)
    assert [clients.find_id("R1", "image", "cirros") for _ in range(2)] == ["a", "a"]
    assert sessions.asked == "/v2/images"
    clock.advance(61)
    assert clients.find_id("R1", "image", "cirros") == "b"
    assert clients.region(job()) == "R1" and clients.region(job(region="X")) == "X"


@pytest.mark.parametrize(("listed", "message"), [
    ([], "none was found"), ([{"id": "a", "name": "i"}, {"id": "b", "name": "i"}], "2 have that name"),
])
def test_a_name_must_name_one_thing(listed, message):
    with pytest.raises(base.ActionFailed, match=message):
        CloudClients(Sessions({"images": listed})).find_id("R", "image", "i")


def test_requests_end_within_the_lease_and_within_the_configured_time():
    engine, clients = Engine([job(lease_seconds=15.0), job("j2", "t2", lease_seconds=600.0)]), Unbounded()
    work(engine, Plugin(), clients=clients, until=lambda _: engine.answered.wait(5))
    assert sorted(clients.seconds) == [7.5, 30.0]


def test_the_bound_reaches_the_request_and_names_found_are_shared():
    sessions = Sessions({"images": [{"id": "a", "name": "cirros"}]}, {})
    clients = CloudClients(sessions)
    assert clients.within(3.0).find_id("R1", "image", "cirros") == "a" and sessions.more["timeout"] == 3.0
    assert clients.find_id("R1", "image", "cirros") == "a"
    clients.call("R1", "compute", "GET", "/servers")
    assert "timeout" not in sessions.more


def test_a_result_that_the_engine_never_takes_is_dropped_with_the_lease():
    engine = Engine([job(lease_seconds=0.03)], complete=[Unavailable("error 500")], renew=[Conflict("time is over")])
    work(engine, Plugin(), until=lambda _: engine.tried.wait(5))  # and then it stops in time
    assert "renew" in engine.calls

"""The running of jobs: attempts are confirmed first, results sent until the engine answers."""
from __future__ import annotations

import threading

import pytest

from obsvc.engine_client.contract import Empty
from obsvc.engine_client.jobs import JobClaimReply, LeaseReply
from obsvc.exceptions import Conflict, NotFound, Unavailable
from obsvc.process.backoff import Backoff
from obsvc.worker.loop import Worker
from tests.support.worker_jobs import Plugin, job


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


def test_requests_end_within_the_lease_and_within_the_configured_time():
    engine, clients = Engine([job(lease_seconds=15.0), job("j2", "t2", lease_seconds=600.0)]), Unbounded()
    work(engine, Plugin(), clients=clients, until=lambda _: engine.answered.wait(5))
    assert sorted(clients.seconds) == [7.5, 30.0]


def test_a_result_that_the_engine_never_takes_is_dropped_with_the_lease():
    engine = Engine([job(lease_seconds=0.03)], complete=[Unavailable("error 500")], renew=[Conflict("time is over")])
    work(engine, Plugin(), until=lambda _: engine.tried.wait(5))  # and then it stops in time
    assert "renew" in engine.calls

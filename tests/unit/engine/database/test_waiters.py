"""Waiting for commits, without sockets and without sleeping: whoever waits is woken by what the test does."""
from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from obsvc.engine.database.waiters import Waiters
from obsvc.exceptions import Unavailable

BOUND = 20.0


class Counters:
    """Change counters that the test moves; ``checked`` is how often the waiter has looked."""

    def __init__(self) -> None:
        self.values = {"feed": 0, "job": 0}
        self.waiters = Waiters(lambda: self.values, poll_interval=0.001)
        self.checks: list[object] = []
        self.result: object = None

    def check(self) -> object:
        self.checks.append(self.result)
        return self.result


@pytest.fixture
def counters():
    made = Counters()
    yield made
    made.waiters.shutdown()


def _until(condition) -> None:
    from tests.support.processes.servers import wait_until

    wait_until(condition, bound=BOUND, what="the waiter", interval=0.001)


def test_a_result_at_once_waits_for_nothing(counters):
    counters.result = "now"
    assert counters.waiters.wait({"feed"}, counters.check, 60.0) == "now"
    assert counters.waiters.waiting == 0


def test_time_over_answers_none(counters):
    assert counters.waiters.wait({"feed"}, counters.check, 0.0) is None
    assert len(counters.checks) == 1


def test_a_commit_of_this_process_wakes_at_once(counters):
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(counters.waiters.wait, {"feed"}, counters.check, BOUND)
        _until(lambda: counters.checks)
        counters.result = "there"
        counters.waiters.notify({"feed"})
        assert waiting.result(BOUND) == "there"


def test_a_commit_elsewhere_is_found_by_the_poller(counters):
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(counters.waiters.wait, {"job"}, counters.check, BOUND)
        _until(lambda: counters.checks)
        counters.result = "there"
        counters.values = {"feed": 0, "job": 1}
        assert waiting.result(BOUND) == "there"


def test_only_the_counters_named_wake(counters):
    waiters = Waiters(lambda: counters.values)
    waiters.poll_once()
    woken = []
    waiters.notify = lambda names: woken.append(set(names))  # type: ignore[method-assign]
    waiters.poll_once()
    counters.values = {"feed": 0, "job": 1}
    waiters.poll_once()
    assert woken == [set(), {"job"}]


def test_a_poller_that_cannot_read_goes_on(counters, monkeypatch):
    monkeypatch.setattr("obsvc.engine.database.waiters.ERROR_PAUSE", 0.001)
    failures = [Unavailable("the database is away")]

    def read():
        if failures:
            raise failures.pop()
        return counters.values

    waiters = Waiters(read, poll_interval=0.001)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(waiters.wait, {"feed"}, counters.check, BOUND)
        _until(lambda: not failures)
        counters.result = "there"
        counters.values = {"feed": 5}
        assert waiting.result(BOUND) == "there"
    waiters.shutdown()


def test_shutdown_answers_everybody(counters):
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(counters.waiters.wait, {"feed"}, counters.check, 600.0) for _ in range(3)]
        _until(lambda: counters.waiters.waiting == 3)
        counters.waiters.shutdown()
        assert [one.result(BOUND) for one in waiting] == [None] * 3
    assert counters.waiters.wait({"feed"}, counters.check, 600.0) is None


def test_more_waiters_than_allowed_are_cut_short(counters, monkeypatch):
    monkeypatch.setattr("obsvc.engine.database.waiters.CROWDED_WAIT", 0.0)
    waiters = Waiters(lambda: counters.values, limit=1)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(waiters.wait, {"feed"}, counters.check, 600.0)
        _until(lambda: waiters.waiting == 1)
        assert waiters.wait({"feed"}, counters.check, 600.0) is None
        assert not first.done()
        waiters.shutdown()


def test_no_wait_lasts_longer_than_any_may(counters, monkeypatch):
    monkeypatch.setattr("obsvc.engine.database.waiters.WAIT_MAX", 0.0)
    assert counters.waiters.wait({"feed"}, counters.check, 600.0) is None


def test_what_was_read_last_is_the_answer_when_the_time_is_over(counters):
    assert counters.waiters.wait_until({"feed"}, lambda: "still", lambda result: result == "ready", 0.0) == "still"

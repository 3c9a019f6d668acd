"""When a failing service is left alone, and who tries whether it is back; in virtual time."""
from __future__ import annotations

from obsvc.observer.fetching.breaker import Breaker, BreakerState


def test_breaker_opens_after_failures_of_different_refs_in_a_row():
    breaker = Breaker(3, 5.0, 60.0)
    assert [breaker.failed(name, 0.0) for name in "aab"] == [None, None, None]
    assert breaker.failed("c", 0.0) == 5.0
    assert breaker.state(4.9) is BreakerState.OPEN and breaker.wait(3.0) == 2.0


def test_one_bad_ref_never_opens_it():
    breaker = Breaker(3, 5.0, 60.0)
    for now in range(100):
        assert breaker.failed("bad", float(now)) is None


def test_an_answer_between_begins_the_count_anew():
    breaker = Breaker(3, 5.0, 60.0)
    for name in "abcdef":
        assert breaker.failed(name, 0.0) is None
        breaker.succeeded()


def half_open(pause_max=60.0):
    breaker = Breaker(1, 5.0, pause_max)
    breaker.failed("a", 0.0)
    assert breaker.wait(5.0) == 0.0
    breaker.begun(5.0)
    return breaker


def test_half_open_lets_one_request_go():
    breaker = half_open()
    assert breaker.wait(5.0) == float("inf")


def test_the_answer_of_the_one_closes_it():
    breaker = half_open()
    assert breaker.succeeded()
    assert breaker.state(5.0) is BreakerState.CLOSED and breaker.wait(5.0) == 0.0


def test_the_failure_of_the_one_doubles_the_pause_up_to_the_most():
    breaker = half_open(pause_max=15.0)
    now, pauses = 5.0, []
    for _ in range(3):
        pauses.append(breaker.failed("b", now))
        breaker.ended()
        now += pauses[-1]
        breaker.begun(now)
    assert pauses == [10.0, 15.0, 15.0]


def test_a_try_without_outcome_lets_the_next_go():
    breaker = half_open()
    breaker.ended()
    assert breaker.wait(5.0) == 0.0


def test_late_failures_do_not_lengthen_the_pause():
    breaker = Breaker(1, 5.0, 60.0)
    breaker.failed("a", 0.0)
    assert breaker.failed("b", 4.0) is None
    assert breaker.state(5.0) is BreakerState.HALF_OPEN


def test_what_the_service_asks_for_lengthens_the_pause():
    assert Breaker(1, 5.0, 60.0).failed("a", 0.0, at_least=20.0) == 20.0

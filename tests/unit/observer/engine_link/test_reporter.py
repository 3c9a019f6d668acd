"""The reporter's promises, step by step in virtual time."""
from __future__ import annotations

import random
import threading

import pytest

from obsvc.engine_client.reports import Report, ReportOutcome, ReportReply, Verdict
from obsvc.exceptions import InvalidInput, Unavailable
from obsvc.model import Cause, Condition, MemberId, Ref, Snapshot, partition
from obsvc.observer.engine_link.reporter import Reporter
from obsvc.observer.state.sequence import Sequence
from obsvc.process.clock import ManualClock

MEMBER = MemberId("obs-1", "i1")


class Engine:
    """Answers ``accepted``; ``away``: raises Unavailable; ``during``: called while a batch is under way."""

    def __init__(self):
        self.requests, self.away, self.bad, self.during = [], False, set(), None

    def report(self, request):
        self.requests.append(request)
        if self.during is not None:
            self.during()
        if self.away:
            raise Unavailable("the engine does not answer")
        if any(report.ref.resource_id in self.bad for report in request.reports):
            raise InvalidInput("one of them is nonsense")
        return ReportReply(tuple(ReportOutcome(Verdict.ACCEPTED, version=report.sequence)
                                 for report in request.reports))

    @property
    def ids(self):
        return [[report.ref.resource_id for report in request.reports] for request in self.requests]


def report(name, sequence=1, generation=1):
    ref = Ref("R", "compute.server", name)
    return Report(ref, partition(ref), generation, sequence, Snapshot(True, Condition.ACTIVE), Cause.NOTIFIED)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def engine():
    return Engine()


@pytest.fixture
def reporter(engine, clock):
    return Reporter(engine, MEMBER, clock=clock, batch=4, age=0.05, limit=10, rng=random.Random(1))


@pytest.fixture
def told():
    return []


def submit(reporter, told, *reports):
    for one in reports:
        reporter.submit(one, lambda outcome, one=one: told.append((one, outcome)))


def run(reporter, clock, steps=50):
    """Step until nothing is left, moving the clock on by what the reporter asks."""
    for _ in range(steps):
        wait = reporter.step()
        if wait == float("inf"):
            return
        clock.advance(wait)
    raise AssertionError(f"still {reporter.backlog} reports after {steps} steps")


def test_a_report_waits_for_others_up_to_its_age(reporter, engine, clock, told):
    submit(reporter, told, report("a"))
    assert reporter.step() == pytest.approx(0.05)
    submit(reporter, told, report("b"))
    clock.advance(0.05)
    assert reporter.step() == float("inf")
    assert engine.ids == [["a", "b"]]
    assert engine.requests[0].member == MEMBER


def test_a_full_batch_waits_for_nothing(reporter, engine, told):
    submit(reporter, told, *(report(name) for name in "abcde"))
    assert reporter.step() > 0
    assert engine.ids == [["a", "b", "c", "d"]]


def test_each_is_told_its_own_outcome_once(reporter, clock, told):
    reports = [report(name, number) for number, name in enumerate("abcdef")]
    submit(reporter, told, *reports)
    run(reporter, clock)
    assert [(one, outcome.version) for one, outcome in told] == [(one, one.sequence) for one in reports]


def test_without_an_answer_the_same_batch_is_sent_again_as_it_was(reporter, engine, clock, told):
    submit(reporter, told, report("a", 1), report("b", 2))
    engine.away = True
    clock.advance(0.05)
    wait = reporter.step()
    assert 0.25 <= wait <= 0.5 and told == []
    submit(reporter, told, report("a", 3), report("c", 4))
    assert reporter.step() == pytest.approx(wait), "nothing is sent before its time"
    engine.away = False
    run(reporter, clock)
    assert [[(one.ref.resource_id, one.sequence) for one in request.reports] for request in engine.requests] == [
        [("a", 1), ("b", 2)], [("a", 1), ("b", 2)], [("a", 3), ("c", 4)]]
    assert len(told) == 4


def test_the_pause_grows_to_its_cap_and_an_answer_forgets_it(reporter, engine, clock, told):
    submit(reporter, told, report("a"))
    engine.away = True
    clock.advance(0.05)
    waits = []
    for _ in range(9):
        waits.append(reporter.step())
        clock.advance(waits[-1])
    assert waits[0] <= 0.5 and 5.0 <= waits[-1] <= 10.0
    assert reporter.last_error == "the engine does not answer"
    engine.away = False
    run(reporter, clock)
    assert reporter.last_error is None
    engine.away = True
    submit(reporter, told, report("b"))
    clock.advance(0.05)
    assert reporter.step() <= 0.5


def test_while_waiting_the_newest_of_a_ref_takes_the_place_of_the_older(reporter, engine, clock, told):
    old, new = report("a", 1), report("a", 2)
    submit(reporter, told, old, new)
    assert told == [(old, None)]
    run(reporter, clock)
    assert [one.sequence for one in engine.requests[0].reports] == [2]
    assert told[1][0] is new and told[1][1] is not None


def test_an_older_one_never_takes_the_place_of_a_newer(reporter, engine, clock, told):
    submit(reporter, told, report("a", 2), report("a", 1))
    run(reporter, clock)
    assert [one.sequence for request in engine.requests for one in request.reports] == [2]


def test_one_under_way_is_not_replaced(reporter, engine, clock, told):
    submit(reporter, told, report("a", 1))

    def meanwhile():
        engine.during = None
        submit(reporter, told, report("a", 2))

    engine.during = meanwhile
    run(reporter, clock)
    assert [one.sequence for request in engine.requests for one in request.reports] == [1, 2]
    assert all(outcome is not None for _, outcome in told)


def test_one_bad_report_does_not_block_the_others(reporter, engine, clock, told):
    engine.bad = {"b"}
    submit(reporter, told, *(report(name) for name in "abcd"))
    run(reporter, clock)
    assert {one.ref.resource_id: outcome is not None for one, outcome in told} == {
        "a": True, "b": False, "c": True, "d": True}


def test_full_at_the_limit_counting_what_is_under_way(reporter, engine, clock, told):
    engine.away = True
    submit(reporter, told, *(report(str(number)) for number in range(4)))
    reporter.step()
    submit(reporter, told, *(report(str(number)) for number in range(4, 9)))
    assert reporter.backlog == 9 and not reporter.full
    submit(reporter, told, report("9"))
    assert reporter.full


def test_what_waits_for_a_lost_partition_is_given_up(reporter, engine, clock, told):
    lost, kept = report("a", generation=3), report("b", generation=3)
    submit(reporter, told, lost, kept)
    assert reporter.withdraw(lost.partition, 2) == 0, "an older generation was lost"
    assert reporter.withdraw(lost.partition, 3) == 1
    assert told == [(lost, None)]
    run(reporter, clock)
    assert engine.ids == [["b"]]


def test_a_callback_that_fails_does_not_keep_the_others_from_being_told(reporter, clock, told):
    def fail(outcome):
        raise RuntimeError("callback")

    reporter.submit(report("a"), fail)
    submit(reporter, told, report("b"))
    run(reporter, clock)
    assert len(told) == 1


def test_the_thread_sends_a_full_batch_at_once():
    engine, told, done = Engine(), [], threading.Event()
    reporter = Reporter(engine, MEMBER, batch=2, age=30.0).start()
    submit(reporter, told, report("a"))
    reporter.submit(report("b"), lambda outcome: done.set())
    assert done.wait(20.0), "a full batch does not wait for the age"
    assert engine.ids == [["a", "b"]] and len(told) == 1
    reporter.stop()


def test_sequences_rise():
    sequence = Sequence()
    assert [sequence.next() for _ in range(3)] == [1, 2, 3]

"""From a look that is due to its end in the queue: what is begun, decided, reported, repeated."""
from __future__ import annotations

import threading

import pytest

from obsvc.model import Cause, Condition, Snapshot
from obsvc.observer.fetching.absence import LEAST
from obsvc.observer.fetching.result import FetchOutcome, FetchResult
from tests.support.observer_member import Member, seen
from tests.support.observer_state import ref_in

A, B = ref_in(3), ref_in(3, 1)


@pytest.fixture
def member():
    """One that observes A, settled and without a goal; no look at it is due."""
    made = Member()
    made.gain(seen(A, wanted=()))
    return made


def result(member, outcome=FetchOutcome.FOUND, shown=None, ref=A, **fields):
    return FetchResult(ref, outcome, member.clock.monotonic(), member.clock.time(), shown, **fields)


def due(member, ref=A, cause=Cause.MARKED):
    member.schedule.request(ref, cause)
    return member.queue.get()


def test_a_look_is_reported_and_ends_in_the_queue_before_the_engine_answers(member):
    member.look_runner.run_one(due(member))
    assert [report.ref for report in member.reports] == [A] and not member.queue.processing


def test_the_sequence_is_taken_before_the_request_is_sent(member):
    sequences = []
    fetch = member.fetch
    member.fetch = lambda ref: (sequences.append(member.look_reports.next_sequence()), fetch(ref))[1]
    member.look_runner.run_one(due(member))
    assert member.reports[0].sequence < sequences[0]


def test_what_is_lost_or_handed_over_is_not_fetched(member):
    look = due(member)
    member.holdings.hand_over(3)
    member.look_runner.run_one(look)
    assert member.fetches == [] and member.reports == [] and not member.queue.processing


def test_what_is_lost_during_its_fetch_is_not_reported(member):
    look, fetch = due(member), member.fetch
    member.fetch = lambda ref: (fetch(ref), member.holdings.drop(3))[0]
    member.look_runner.run_one(look)
    assert member.reports == [] and not member.queue.processing


def test_a_failed_fetch_is_repeated_as_late_as_the_service_asks_and_not_reported(member):
    member.answers[A] = result(member, FetchOutcome.FAILED, error="HTTP 503", retry_after=40.0)
    member.look_runner.run_one(due(member))
    assert member.reports == [] and not member.queue.processing
    seconds, cause = member.queue.next_look(A)[1]
    assert seconds == pytest.approx(40.0) and cause is Cause.RETRY


def test_a_404_that_is_to_be_confirmed_is_not_reported_and_looked_at_again(member):
    member.answers[A] = result(member, FetchOutcome.ABSENT)
    member.look_runner.run_one(due(member))
    assert member.reports == [] and member.queue.next_look(A)[1][1] is Cause.SETTLE


def test_the_look_that_follows_is_placed_though_the_ref_was_notified_meanwhile(member):
    building = Snapshot(True, Condition.PENDING, "BUILD", settled=False)
    look, fetch = due(member), member.fetch
    member.answers[A] = result(member, shown=building)
    member.fetch = lambda ref: (fetch(ref), member.take(A))[0]
    member.look_runner.run_one(look)
    seconds, cause = member.queue.next_look(A)[1]
    assert cause is Cause.NOTIFIED and seconds <= 1.0


def test_an_urgent_notification_that_the_look_has_answered_does_not_hurry(member):
    shown = Snapshot(True, Condition.ACTIVE, "SHUTOFF")
    look, fetch = due(member), member.fetch
    member.answers[A] = result(member, shown=shown)
    member.fetch = lambda ref: (fetch(ref), member.queue.add(A, Cause.NOTIFIED, announced="SHUTOFF", urgent=True))[0]
    member.look_runner.run_one(look)
    assert member.queue.get() is None and member.queue.next_look(A)[1][0] > 0


class Emptied(Member):
    """A member whose cloud answers 404 for everything."""

    def __init__(self, *refs):
        super().__init__()
        self.gain(*refs)
        self.step()
        for ref in refs:
            self.schedule.request(ref.ref, Cause.MARKED)

    def fetch(self, ref):
        return FetchResult(ref, FetchOutcome.ABSENT, self.clock.monotonic(), self.clock.time())


@pytest.mark.parametrize(("wanted", "condition"), [((), Condition.UNKNOWN), ((Condition.DELETED,), Condition.DELETED)])
def test_most_of_a_service_absent_at_once_is_a_question_unless_somebody_waits_for_it(wanted, condition):
    member = Emptied(*(seen(ref_in(3, nth), wanted=wanted) for nth in range(LEAST + 1)))
    member.step()
    assert member.reports == [], "404 needs a second"
    member.clock.advance(1.5)
    member.step()
    assert {report.snapshot.condition for report in member.reports} == {condition}


def test_deletions_that_somebody_waits_for_cast_no_doubt_on_another(member):
    expected = [seen(ref_in(3, nth), wanted=(Condition.DELETED,)) for nth in range(LEAST + 1)]
    member = Emptied(*expected, seen(ref_in(3, LEAST + 1), wanted=()))
    member.step()
    member.clock.advance(1.5)
    member.step()
    assert {report.snapshot.condition for report in member.reports} == {Condition.DELETED}


def test_an_error_of_ours_costs_a_retry_and_not_the_thread(member):
    stop = threading.Event()
    member.fetch = lambda ref: (stop.set(), 1 / 0)
    member.schedule.request(A, Cause.MARKED)
    member.look_runner.run(stop)
    assert not member.queue.processing and member.queue.next_look(A)[1][1] is Cause.RETRY


def test_a_failed_look_is_made_alone(member):
    asked = []
    member.most_together = lambda ref: asked.append(ref) or 3
    member.answers[A] = result(member, FetchOutcome.FAILED, error="HTTP 503")
    member.look_runner.run_one(due(member))
    member.clock.advance(60.0)
    member.look_runner.run_one(member.queue.get())
    assert asked == [A], "only of the first attempt"

"""What follows from the engine's answer to a report, verdict by verdict."""
from __future__ import annotations

import pytest

from obsvc.engine_client.ownership import PartitionChanges
from obsvc.engine_client.reports import ReportOutcome, Verdict
from obsvc.model import Cause, Condition
from obsvc.observer.fetching.result import FetchOutcome, FetchResult
from obsvc.observer.looks.reports import PendingReport
from obsvc.observer.looks.values import Decision, NextLook
from obsvc.observer.queue.entry import DueLook
from tests.support.observer_member import Member, seen
from tests.support.observer_state import FakeDelivery, observed, ref_in, snapshot

A, B = ref_in(3), ref_in(3, 1)
POLL = NextLook(20.0, Cause.POLLED, postponable=True)
SETTLE = NextLook(1.0, Cause.SETTLE, gathers=True)


@pytest.fixture
def member():
    """One that observes A, settled and without a goal; no look at it is due."""
    made = Member()
    made.gain(seen(A, wanted=()))
    return made


def look(member, ref=A, *, cause=Cause.NOTIFIED, next_look=None, **fields):
    """Report a look at ``ref`` that begins now; the report."""
    task = member.holdings.task(ref, begins=member.clock.monotonic())
    fetched = FetchResult(ref, FetchOutcome.FOUND, member.clock.monotonic(), member.clock.time(), snapshot())
    decision = Decision(task.look, fetched.snapshot, next_look)
    due_look = DueLook(ref, cause, fields.pop("since", member.clock.monotonic()))
    member.look_reports.submit(PendingReport(due_look, task, fetched, decision), fetched.snapshot,
                               member.look_reports.next_sequence())
    member.clock.advance(0.01)
    return member.reports[-1]


def answer(member, report, verdict=Verdict.ACCEPTED, **fields):
    member.look_reports.answered(report, ReportOutcome(verdict, **fields))


def wait_for(member, ref=A):
    """A delivery of ``ref`` that waits for a look, which must not be lost."""
    delivery = FakeDelivery(member.clock)
    member.clock.advance(0.01)
    member.holdings.request_look(ref)
    member.deliveries.register(delivery, [ref])
    return delivery


def next_look(member, ref=A):
    due = member.queue.next_look(ref)[1]
    return None if due is None else due[1]


def test_a_report_claims_what_was_known_when_its_look_began(member):
    member.holdings.marked(A, 5)
    report = look(member, cause=Cause.MARKED)
    assert (report.ref, report.partition, report.generation, report.mark, report.cause) == (A, 3, 1, 5, Cause.MARKED)


def test_sequences_rise(member):
    assert [member.look_reports.next_sequence() for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("verdict", [Verdict.ACCEPTED, Verdict.UNCHANGED, Verdict.SUPERSEDED, Verdict.NOT_OBSERVED])
def test_what_came_before_the_look_is_settled_and_what_came_during_it_is_not(member, verdict):
    before = wait_for(member)
    report = look(member)
    during = wait_for(member)
    answer(member, report, verdict)
    assert before.settled == 1
    assert during.settled == (verdict is Verdict.NOT_OBSERVED), "nobody observes it: nothing waits for a look"


def test_a_look_that_none_is_to_follow_has_answered_what_asked_for_it(member):
    wait_for(member)
    report = look(member)
    answer(member, report)
    assert not member.holdings.awaits_look(A)


@pytest.mark.parametrize(("follows", "awaits"), [(POLL, False), (SETTLE, True)])
def test_while_its_settle_look_is_to_come_the_look_must_not_be_lost(member, follows, awaits):
    wait_for(member)
    answer(member, look(member, next_look=follows))
    assert member.holdings.awaits_look(A) is awaits


@pytest.mark.parametrize(("verdict", "follows", "due"), [
    (Verdict.ACCEPTED, None, Cause.POLLED), (Verdict.UNCHANGED, None, Cause.POLLED), (Verdict.SUPERSEDED, None, None),
    (Verdict.ACCEPTED, SETTLE, None),
])
def test_what_the_engine_still_waits_for_is_polled_where_no_look_follows_anyway(member, verdict, follows, due):
    answer(member, look(member, next_look=follows), verdict, wanted=(Condition.DELETED,))
    assert next_look(member) is due


def test_goals_that_changed_during_the_look_count_and_not_those_of_the_answer(member):
    report = look(member)
    anew = observed(A, started_at=2.0, wanted=(Condition.DELETED,), last=snapshot())
    member.holdings.apply(PartitionChanges(3, 2, changed=(anew,)), 1)
    answer(member, report, wanted=())
    assert next_look(member) is Cause.POLLED


def test_a_mark_that_is_newer_than_the_one_reported_makes_another_look_due(member):
    member.holdings.marked(A, 5)
    report = look(member)
    member.holdings.marked(A, 6)
    answer(member, report)
    assert next_look(member) is Cause.MARKED


def test_not_observed_forgets_the_ref_and_remembers_it_as_dropped(member):
    member.queue.add_after(A, 5.0, Cause.POLLED)
    answer(member, look(member), Verdict.NOT_OBSERVED)
    assert member.queue.waiting == 0 and member.memory.dropped_at(A) is not None
    assert member.holdings.task(A) is None


def test_observed_anew_during_the_look_it_is_not_forgotten(member):
    report = look(member)
    member.holdings.apply(PartitionChanges(3, 2, changed=(observed(A, started_at=2.0),)), 1)
    answer(member, report, Verdict.NOT_OBSERVED)
    assert member.holdings.task(A) is not None and next_look(member) is Cause.MARKED


def test_a_stale_report_marks_the_ref_tells_ownership_and_settles_nothing(member):
    delivery = wait_for(member)
    answer(member, look(member), Verdict.STALE_GENERATION)
    assert member.marked_soon == [A] and member.stale == [(3, 1)] and delivery.settled == 0


def test_a_report_that_was_given_up_settles_nothing_and_is_waited_for_no_more(member):
    delivery = wait_for(member)
    report = look(member)
    assert not member.look_reports.wait_answered(lambda ref: ref == A, 0.0)
    member.look_reports.answered(report, None)
    assert delivery.settled == 0 and member.look_reports.wait_answered(lambda ref: ref == A, 0.0)


def test_only_the_reports_that_concern_somebody_are_waited_for(member):
    look(member)
    assert member.look_reports.wait_answered(lambda ref: ref == B, 0.0)


def test_an_answer_that_can_not_be_taken_is_waited_for_no_more(member, monkeypatch):
    report = look(member)
    monkeypatch.setattr(member.holdings, "reported", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        answer(member, report)
    assert member.look_reports.wait_answered(lambda ref: True, 0.0)


def report_payload(member, arrived):
    task = member.holdings.task(A)
    fetched = FetchResult(A, FetchOutcome.FOUND, member.clock.monotonic(), member.clock.time(), snapshot())
    member.look_reports.submit_payload(PendingReport(
        DueLook(A, Cause.PAYLOAD, arrived), task, fetched, Decision(task.look, snapshot(), POLL)))
    return member.reports[-1]


def test_a_payload_clears_no_mark(member):
    member.holdings.marked(A, 5)
    report = report_payload(member, member.clock.monotonic())
    assert report.mark is None and next_look(member) is Cause.POLLED
    answer(member, report)
    assert next_look(member) is Cause.MARKED, "the mark waits for its look"


def test_a_payload_settles_what_waits_for_payloads_alone_and_answers_no_request_for_a_look(member):
    waiting, by_payload = wait_for(member), FakeDelivery(member.clock)
    member.deliveries.register(by_payload, [A], by_payload=True)
    answer(member, report_payload(member, by_payload.arrived))
    assert (waiting.settled, by_payload.settled) == (0, 1) and member.holdings.awaits_look(A)

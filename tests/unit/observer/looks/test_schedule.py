"""Schedule and runner of looks over the real queue and state, in virtual time; fetcher and reporter are lists."""

import pytest

from obsvc.engine_client.ownership import PartitionChanges
from obsvc.engine_client.reports import Verdict
from obsvc.model import Cause, Condition
from obsvc.observer.fetching.result import FetchOutcome, FetchResult
from tests.support.observer_member import Member, seen
from tests.support.observer_state import (
    OTHER,
    FakeDelivery,
    observed,
    ref_in,
)

A, B, ELSEWHERE = ref_in(3), ref_in(3, 1), ref_in(4)


@pytest.fixture
def member():
    return Member()


def test_a_new_observation_is_looked_at_and_a_settle_look_follows(member):
    member.gain()
    member.schedule.applied(member.holdings.apply(PartitionChanges(3, 2, changed=(observed(A),)), 1))
    assert member.step() == [Cause.STARTED]
    member.answer()
    assert member.step() == []
    member.clock.advance(1)
    assert member.step() == [Cause.SETTLE]


def test_a_delivery_is_settled_by_the_answer_to_a_look_begun_after_it(member):
    member.gain(seen(A, wanted=()))
    during = FakeDelivery(member.clock)
    real = member.fetch

    def fetch(ref):  # a second notification comes while the first one's fetch is under way
        fetched = real(ref)
        if len(member.fetches) == 1:
            nonlocal during
            during = member.take(A)
        return fetched

    member.fetch = fetch
    before = member.take(A)
    member.step()
    assert (before.settled, during.settled) == (0, 0)
    member.answer()
    assert (before.settled, during.settled) == (1, 0)
    member.clock.advance(2)
    assert member.step() and member.holdings.awaits_look(A)
    member.answer()
    assert during.settled == 1


def test_a_failed_fetch_settles_nothing_and_is_made_again(member):
    member.gain(seen(A, wanted=()))
    delivery = member.take(A)
    member.answers[A] = FetchResult(A, FetchOutcome.FAILED, member.clock.monotonic(), error="503")
    member.step()
    assert member.reports == [] and delivery.settled == 0
    del member.answers[A]
    member.clock.advance(60)
    member.step()
    member.answer()
    assert delivery.settled == 1


def test_not_ours_and_not_observed_cost_no_fetch(member):
    member.gain(seen(A, wanted=()))
    member.take(B)
    member.take(ELSEWHERE)
    assert member.step() == [] and member.fetches == []


def test_a_stale_report_marks_the_ref_and_tells_ownership(member):
    member.gain(seen(A, wanted=()))
    delivery = member.take(A)
    member.step()
    member.answer(Verdict.STALE_GENERATION)
    assert member.marked_soon == [A] and member.stale == [(3, 1)] and delivery.settled == 0
    assert not member.queue.processing


def test_not_observed_drops_the_ref_and_settles_what_came_meanwhile(member):
    member.gain(seen(A, wanted=()))
    first = member.take(A)
    member.step()
    second = member.take(A)
    member.answer(Verdict.NOT_OBSERVED)
    assert (first.settled, second.settled) == (1, 1)
    member.clock.advance(100)
    assert member.step() == []


def test_a_mark_that_came_during_the_look_is_looked_at_again(member):
    member.gain(seen(A, wanted=()))
    member.take(A)
    member.step()
    member.schedule.applied(member.holdings.apply(PartitionChanges(3, 2, changed=(seen(A, wanted=(), mark=7),)), 1))
    assert member.step() == []
    member.answer()
    assert member.step() and member.reports[0].mark == 7


def test_polling_goes_on_while_the_engine_waits_for_a_goal(member):
    member.gain(seen(A, wanted=()))
    member.take(A)
    member.step()
    member.answer(wanted=(Condition.DELETED,))
    member.clock.advance(1)
    assert member.step() == [Cause.SETTLE]
    member.answer(Verdict.UNCHANGED, wanted=(Condition.DELETED,))
    assert not member.holdings.awaits_look(A) and member.step() == []
    member.clock.advance(20)
    assert member.step() == [Cause.POLLED]


VANISHED = dict(previous=OTHER, previous_caught_up=True)


def test_the_memory_makes_up_for_a_vanished_owner(member):
    member.take(A)
    member.clock.advance(3)
    member.gain(seen(A, wanted=()), seen(B, wanted=()), previous_last_beat_at=member.clock.time() - 5, **VANISHED)
    assert member.step() == [Cause.TAKEOVER] and member.fetches == [A]
    assert len(member.catch_up) == 1
    member.answer()
    assert len(member.catch_up) == 0


def test_without_the_memory_every_observed_ref_gets_one_paced_look(member):
    member.heard_since = member.clock.monotonic()
    member.gain(seen(A, wanted=()), seen(B, wanted=()), previous_last_beat_at=member.clock.time() - 5, **VANISHED)
    assert member.step() == [Cause.TAKEOVER] and len(member.fetches) == 1  # the other waits its turn
    member.clock.advance(10)
    assert set(member.step()) == {Cause.TAKEOVER, Cause.SETTLE} and set(member.fetches) == {A, B}
    member.answer()
    assert len(member.catch_up) == 0


def test_after_a_release_only_marks_and_first_looks_are_due(member):
    member.take(A)
    member.clock.advance(10)
    refs = seen(A, wanted=()), seen(B, wanted=(), mark=4)
    member.gain(*refs, previous=OTHER, released=True, previous_last_beat_at=member.clock.time() - 1)
    assert member.step() == [Cause.TAKEOVER] and member.fetches == [B]


def test_what_was_notified_while_loading_is_looked_at(member):
    delivery, other = member.gain(seen(A, wanted=()), dirty=(A, B))
    assert other.settled == 1 and delivery.settled == 0
    assert member.step() == [Cause.NOTIFIED]
    member.answer()
    assert delivery.settled == 1


def test_a_gap_gives_every_ref_of_the_region_one_look(member):
    member.gain(seen(A, wanted=()), seen(B, wanted=()))
    assert member.catch_up.resync("elsewhere", "reconnect") == 0
    assert member.catch_up.resync("RegionOne", "reconnect") == 2
    member.step()
    member.clock.advance(10)
    member.step()
    assert sorted(member.fetches) == sorted([A, B])
    member.answer()
    assert len(member.catch_up) == 0

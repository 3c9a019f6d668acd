"""Notifications that say no more than that something is under way: they wait for a later look, and none is lost.

Schedule and runner of looks, state and marker over the real queue, in virtual time; the engine's marks are numbers.
"""
from dataclasses import replace

import pytest

from obsvc.engine_client.ownership import PartitionChanges
from obsvc.engine_client.reports import MarkReply
from obsvc.exceptions import Unavailable
from obsvc.model import Cause, Condition, Snapshot, Urgency
from obsvc.observer.engine_link.marks import Marker
from obsvc.observer.fetching.result import FetchOutcome, FetchResult
from obsvc.observer.state.mark_requests import LATER_AFTER
from tests.support.observer_member import Member, seen
from tests.support.observer_state import MEMBER, FakeDelivery, notification, observed, ref_in

A = ref_in(3)
BUILD = Snapshot(True, Condition.PENDING, "BUILD", settled=False)


class Engine:
    """Stores marks."""

    def __init__(self):
        self.requests, self.away = [], False

    def mark(self, request):
        if self.away:
            raise Unavailable("away")
        self.requests.append((request.refs, request.reason))
        return MarkReply(tuple(len(self.requests) for _ in request.refs))


class Showing(Member):
    """A member whose cloud shows A so."""

    def __init__(self, shown):
        super().__init__()
        self.shown = shown

    def fetch(self, ref):
        began = self.clock.monotonic()
        super().fetch(ref)
        return FetchResult(ref, FetchOutcome.FOUND, began, self.clock.time(), self.shown)


class Building(Showing):
    """A member that has just looked at A, which is built; the poll is due in about 15 s."""

    def __init__(self):
        super().__init__(BUILD)
        self.engine = Engine()
        self.marker = Marker(engine=self.engine, member=MEMBER, holdings=self.holdings, deliveries=self.deliveries,
                             requests=self.mark_requests, listener=self.triggers, mark_after=10.0, clock=self.clock)
        self.gain(observed(A))
        self.step()
        self.answer(wanted=(Condition.ACTIVE,))
        self.clock.advance(1.0)
        self.step()  # the settle look
        self.answer(wanted=(Condition.ACTIVE,))
        self.fetches.clear()

    def still(self):
        delivery = FakeDelivery(self.clock)
        self.clock.advance(0.01)
        self.intake.take(notification(A, under_way=True), delivery)
        return delivery

    def marks(self):
        self.clock.advance(LATER_AFTER + 0.01)
        while self.marker.mark_batch():
            pass
        return self.engine.requests


@pytest.fixture
def building():
    return Building()


def test_it_costs_no_look_of_its_own(building):
    building.still()
    assert building.step() == []
    building.clock.advance(5.0)
    building.still()
    building.clock.advance(12.0)
    assert building.step() == [], "the poll is put off"
    building.clock.advance(18.0)
    assert building.step() == [Cause.NOTIFIED] and building.fetches == [A]
    building.answer(wanted=(Condition.ACTIVE,))
    building.clock.advance(2.0)
    assert building.step() == [], "no settle look: it showed what was said"


def test_it_is_settled_by_a_mark_soon_and_the_look_that_answers_it_names_the_mark(building):
    delivery = building.still()
    building.marker.mark_batch()
    assert building.engine.requests == [] and delivery.settled == 0, "many are marked at once"
    assert building.marks() == [((A,), "put_off")] and delivery.settled == 1
    assert building.holdings.awaits_look(A) and building.step() == [], "the mark is no reason for another look"
    building.clock.advance(60.0)
    building.step()
    assert building.reports[0].mark == 1
    building.answer(wanted=(Condition.ACTIVE,))
    assert not building.holdings.awaits_look(A)


def test_one_mark_speaks_for_all_until_a_look_begins(building):
    building.still()
    building.marks()
    assert building.still().settled == 1
    assert len(building.marks()) == 1
    building.clock.advance(60.0)
    building.step()  # not reported yet: its report may clear the mark
    delivery = building.still()
    assert delivery.settled == 0
    assert len(building.marks()) == 2 and delivery.settled == 1


def test_what_a_look_answered_sooner_is_not_marked(building):
    building.still()
    building.take(A, state="ERROR", look=Urgency.NOW)
    building.step()
    building.answer(wanted=(Condition.ACTIVE,))
    assert building.marks() == []


def test_with_the_engine_away_it_is_overdue_in_time(building):
    delivery = building.still()
    building.engine.away = True
    with pytest.raises(Unavailable):
        building.marks()
    building.engine.away = False
    assert building.marks() == []
    building.clock.advance(10.0)
    assert building.marks() == [((A,), "unsettled")] and delivery.settled == 1


def test_a_put_off_look_is_owed_when_the_partition_goes(building):
    building.still()
    building.marks()
    _, awaiting = building.holdings.drop(3)
    assert awaiting == [A]


def test_the_end_is_looked_at_at_once(building):
    building.still()
    building.take(A, state="ACTIVE", look=Urgency.NOW)
    assert building.step() == [Cause.NOTIFIED]


def test_a_beginning_is_looked_at_where_all_was_settled(building):
    building.shown = Snapshot(True, Condition.ACTIVE, "ACTIVE")
    building.take(A, state="ACTIVE", look=Urgency.NOW)
    building.step()
    building.answer()
    building.clock.advance(5.0)
    building.still()
    assert building.step() == [Cause.NOTIFIED]


def test_a_deadline_is_not_put_off():
    building = Building()
    deadline = building.clock.time() + 18.0
    building.schedule.applied(building.holdings.apply(
        PartitionChanges(3, 2, changed=(observed(A, started_at=2.0),)), 1))
    building.holdings.update_look(A, lambda look: (replace(look, deadline=deadline), None))
    building.step()
    building.clock.advance(10.0)
    building.still()
    building.clock.advance(9.0)
    assert building.step() == [Cause.NOTIFIED]


@pytest.mark.parametrize(("heard_before", "settle"), [(None, []), (0.5, [Cause.SETTLE]), (5.0, [])])
def test_a_start_that_shows_something_under_way_has_a_settle_look_only_if_something_was_heard(heard_before, settle):
    member = Showing(BUILD)
    member.gain()
    if heard_before is not None:
        member.take(A)  # dropped: nobody observes it yet
        member.clock.advance(heard_before)
    member.schedule.applied(member.holdings.apply(PartitionChanges(3, 2, changed=(observed(A),)), 1))
    assert member.step() == [Cause.STARTED]
    member.answer(wanted=(Condition.ACTIVE,))
    member.clock.advance(1.0)
    assert member.step() == settle


def test_a_covering_mark_is_one_that_no_look_has_begun_with():
    member = Member()
    member.gain(seen(A, wanted=()))
    assert not member.holdings.covered_by_mark(A)
    member.holdings.marked(A, 5)
    assert member.holdings.covered_by_mark(A)
    member.holdings.task(A)
    assert member.holdings.covered_by_mark(A)
    member.holdings.task(A, begins=1.0)
    assert not member.holdings.covered_by_mark(A)
    member.holdings.marked(A, 6)
    assert member.holdings.covered_by_mark(A)

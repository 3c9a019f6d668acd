"""Marker: what is to be marked first, what an answer settles, and what happens to a name that the engine won't read."""
import pytest

from obsvc.engine_client.reports import MarkReply
from obsvc.exceptions import InvalidInput, Unavailable
from obsvc.observer.engine_link import marks
from obsvc.observer.engine_link.marks import Marker
from obsvc.observer.state.deliveries import UnsettledDeliveries
from obsvc.observer.state.mark_requests import LATER_AFTER, MarkRequests
from obsvc.process.clock import ManualClock
from tests.support.observer_state import MEMBER, FakeDelivery, holdings_with, ref_in

A, B, ELSEWHERE = ref_in(3), ref_in(3, 1), ref_in(4)


class Setup:
    """A member that observes A and B, and plays the engine and whoever is told of marks."""

    def __init__(self):
        self.clock = ManualClock()
        self.holdings = holdings_with(A, B)
        self.deliveries = UnsettledDeliveries(clock=self.clock)
        self.requests = MarkRequests(deliveries=self.deliveries, clock=self.clock)
        self.sent, self.told, self.away, self.unreadable, self.unobserved = [], [], False, set(), {ELSEWHERE}
        self.marker = Marker(
            engine=self, member=MEMBER, holdings=self.holdings, deliveries=self.deliveries, requests=self.requests,
            listener=self, mark_after=10.0, clock=self.clock,
        )

    def mark(self, request):
        if self.away:
            raise Unavailable("away")
        if self.unreadable.intersection(request.refs):
            raise InvalidInput("expected text, got a lone surrogate")
        self.sent.append((request.reason, request.refs))
        return MarkReply(tuple(None if ref in self.unobserved else len(self.sent) for ref in request.refs))

    def marked(self, ref):
        self.told.append(ref)

    def arrive(self, *refs):
        delivery = FakeDelivery(self.clock)
        self.deliveries.register(delivery, refs)
        self.clock.advance(0.01)
        return delivery


@pytest.fixture
def member():
    return Setup()


def test_what_is_to_be_marked_soon_comes_first_then_later_then_overdue(member):
    overdue, later = member.arrive(A), member.arrive(ELSEWHERE)
    member.clock.advance(10)
    member.requests.mark_later(ELSEWHERE)
    member.clock.advance(LATER_AFTER)
    member.requests.mark_soon([B])
    while member.marker.mark_batch():
        pass
    assert member.sent == [("handed_over", (B,)), ("put_off", (ELSEWHERE,)), ("unsettled", (A,))]
    assert overdue.settled == later.settled == 1 and member.requests.pending == 0


def test_a_stored_mark_is_known_and_told_where_no_look_is_due(member):
    member.holdings.request_look(B)
    member.marker.mark([A, B, ELSEWHERE])
    assert member.told == [A], "of B a look is due anyway, and nobody observes the third here"
    assert member.holdings.task(A).observed.mark == member.holdings.task(B).observed.mark == 1


def test_a_delivery_that_came_after_the_request_is_not_settled_by_its_mark(member):
    before, later = member.arrive(A), []
    mark = member.mark

    def meanwhile(request):
        member.clock.advance(1)
        later.append(member.arrive(A))
        return mark(request)

    member.mark = meanwhile
    member.marker.mark([A])
    assert before.settled == 1 and later[0].settled == 0


def test_with_the_engine_away_what_is_to_be_marked_soon_is_kept(member):
    member.away = True
    delivery = member.arrive(A)
    with pytest.raises(Unavailable):
        member.marker.mark([A])
    assert member.requests.soon(9) == [A] and delivery.settled == 0
    member.away = False
    member.marker.mark_pending()
    assert member.requests.pending == 0 and delivery.settled == 1


def test_many_are_marked_in_batches(member, monkeypatch):
    monkeypatch.setattr(marks, "BATCH", 2)
    member.marker.mark([A, B, ELSEWHERE, A])
    assert [refs for _, refs in member.sent] == [(A, B), (ELSEWHERE,)]


def test_a_name_that_the_engine_does_not_read_keeps_no_other_from_being_marked(member):
    member.unreadable = {B}
    good, bad = member.arrive(A), member.arrive(B)
    member.marker.mark([A, B, ELSEWHERE])
    assert {ref for _, refs in member.sent for ref in refs} == {A, ELSEWHERE}
    assert good.settled == bad.settled == 1 and member.requests.pending == 0

"""Intake: each fate of a notification, and the races with grants."""
import pytest

from obsvc.model import Urgency
from obsvc.observer.intake.intake import Intake
from obsvc.observer.state.deliveries import UnsettledDeliveries
from obsvc.observer.state.holdings import Holdings
from obsvc.observer.state.mark_requests import MarkRequests
from obsvc.observer.state.takeover_memory import TakeoverMemory
from obsvc.observer.state.values import RefStatus
from obsvc.process.clock import ManualClock
from tests.support.observer_state import (
    PARTITIONS,
    FakeDelivery,
    grant,
    holdings_with,
    make_holdings,
    notification,
    ref_in,
)

A, B, ELSEWHERE = ref_in(3), ref_in(3, 1), ref_in(4)


class Setup:
    def __init__(self, holdings: Holdings) -> None:
        self.clock = ManualClock()
        self.holdings = holdings
        self.memory = TakeoverMemory(window=60, limit=100, partitions=PARTITIONS, clock=self.clock)
        self.deliveries = UnsettledDeliveries(clock=self.clock)
        self.marks = MarkRequests(deliveries=self.deliveries, clock=self.clock)
        self.due = []
        self.intake = Intake(
            holdings=holdings, memory=self.memory, deliveries=self.deliveries, marks=self.marks, listener=self,
        )

    def notified(self, ref, _notification):
        self.due.append(ref)
        return True

    def take(self, *refs, **fields):
        delivery = FakeDelivery(self.clock)
        self.intake.take(notification(*refs, **fields), delivery)
        return delivery.settled

    def remembered(self):
        return set().union(*self.memory.recall({number: 0.0 for number in range(PARTITIONS)}).values())


@pytest.fixture
def owner():
    return Setup(holdings_with(A))


def test_not_ours_is_settled_and_remembered(owner):
    assert owner.take(ELSEWHERE) == 1
    assert owner.remembered() == {ELSEWHERE} and owner.due == [] and len(owner.deliveries) == 0


def test_not_observed_is_settled_and_remembered(owner):
    assert owner.take(B) == 1
    assert owner.remembered() == {B} and owner.due == []


def test_observed_makes_a_look_due_and_waits_for_it(owner):
    assert owner.take(A) == 0
    assert owner.due == [A] and owner.deliveries.refs() == {A} and owner.remembered() == set()


def test_a_bulk_notification_waits_only_for_ours(owner):
    assert owner.take(A, B, ELSEWHERE) == 0
    assert owner.due == [A] and owner.deliveries.refs() == {A} and owner.remembered() == {B, ELSEWHERE}


@pytest.mark.parametrize(("refs", "look"), [((), Urgency.NOW), ((A,), Urgency.NONE)])
def test_nothing_to_look_at_is_settled_at_once_and_not_remembered(owner, refs, look):
    assert owner.take(*refs, look=look) == 1
    assert owner.due == [] and owner.remembered() == set()


def test_while_the_list_is_loading_it_is_kept_dirty():
    loading = Setup(make_holdings())
    loading.holdings.begin(grant(3))
    assert loading.take(A) == 0
    assert loading.due == [] and loading.deliveries.refs() == {A}
    assert loading.holdings.complete(3, 1, 1).dirty_unobserved == [A]


def test_while_handed_over_it_is_marked(owner):
    owner.holdings.hand_over(3)
    assert owner.take(A) == 0
    assert owner.marks.soon(9) == [A] and owner.due == []


def test_what_is_nobodys_here_passes_and_is_remembered(owner):
    assert owner.intake.skip_reason(ELSEWHERE, True) == "not_owned"
    assert owner.intake.skip_reason(B, True) == "not_observed"
    assert owner.remembered() == {B, ELSEWHERE}


def test_what_asks_for_no_look_passes_and_is_not_remembered(owner):
    assert owner.intake.skip_reason(A, False) == owner.intake.skip_reason(ELSEWHERE, False) == "no_look"
    assert owner.remembered() == set()


def test_what_is_observed_loading_or_handed_over_does_not_pass(owner):
    assert owner.intake.skip_reason(A, True) is None
    owner.holdings.hand_over(3)
    assert owner.intake.skip_reason(A, True) is None
    owner.holdings.begin(grant(4))
    assert owner.intake.skip_reason(ELSEWHERE, True) is None
    assert owner.due == [] and owner.remembered() == set()


class Granting(TakeoverMemory):
    """A memory during whose recording the partition is granted: the worst moment."""

    holdings: Holdings

    def drop(self, ref):
        super().drop(ref)
        self.holdings.begin(grant(4))


def test_a_grant_between_the_question_and_the_memory_does_not_lose_the_notification(owner):
    owner.intake._memory = memory = Granting(window=60, limit=100, partitions=PARTITIONS, clock=owner.clock)
    memory.holdings = owner.holdings
    assert owner.holdings.ref_status(ELSEWHERE) is RefStatus.NOT_OWNED
    assert owner.take(ELSEWHERE) == 0
    assert owner.holdings.complete(4, 1, 1).dirty_unobserved == [ELSEWHERE]


def test_a_grant_in_between_stops_it_from_passing(owner):
    owner.intake._memory = memory = Granting(window=60, limit=100, partitions=PARTITIONS, clock=owner.clock)
    memory.holdings = owner.holdings
    assert owner.intake.skip_reason(ELSEWHERE, True) is None

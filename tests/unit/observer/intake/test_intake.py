"""Intake: each fate of a notification, and the races with grants."""
import pytest

from obsvc.model import Urgency
from obsvc.observer.intake.intake import Intake
from obsvc.observer.state.deliveries import Unsettled
from obsvc.observer.state.holdings import Held, Standing
from obsvc.observer.state.takeover_memory import TakeoverMemory
from obsvc.process.clock import ManualClock
from tests.support.observer_state import PARTITIONS, FakeDelivery, grant, held_with, make_held, notification, ref_in

A, B, ELSEWHERE = ref_in(3), ref_in(3, 1), ref_in(4)


class Setup:
    def __init__(self, held: Held) -> None:
        self.clock = ManualClock()
        self.held = held
        self.memory = TakeoverMemory(window=60, limit=100, partitions=PARTITIONS, clock=self.clock)
        self.unsettled = Unsettled(clock=self.clock)
        self.due, self.hurried = [], []
        self.intake = Intake(
            held=held, memory=self.memory, unsettled=self.unsettled,
            notified=lambda ref, _notification: self.due.append(ref) or True, hurry=self.hurried.append,
        )

    def take(self, *refs, **fields):
        delivery = FakeDelivery(self.clock)
        self.intake.take(notification(*refs, **fields), delivery)
        return delivery.settled

    def remembered(self):
        return set().union(*self.memory.recall({number: 0.0 for number in range(PARTITIONS)}).values())


@pytest.fixture
def owner():
    return Setup(held_with(A))


def test_not_ours_is_settled_and_remembered(owner):
    assert owner.take(ELSEWHERE) == 1
    assert owner.remembered() == {ELSEWHERE} and owner.due == [] and len(owner.unsettled) == 0


def test_not_observed_is_settled_and_remembered(owner):
    assert owner.take(B) == 1
    assert owner.remembered() == {B} and owner.due == []


def test_observed_makes_a_look_due_and_waits_for_it(owner):
    assert owner.take(A) == 0
    assert owner.due == [A] and owner.unsettled.refs() == {A} and owner.remembered() == set()


def test_a_bulk_notification_waits_only_for_ours(owner):
    assert owner.take(A, B, ELSEWHERE) == 0
    assert owner.due == [A] and owner.unsettled.refs() == {A} and owner.remembered() == {B, ELSEWHERE}


@pytest.mark.parametrize(("refs", "look"), [((), Urgency.NOW), ((A,), Urgency.NONE)])
def test_nothing_to_look_at_is_settled_at_once_and_not_remembered(owner, refs, look):
    assert owner.take(*refs, look=look) == 1
    assert owner.due == [] and owner.remembered() == set()


def test_while_the_list_is_loading_it_is_kept_dirty():
    loading = Setup(make_held())
    loading.held.begin(grant(3))
    assert loading.take(A) == 0
    assert loading.due == [] and loading.unsettled.refs() == {A}
    assert loading.held.complete(3, 1, 1).dirty_unobserved == [A]


def test_while_handed_over_it_is_marked(owner):
    owner.held.hand_over(3)
    assert owner.take(A) == 0
    assert owner.hurried == [A] and owner.due == []


def test_what_is_nobodys_here_passes_and_is_remembered(owner):
    assert owner.intake.skip_reason(ELSEWHERE, True) == "not_owned"
    assert owner.intake.skip_reason(B, True) == "not_observed"
    assert owner.remembered() == {B, ELSEWHERE}


def test_what_asks_for_no_look_passes_and_is_not_remembered(owner):
    assert owner.intake.skip_reason(A, False) == owner.intake.skip_reason(ELSEWHERE, False) == "no_look"
    assert owner.remembered() == set()


def test_what_is_observed_loading_or_handed_over_does_not_pass(owner):
    assert owner.intake.skip_reason(A, True) is None
    owner.held.hand_over(3)
    assert owner.intake.skip_reason(A, True) is None
    owner.held.begin(grant(4))
    assert owner.intake.skip_reason(ELSEWHERE, True) is None
    assert owner.due == [] and owner.remembered() == set()


class Granting(TakeoverMemory):
    """A memory during whose recording the partition is granted: the worst moment."""

    held: Held

    def drop(self, ref):
        super().drop(ref)
        self.held.begin(grant(4))


def test_a_grant_between_the_question_and_the_memory_does_not_lose_the_notification(owner):
    owner.intake._memory = memory = Granting(window=60, limit=100, partitions=PARTITIONS, clock=owner.clock)
    memory.held = owner.held
    assert owner.held.standing(ELSEWHERE) is Standing.NOT_OWNED
    assert owner.take(ELSEWHERE) == 0
    assert owner.held.complete(4, 1, 1).dirty_unobserved == [ELSEWHERE]


def test_a_grant_in_between_stops_it_from_passing(owner):
    owner.intake._memory = memory = Granting(window=60, limit=100, partitions=PARTITIONS, clock=owner.clock)
    memory.held = owner.held
    assert owner.intake.skip_reason(ELSEWHERE, True) is None

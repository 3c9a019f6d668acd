"""The other family's copy of a notification: told apart, and answered by the look that answered the first."""
import pytest

from obsvc.model import Condition, Family, Notification, Snapshot, Urgency
from obsvc.observer.fetching.result import FetchOutcome, FetchResult
from obsvc.observer.intake.twins import KEPT, KEPT_OF_REF, Twins
from tests.support.observer_member import Member, seen
from tests.support.observer_state import FakeDelivery, grant, ref_in

A = ref_in(3)


def told(event="compute.instance.create.end", family=Family.UNVERSIONED, state="ACTIVE", second="10.100000", **fields):
    return Notification(event, "nova", family, refs=(A,), look=Urgency.NOW, state=state,
                        timestamp=f"2026-11-22 20:31:{second}", **{"request_id": "req-1"} | fields)


def copy(event="instance.create.end", second="10.130000", **fields):
    return told(event, fields.pop("family", Family.VERSIONED), second=second, **fields)


def test_a_copy_is_told_by_request_event_family_state_and_time():
    twins = Twins()
    assert twins.first_heard(A, told(), 5.0) is None
    assert twins.first_heard(A, copy(), 5.2) == 5.0
    assert twins.first_heard(A, copy(), 5.3) is None, "each makes up one pair"


@pytest.mark.parametrize("other", [
    copy(family=Family.UNVERSIONED),
    copy(state="SHUTOFF"),
    copy(state=None),
    copy(second="10.700000"),
    copy(request_id="req-2"),
    copy(request_id=None),
    copy("instance.create_other.end"),
    copy("e.create.end"),
    Notification("instance.create.end", "nova", Family.VERSIONED, refs=(A,), state="ACTIVE", timestamp="yesterday",
                 request_id="req-1"),
])
def test_what_differs_is_no_copy(other):
    twins = Twins()
    twins.first_heard(A, told(), 5.0)
    assert twins.first_heard(A, other, 5.1) is None


def test_the_versioned_one_may_come_first():
    twins = Twins()
    twins.first_heard(A, copy(), 5.0)
    assert twins.first_heard(A, told(), 5.1) == 5.0


def test_only_the_newest_are_remembered_and_not_for_long():
    twins = Twins()
    twins.first_heard(A, told(), 5.0)
    assert twins.first_heard(A, copy(), 5.1 + KEPT) is None
    twins.first_heard(A, told("compute.instance.rename.end"), 20.0)
    for number in range(KEPT_OF_REF):
        twins.first_heard(A, told(f"compute.instance.other{number}.end"), 20.0)
    assert twins.first_heard(A, copy("instance.rename.end"), 20.1) is None


@pytest.fixture
def member():
    one = Member()
    one.gain(seen(A, wanted=()))
    one.clock.advance(10)
    return one


def take(member, notification):
    delivery = FakeDelivery(member.clock)
    member.clock.advance(0.01)
    member.intake.take(notification, delivery)
    member.clock.advance(0.01)
    return delivery


def looks(member, seconds=30):
    """How many are made from now on."""
    before = len(member.fetches)
    for _ in range(seconds):
        member.step()
        member.answer()
        member.clock.advance(1.0)
    return len(member.fetches) - before



def test_a_copy_that_comes_after_the_look_was_answered_costs_none(member):
    first = take(member, told())
    member.step()
    member.answer()
    second = take(member, copy())
    assert (first.settled, second.settled) == (1, 1)
    assert not member.holdings.awaits_look(A) or member.queue.waiting, "what is owed is the settle look of the first"


def test_a_copy_that_comes_during_the_look_is_settled_by_its_answer(member):
    fetch, second = member.fetch, []

    def during(ref):
        fetched = fetch(ref)
        second.append(take(member, copy()))
        return fetched

    take(member, told())
    member.fetch = during
    member.step()
    member.fetch = fetch
    assert second[0].settled == 0
    member.answer()
    assert second[0].settled == 1


def test_a_copy_whose_firsts_look_fails_waits_for_the_next_try(member):
    take(member, told())
    member.answers[A] = FetchResult(A, FetchOutcome.FAILED, member.clock.monotonic(), error="503")
    member.step()
    second = take(member, copy())
    assert second.settled == 0
    del member.answers[A]
    assert looks(member) >= 1 and second.settled == 1


def test_a_copy_that_comes_before_any_look_shares_it(member):
    first, second = take(member, told()), take(member, copy())
    member.step()
    member.answer()
    assert (first.settled, second.settled) == (1, 1)


def test_a_second_event_is_looked_at_though_the_first_ones_copy_was_lost(member):
    take(member, told())
    member.step()
    member.answer()
    another = take(member, told(second="10.600000"))
    assert another.settled == 0 and member.holdings.awaits_look(A)
    assert looks(member) >= 1 and another.settled == 1


def test_a_copy_costs_no_look(member):
    renamed = Snapshot(True, Condition.ACTIVE, "ACTIVE", name="renamed")
    began = member.clock.monotonic() + 0.01
    member.answers[A] = FetchResult(A, FetchOutcome.FOUND, began, member.clock.time(), renamed)
    take(member, told())
    assert looks(member, 1) == 1
    take(member, copy())
    assert looks(member) == 0


def test_a_copy_of_what_was_heard_under_an_earlier_grant_is_looked_at(member):
    take(member, told())
    member.holdings.drop(3)
    member.schedule.forget([A])
    member.holdings.begin(grant(3, 2))
    member.holdings.load({3: 2}, [seen(A, wanted=())])
    member.holdings.complete(3, 2, 1)
    take(member, copy())
    assert member.holdings.awaits_look(A) and member.step()

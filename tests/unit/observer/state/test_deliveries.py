"""Unsettled deliveries: only a fetch that began after the arrival, or a mark asked for after it, settles a delivery."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from obsvc.observer.state.deliveries import UnsettledDeliveries
from obsvc.process.clock import ManualClock
from tests.support.observer_state import FakeDelivery, ref

A, B = ref("a"), ref("b")


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def deliveries(clock):
    return UnsettledDeliveries(clock=clock)


def arrive(clock, deliveries, *refs):
    delivery = FakeDelivery(clock)
    deliveries.register(delivery, refs)
    clock.advance(1)
    return delivery


def test_a_fetch_that_began_before_the_arrival_settles_nothing(clock, deliveries):
    began = clock.monotonic()
    clock.advance(1)
    delivery = arrive(clock, deliveries, A)
    deliveries.looked(A, began)
    assert delivery.settled == 0 and len(deliveries) == 1


def test_a_fetch_that_began_at_the_moment_of_arrival_proves_nothing(clock, deliveries):
    delivery = arrive(clock, deliveries, A)
    deliveries.looked(A, delivery.arrived)
    assert delivery.settled == 0


def test_a_fetch_that_began_after_the_arrival_settles(clock, deliveries):
    delivery = arrive(clock, deliveries, A)
    deliveries.looked(A, clock.monotonic())
    assert delivery.settled == 1 and len(deliveries) == 0 and not deliveries.refs()


def test_one_fetch_settles_what_came_before_it_and_nothing_later(clock, deliveries):
    first, second = arrive(clock, deliveries, A), arrive(clock, deliveries, A)
    began = clock.monotonic()
    clock.advance(1)
    third = arrive(clock, deliveries, A)
    deliveries.looked(A, began)
    assert (first.settled, second.settled, third.settled) == (1, 1, 0)
    deliveries.looked(A, clock.monotonic())
    assert third.settled == 1


def test_a_bulk_delivery_waits_for_each_of_its_refs(clock, deliveries):
    delivery = arrive(clock, deliveries, A, B, A)
    deliveries.looked(A, clock.monotonic())
    assert delivery.settled == 0
    deliveries.marked([B], clock.monotonic())
    assert delivery.settled == 1


def test_a_mark_asked_for_before_the_arrival_settles_nothing(clock, deliveries):
    asked = clock.monotonic()
    clock.advance(1)
    delivery = arrive(clock, deliveries, A)
    deliveries.marked([A], asked)
    assert delivery.settled == 0
    deliveries.marked([A], clock.monotonic())
    assert delivery.settled == 1


def test_dismissed_refs_settle_whenever_it_arrived(clock, deliveries):
    delivery = arrive(clock, deliveries, A)
    deliveries.dismiss([B])
    assert delivery.settled == 0
    deliveries.dismiss([A])
    assert delivery.settled == 1


def test_overdue_names_the_oldest_first_and_no_more_than_asked(clock, deliveries):
    arrive(clock, deliveries, A)
    arrive(clock, deliveries, B)
    assert deliveries.overdue(2.0, 10) == [A]
    assert deliveries.overdue(1.0, 10) == [A, B]
    assert deliveries.overdue(1.0, 1) == [A]
    assert deliveries.oldest_age() == 2.0
    deliveries.dismiss([A])
    assert deliveries.oldest_age() == 1.0


def test_a_delivery_without_refs_is_settled_at_once(clock, deliveries):
    assert arrive(clock, deliveries).settled == 1
    assert deliveries.oldest_age() == 0.0


EVENTS = st.lists(
    st.tuples(st.sampled_from("arrive begin end".split()), st.sampled_from((A, B))), min_size=1, max_size=40
)


@given(EVENTS)
def test_every_delivery_is_settled_exactly_by_the_first_later_begun_fetch(events):
    """Against a model: deliveries and fetches of two refs in any interleaving."""
    clock = ManualClock()
    deliveries = UnsettledDeliveries(clock=clock)
    fetches = {A: None, B: None}
    waiting = []
    for what, one in events:
        clock.advance(1)
        if what == "arrive":
            waiting.append((FakeDelivery(clock), one))
            deliveries.register(waiting[-1][0], [one])
        elif what == "begin":
            fetches[one] = clock.monotonic()
        elif fetches[one] is not None:
            deliveries.looked(one, fetches[one])
            for delivery, its in waiting:
                assert delivery.settled <= 1
                if its == one and delivery.arrived < fetches[one]:
                    assert delivery.settled == 1
            fetches[one] = None
        for delivery, _ in waiting:
            assert delivery.settled in (0, 1)
    assert len(deliveries) == sum(1 for delivery, _ in waiting if not delivery.settled)

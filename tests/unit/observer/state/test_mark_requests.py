"""MarkRequests: what is to be marked soon stays until it is marked; what is to be marked later may be forgotten."""
import pytest

from obsvc.observer.state.deliveries import UnsettledDeliveries
from obsvc.observer.state.mark_requests import LATER_AFTER, MarkRequests
from obsvc.process.clock import ManualClock
from tests.support.observer_state import FakeDelivery, ref

A, B, C = ref("a"), ref("b"), ref("c")


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def deliveries(clock):
    return UnsettledDeliveries(clock=clock)


@pytest.fixture
def requests(clock, deliveries):
    return MarkRequests(deliveries=deliveries, clock=clock)


def test_what_is_to_be_marked_soon_stays_until_it_is_done(requests):
    requests.mark_soon([A, B])
    assert requests.wanted_soon.is_set()
    requests.mark_soon([A, C])
    assert requests.pending == 3 and requests.soon(2) == [A, B] and requests.soon(9) == [A, B, C]
    requests.done([B, ref("another")])
    assert requests.pending == 2 and requests.soon(9) == [A, C]


def test_what_is_to_be_marked_later_waits_a_moment_and_is_taken_once(clock, deliveries, requests):
    deliveries.register(FakeDelivery(clock), [A])
    requests.mark_later(A)
    clock.advance(LATER_AFTER / 2)
    requests.mark_later(A)
    assert requests.take_ripe(9) == []
    clock.advance(LATER_AFTER / 2)
    assert requests.take_ripe(9) == [A] and requests.take_ripe(9) == [] and requests.pending == 0


def test_what_its_look_has_answered_meanwhile_is_forgotten(clock, deliveries, requests):
    deliveries.register(FakeDelivery(clock), [A, B])
    requests.mark_later(A)
    requests.mark_later(B)
    clock.advance(LATER_AFTER)
    deliveries.looked(A, clock.monotonic())
    assert requests.take_ripe(9) == [B]


def test_no_more_are_taken_than_asked_for(clock, deliveries, requests):
    deliveries.register(FakeDelivery(clock), [A, B, C])
    for one in (A, B, C):
        requests.mark_later(one)
    clock.advance(LATER_AFTER)
    assert requests.take_ripe(2) == [A, B] and requests.take_ripe(2) == [C]

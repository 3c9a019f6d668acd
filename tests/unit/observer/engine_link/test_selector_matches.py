"""SelectorMatcher: what is heard of a ref that nobody observes leads to its observation, and is settled by that."""
from __future__ import annotations

import msgspec
import pytest

from obsvc.engine_client.selectors import DiscoverReply, Selector, SelectorsReply
from obsvc.exceptions import Unavailable
from obsvc.observer.engine_link.selector_matches import ASK_AGAIN_AFTER, SelectorMatcher
from obsvc.observer.intake.intake import Intake
from obsvc.observer.state.deliveries import UnsettledDeliveries
from obsvc.observer.state.mark_requests import MarkRequests
from obsvc.observer.state.takeover_memory import TakeoverMemory
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

OBSERVED, NEW, ELSEWHERE = ref_in(3), ref_in(3, 1), ref_in(4)


class Setup:
    """A member that holds partition 3, and an engine that answers unless it is away."""

    def __init__(self, holdings=None):
        self.clock = ManualClock()
        self.holdings = holdings or holdings_with(OBSERVED)
        self.deliveries = UnsettledDeliveries(clock=self.clock)
        self.memory = TakeoverMemory(window=60, limit=100, partitions=PARTITIONS, clock=self.clock)
        self.due, self.discovered, self.away = [], [], False
        self.version, self.selected = 1, [(NEW.region, NEW.resource_type, "p1")]
        self.matcher = SelectorMatcher(engine=self, holdings=self.holdings, memory=self.memory,
                                       deliveries=self.deliveries, clock=self.clock)
        self.intake = Intake(
            holdings=self.holdings, memory=self.memory, deliveries=self.deliveries,
            marks=MarkRequests(deliveries=self.deliveries, clock=self.clock), listener=self, selectors=self.matcher,
        )
        self.matcher.follow(0)

    def notified(self, ref, _notification):
        self.due.append(ref)
        return True

    def selectors(self, request):
        return SelectorsReply(self.version, tuple(
            Selector(str(number), region, kind, 0.0, project)
            for number, (region, kind, project) in enumerate(self.selected)))

    def discover(self, request):
        if self.away:
            raise Unavailable("away")
        self.discovered += request.refs
        return DiscoverReply(len(request.refs))

    def take(self, *refs, project_id=None):
        delivery = FakeDelivery(self.clock)
        self.intake.take(msgspec.structs.replace(notification(*refs), project_id=project_id), delivery)
        self.clock.advance(0.1)
        return delivery

    def select(self, *selected):
        self.version, self.selected = self.version + 1, list(selected)
        self.matcher.follow(0)


@pytest.fixture
def member():
    return Setup()


def test_what_a_selector_may_want_waits_until_it_is_observed(member):
    assert member.intake.skip_reason(NEW, True) is None and member.intake.skip_reason(NEW, False) == "no_look"
    delivery = member.take(NEW)
    assert delivery.settled == 0 and member.deliveries.refs() == {NEW}
    assert member.matcher.discover_batch() and member.discovered == [NEW] and delivery.settled == 1
    assert not member.matcher.discover_batch() and member.due == []


@pytest.mark.parametrize(("fields", "found"), [({"project_id": "p1"}, True), ({"project_id": "p2"}, False), ({}, True)])
def test_what_a_payload_names_as_anothers_is_not_asked_for(member, fields, found):
    delivery = member.take(NEW, **fields)
    assert member.matcher.discover_batch() is found and (delivery.settled, member.discovered) == (1, [NEW] * found)


def test_what_is_observed_or_not_ours_is_as_ever(member):
    assert member.take(ELSEWHERE).settled == 1 and member.intake.skip_reason(ELSEWHERE, True) == "not_owned"
    assert member.take(OBSERVED).settled == 0 and member.due == [OBSERVED]
    assert not member.matcher.discover_batch()


def test_a_bulk_notification_waits_for_both(member):
    delivery = member.take(OBSERVED, NEW, ELSEWHERE)
    member.matcher.discover_batch()
    assert delivery.settled == 0 and member.deliveries.refs() == {OBSERVED} and member.due == [OBSERVED]


def test_with_the_engine_away_it_waits_and_is_asked_for_again(member):
    member.away = True
    delivery = member.take(NEW)
    with pytest.raises(Unavailable):
        member.matcher.discover_batch()
    assert delivery.settled == 0
    member.away = False
    assert member.matcher.discover_batch() and delivery.settled == 1


def test_a_ref_is_asked_for_once_in_a_while(member):
    member.take(NEW), member.matcher.discover_batch()
    assert member.take(NEW).settled == 1 and not member.matcher.discover_batch(), "it is gone, or another's"
    member.clock.advance(ASK_AGAIN_AFTER)
    assert member.take(NEW).settled == 0 and member.matcher.discover_batch()
    member.select((NEW.region, NEW.resource_type, None))
    assert member.take(NEW).settled == 0 and member.matcher.discover_batch(), "another selector may want it"


def test_what_was_dropped_before_a_selector_was_known_is_found(member):
    member.select()
    assert member.take(NEW).settled == 1
    member.select((NEW.region, NEW.resource_type, "p1"))
    assert member.matcher.discover_batch() and NEW in member.discovered
    assert member.matcher.kinds() == {(NEW.region, NEW.resource_type)}


def test_a_selector_of_another_region_or_type_wants_nothing(member):
    member.select(("elsewhere", NEW.resource_type, None), (NEW.region, "no.such", None))
    assert member.take(NEW).settled == 1 and not member.matcher.discover_batch()


def test_what_was_heard_while_the_list_was_loading_is_left_to_the_agenda():
    loading = Setup(make_holdings())
    loading.holdings.begin(grant(3))
    delivery = loading.take(NEW)
    assert delivery.settled == 0 and loading.holdings.complete(3, 1, 1).dirty_unobserved == [NEW]

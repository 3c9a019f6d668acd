"""What becomes due when the lists of gained partitions are complete, by each remedy."""
from __future__ import annotations

import pytest

from obsvc.model import Cause, Condition
from obsvc.observer.state.takeover_memory import Remedy
from tests.support.observer_member import Member, seen
from tests.support.observer_state import OTHER, FakeDelivery, grant, observed, ref_in, snapshot

A, B, C = (ref_in(3, nth) for nth in range(3))
VANISHED = dict(previous=OTHER, previous_caught_up=True)


@pytest.fixture
def member():
    return Member()


def completed(member, *refs, number=3, **fields):
    member.holdings.begin(grant(number, **fields))
    member.holdings.load({number: 1}, refs)
    return member.holdings.complete(number, 1, 1)


def planned(member):
    """When each ref is looked at next, and why."""
    looks = {ref: member.queue.next_look(ref)[1] for ref in (A, B, C)}
    return {ref: look for ref, look in looks.items() if look is not None}


def remedies(member, *lists):
    takeovers = member.takeovers._evidence.takeovers(lists)
    return {number: takeover.remedy for number, takeover in takeovers.items()}


def test_a_partition_that_nobody_owned_needs_first_looks_alone(member):
    gained = completed(member, observed(A), seen(B, wanted=()), seen(C, wanted=(Condition.DELETED,)))
    assert remedies(member, gained) == {3: Remedy.NOTHING}
    member.takeovers.completed([gained])
    due = planned(member)
    assert due[A] == (0.0, Cause.STARTED) and B not in due
    assert due[C][1] is Cause.POLLED and 0.0 <= due[C][0] <= member.policy.settings.takeover_spread


def test_what_was_dropped_lately_makes_up_for_an_owner_that_vanished(member):
    member.take(A)  # dropped: another member's
    member.clock.advance(3)
    gained = completed(member, seen(A, wanted=()), seen(B, wanted=()), previous_last_beat_at=member.clock.time() - 5,
                       **VANISHED)
    assert remedies(member, gained) == {3: Remedy.MEMORY}
    member.takeovers.completed([gained])
    assert planned(member) == {A: (0.0, Cause.TAKEOVER)} and len(member.catch_up) == 1


def test_without_the_memory_each_ref_gets_one_paced_look(member):
    member.heard_since = None
    gained = completed(member, seen(A, wanted=()), seen(B, wanted=()), observed(C),
                       previous_last_beat_at=member.clock.time() - 5, **VANISHED)
    assert remedies(member, gained) == {3: Remedy.RESYNC}
    member.takeovers.completed([gained])
    due = planned(member)
    assert {cause for _, cause in due.values()} == {Cause.TAKEOVER} and due[C][0] == 0.0
    assert len(member.catch_up) == 2, "one that was never looked at does not wait for its turn"


def test_the_engine_is_asked_for_its_time_only_where_somebody_owned_a_partition_before(member):
    asked = []
    member.clock_of_engine.ask = lambda: asked.append(None) or member.clock.time()
    member.takeovers.completed([completed(member, seen(A))])
    assert asked == []
    member.takeovers.completed([completed(member, number=4, previous_last_beat_at=member.clock.time(), **VANISHED)])
    assert len(asked) == 1


def test_what_was_heard_while_the_list_was_read_is_looked_at_or_dropped(member):
    member.holdings.begin(grant(3))
    first, other = member.take(A), member.take(B)
    member.holdings.load({3: 1}, [seen(A, wanted=())])
    member.takeovers.completed([member.holdings.complete(3, 1, 1)])
    assert planned(member) == {A: (0.0, Cause.NOTIFIED)}
    assert (first.settled, other.settled) == (0, 1) and member.memory.dropped_at(B) is not None


def test_what_selectors_want_is_discovered_and_its_delivery_waits(member):
    class Wanting:
        def __init__(self):
            self.discovered = []

        def matches(self, ref, project_id=None):
            return ref == B

        def discover(self, refs):
            self.discovered += refs

    member.takeovers._selectors = selectors = Wanting()
    member.holdings.begin(grant(3))
    deliveries = [member.take(B), member.take(C)]
    member.takeovers.completed([member.holdings.complete(3, 1, 1)])
    assert selectors.discovered == [B] and [delivery.settled for delivery in deliveries] == [0, 1]


def test_a_list_that_is_read_again_is_no_takeover(member):
    member.takeovers.completed([completed(member, seen(A, wanted=()))])
    waiting = FakeDelivery(member.clock)
    member.deliveries.register(waiting, [A])
    member.holdings.restart_loading([3])
    slot = member.holdings._slot(A)
    slot.complete = False
    member.holdings.load({3: 1}, [observed(B, last=snapshot())])
    again = member.holdings.complete(3, 1, 2)
    assert not again.first
    member.takeovers.completed([again])
    assert planned(member) == {B: (0.0, Cause.MARKED)}, "a look that the first owner made, so it was marked"
    assert waiting.settled == 1, "A is not observed any more"


def test_afterwards_the_partition_counts_as_taken_over(member):
    gained = completed(member, seen(A))
    assert member.holdings.not_taken_over() == [3]
    member.takeovers.completed([gained])
    assert member.holdings.not_taken_over() == []

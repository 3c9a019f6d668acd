"""HandOver: in which order a partition is let go of, and what happens where a step fails."""
import threading
from types import SimpleNamespace

import pytest

from obsvc.exceptions import Unavailable
from obsvc.observer.hand_over import BATCH, WAIT_SHARE, HandOver, HandOverRequests, PartitionLooks, unsettled_in
from obsvc.observer.state.deliveries import UnsettledDeliveries
from obsvc.observer.state.holdings import Holdings
from obsvc.process.clock import ManualClock
from tests.support.observer_state import FakeDelivery, grant, holdings_with, make_holdings, ref_in

A, B, C = ref_in(3), ref_in(3, 1), ref_in(4)


class Giving:
    """A member that holds A, B and C, and plays its looks, its marker and its Ownership; ``steps``: in order."""

    def __init__(self, holdings=None):
        self.clock, self.stop = ManualClock(), threading.Event()
        self.steps, self.fails, self.finished, self.patience = [], 0, True, []
        self.holdings = holdings or holdings_with(A, B, C)
        self.deliveries = UnsettledDeliveries(clock=self.clock)
        self.requests = HandOverRequests()
        self.during_mark = lambda refs: None
        self.hand_over = HandOver(
            requests=self.requests, holdings=self.holdings, deliveries=self.deliveries, looks=self, marker=self,
            owner=self, drain_timeout=30.0, clock=self.clock,
        )

    # looks
    def wait_finished(self, concerns, end):
        self.steps.append(("wait", [ref for ref in (A, B, C) if concerns(ref)]))
        self.patience.append(end - self.clock.monotonic())
        return self.finished

    def forget(self, refs):
        self.steps.append(("forget", sorted(refs)))

    # marker
    def mark(self, refs):
        if self.fails:
            self.fails -= 1
            self.stop.wait = lambda seconds: None
            self.during_mark(refs)
            raise Unavailable("away")
        self.steps.append(("mark", sorted(refs)))
        self.during_mark(refs)

    def mark_pending(self):
        self.steps.append(("mark pending",))

    # Ownership
    def release(self, number, generation, *, taken=True):
        self.steps.append(("release", number, generation, taken))

    def drain(self, timeout):
        self.steps.append(("drain", timeout))
        return self.drained

    def give(self, asked):
        self.hand_over.hand_over(asked, self.stop)
        return self.steps


@pytest.fixture
def member():
    return Giving()


def test_looks_end_then_marks_are_stored_then_it_is_released(member):
    member.holdings.request_look(A)
    member.holdings.took_over(3, 1)
    assert member.give({3: 1}) == [
        ("wait", [A, B]), ("mark", [A]), ("forget", sorted([A, B])), ("release", 3, 1, True)]
    assert member.holdings.generations() == {4: 1} and member.patience == [30.0 * WAIT_SHARE]


def test_what_was_never_taken_over_is_released_as_such(member):
    assert member.give({3: 1})[-1] == ("release", 3, 1, False)


def test_what_is_unsettled_is_marked_before_the_drop_and_what_slipped_in_after_it(member):
    member.deliveries.register(FakeDelivery(member.clock), [A])

    def meanwhile(refs):
        member.deliveries.marked(refs, member.clock.monotonic() + 1)
        if refs == [A]:
            member.deliveries.register(FakeDelivery(member.clock), [B])

    member.during_mark = meanwhile
    marks = [step for step in member.give({3: 1}) if step[0] in ("mark", "forget", "release")]
    assert marks == [("mark", [A]), ("forget", sorted([A, B])), ("mark", [B]), ("release", 3, 1, False)]


def test_looks_that_do_not_end_are_marked_all_the_same(member):
    member.finished = False
    member.holdings.request_look(A)
    assert ("mark", [A]) in member.give({3: 1})


def test_marks_are_tried_until_the_engine_takes_them(member):
    member.holdings.request_look(A)
    member.fails = 3
    assert [step[0] for step in member.give({3: 1})] == ["wait", "mark", "forget", "release"]


def test_what_was_lost_while_the_engine_was_away_is_not_released(member):
    member.holdings.request_look(A)
    member.fails = 1
    member.during_mark = lambda refs: member.holdings.drop(3)
    assert member.give({3: 1}) == [("wait", [A, B])]


def test_a_process_that_ends_releases_nothing_that_it_could_not_mark(member):
    member.holdings.request_look(A)
    member.fails = 1
    member.during_mark = lambda refs: member.stop.set()
    assert member.give({3: 1}) == [("wait", [A, B])] and member.holdings.generation(3) == 1


def test_another_generation_than_asked_for_is_kept(member):
    assert member.give({3: 2}) == [] and member.holdings.generation(3) == 1


def test_many_are_handed_over_in_batches_within_one_patience():
    count = BATCH + 5
    holdings = Holdings(count, new_look=lambda _observed: None, renewed_look=lambda look, _observed: look)
    for number in range(count):
        holdings.begin(grant(number))
    member, held = Giving(holdings), []
    member.wait_finished = lambda concerns, end: held.append((len(holdings.generations()), end)) or True
    member.give(dict.fromkeys(range(count), 1))
    end = member.clock.monotonic() + 30.0 * WAIT_SHARE
    assert held == [(count, end), (5, end)], "a batch is worked on until its turn comes"
    assert len([step for step in member.steps if step[0] == "release"]) == count


def test_what_fails_is_asked_for_again_and_what_was_asked_for_since_stands(member):
    def fail(concerns, end):
        member.requests.add(4, 9)
        raise RuntimeError("unexpected")

    member.wait_finished = fail
    with pytest.raises(RuntimeError):
        member.give({3: 1, 4: 1})
    assert member.requests.take() == {3: 1, 4: 9}


@pytest.mark.parametrize("drained", [True, False])
def test_the_end_drains_and_marks_what_came_at_the_last_moment(member, drained):
    member.drained = drained
    assert member.hand_over.drain(5.0) is drained
    assert member.steps == [("drain", 5.0), ("mark pending",)]


def test_an_engine_that_is_away_at_the_end_does_not_keep_it_from_ending(member):
    member.drained = True

    def away():
        raise Unavailable("away")

    member.mark_pending = away
    assert member.hand_over.drain(5.0)


def test_looks_are_waited_for_as_long_as_there_is_time_left():
    clock, waits = ManualClock(), []

    def unprocessed(concerns, timeout):
        waits.append(timeout)
        clock.advance(4.0)
        return False

    looks = PartitionLooks(
        queue=SimpleNamespace(wait_unprocessed=unprocessed), schedule=None, clock=clock,
        reports=SimpleNamespace(wait_answered=lambda concerns, timeout: waits.append(timeout) or True),
    )
    assert looks.wait_finished(lambda ref: True, clock.monotonic() + 3.0) is False
    assert waits == [3.0, 0.0]


def test_the_refs_that_deliveries_wait_for_are_told_by_partition():
    clock = ManualClock()
    deliveries, holdings = UnsettledDeliveries(clock=clock), make_holdings()
    deliveries.register(FakeDelivery(clock), [A, C])
    assert unsettled_in({3}, deliveries, holdings) == [A] and unsettled_in({5}, deliveries, holdings) == []


def test_requests_are_taken_once():
    requests = HandOverRequests()
    requests.add(3, 1)
    requests.add(3, 2)
    assert requests.take() == {3: 2} and requests.take() == {}

"""The promises of the work queue about how looks end, and what holds them up, one test each, in virtual time."""
from __future__ import annotations

import random

import pytest

from obsvc.model import Cause, Ref
from obsvc.observer.queue.work_queue import QueueSettings, WorkQueue
from obsvc.process.clock import ManualClock
from tests.support.queueing import A, B, C, make_queue, notify, refs_due


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def queue(clock):
    return make_queue(clock)


def test_a_failure_backs_off_exponentially_up_to_the_cap_and_counts_attempts(queue, clock):
    notify(queue, A, "active")
    delays, since = [], clock.monotonic()
    for attempt in range(1, 9):
        look = queue.get()
        assert (look.attempt, look.announced, look.since, look.news) == (attempt, ("active",), since, True)
        assert look.cause is (Cause.NOTIFIED if attempt == 1 else Cause.RETRY)
        delays.append(queue.retry(look))
        assert queue.get() is None
        clock.advance(delays[-1])
    assert delays == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_the_backoff_is_jittered(clock):
    queue = WorkQueue(clock=clock, rng=random.Random(7))
    delays = set()
    for number in range(20):
        ref = Ref("R", "compute.server", str(number))
        notify(queue, ref)
        delays.add(queue.retry(queue.get()))
    assert len(delays) > 10 and all(0.25 <= delay <= 0.5 for delay in delays)


def test_a_longer_retry_after_wins_over_the_backoff(queue, clock):
    notify(queue, A)
    assert queue.retry(queue.get(), after=7.0) == 7.0
    clock.advance(6.9)
    assert queue.get() is None
    clock.advance(0.1)
    assert queue.get().ref == A


def test_success_forgets_failures(queue, clock):
    for _ in range(3):
        notify(queue, A)
        clock.advance(queue.retry(queue.get()))
    queue.done(queue.get())
    clock.advance(5)
    notify(queue, A)
    look = queue.get()
    assert look.attempt == 1
    assert queue.retry(look) == 0.5


def test_a_notification_during_backoff_is_looked_at_within_the_interval(queue, clock):
    notify(queue, A)
    queue.retry(queue.get(), after=25.0)
    notify(queue, A, "active", urgent=True)
    assert queue.get() is None, "haste does not help what just failed"
    clock.advance(1.0)
    assert queue.get().ref == A


def test_put_back_counts_no_failure(queue, clock):
    notify(queue, A, "active")
    queue.put_back(queue.get(), delay=2.0)
    clock.advance(1.9)
    assert queue.get() is None
    clock.advance(0.1)
    look = queue.get()
    assert (look.cause, look.attempt, look.announced) == (Cause.NOTIFIED, 1, ("active",))


def test_full_at_the_limit(queue):
    notify(queue, A)
    notify(queue, B)
    assert not queue.full
    notify(queue, C)
    assert queue.full
    queue.get()
    assert not queue.full


def test_forgotten_refs_are_not_looked_at(queue, clock):
    notify(queue, A)
    queue.add_after(B, 1.0, Cause.POLLED)
    notify(queue, C)
    queue.forget([A, B])
    clock.advance(1.0)
    assert refs_due(queue) == [C]
    assert queue.waiting == 0


def test_forgotten_while_processed_runs_no_more(queue, clock):
    notify(queue, A)
    look = queue.get()
    notify(queue, A)
    queue.forget([A])
    queue.retry(look)
    clock.advance(100)
    assert queue.get() is None
    notify(queue, A)
    assert queue.get().attempt == 1


def test_added_again_after_it_was_forgotten_while_processed(queue, clock):
    notify(queue, A)
    look = queue.get()
    queue.forget([A])
    queue.add(A, Cause.STARTED)
    queue.done(look)
    assert queue.get().cause is Cause.STARTED


def test_closed_takes_nothing_in(queue):
    queue.close()
    assert not notify(queue, A)
    assert not queue.add_after(A, 0.0, Cause.POLLED)
    assert queue.waiting == 0


def test_closed_hands_out_nothing_and_does_not_wait(queue):
    notify(queue, A)
    queue.close()
    assert queue.get(timeout=60.0) is None


def test_wait_unprocessed(queue):
    notify(queue, A)
    look = queue.get()
    assert queue.wait_unprocessed(lambda ref: ref == B, 0.0)
    assert not queue.wait_unprocessed(lambda ref: ref == A, 0.0)
    queue.done(look)
    assert queue.wait_unprocessed(lambda ref: ref == A, 0.0)


class Doors:
    """A gate with lanes that are shut, and at most ``most`` at once in each."""

    def __init__(self, most=100):
        self.closed, self.most, self.inside = set(), most, {}

    def enter(self, lane, now):
        if lane in self.closed:
            return 5.0
        if self.inside.get(lane, 0) >= self.most:
            return float("inf")
        self.inside[lane] = self.inside.get(lane, 0) + 1
        return 0.0

    def leave(self, lane, now):
        self.inside[lane] -= 1

    def shut(self, lane, now):
        return lane in self.closed


def test_a_shut_lane_holds_nobody_back_and_keeps_its_order(clock):
    doors = Doors()
    queue = WorkQueue(QueueSettings(limit=2), clock=clock, lane_of=lambda ref: ref.resource_type, gate=doors)
    dead = [Ref("R", "network.port", str(number)) for number in range(3)]
    doors.closed.add("network.port")
    for ref in (*dead, A, B):
        notify(queue, ref)
    assert queue.full
    assert refs_due(queue) == [A, B]
    assert queue.depth == 3 and not queue.full, "what a dead service holds must not stop the intake"
    doors.closed.clear()
    assert refs_due(queue) == dead


def test_a_lane_gives_its_place_back_however_the_look_ends(clock):
    doors = Doors(most=1)
    queue = WorkQueue(clock=clock, lane_of=lambda ref: ref.resource_type, gate=doors)
    for end in (queue.done, queue.retry, lambda look: queue.put_back(look, delay=9.0)):
        notify(queue, A)
        notify(queue, B)
        look = queue.get()
        assert queue.get() is None, "one at once in this lane"
        end(look)
        other = queue.get()
        assert other is not None and other.ref != look.ref
        queue.done(other)
        queue.forget([A, B])
    assert doors.inside == {"compute.server": 0}

"""The promises of the work queue, one test each, in virtual time."""
from __future__ import annotations

import random
import threading

import pytest

from obsvc.clock import ManualClock
from obsvc.model import Cause, Ref
from obsvc.observer.queue import Priority, QueueSettings, WorkQueue

A, B, C = (Ref("R", "compute.server", name) for name in "abc")


class TopJitter(random.Random):
    """The longest jitter, always."""

    def uniform(self, a, b):
        return b


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def queue(clock):
    return WorkQueue(QueueSettings(coalesce_interval=1.0, limit=3, backoff=0.5, backoff_max=30.0), clock=clock,
                     rng=TopJitter())


def notify(queue, ref, announced=None, *, urgent=False):
    return queue.add(ref, Cause.NOTIFIED, announced=announced, urgent=urgent)


def refs_due(queue):
    found = []
    while (work := queue.get()) is not None:
        found.append(work.ref)
        queue.done(work)
    return found


def test_first_in_first_out(queue):
    for ref in (B, A, C):
        notify(queue, ref)
    assert refs_due(queue) == [B, A, C]


def test_a_ref_waits_once_and_adds_are_counted(queue, clock):
    began = clock.monotonic()
    assert notify(queue, A, "stopped")
    clock.advance(0.1)
    assert not notify(queue, A, None)
    assert not notify(queue, A, "active")
    work = queue.get()
    assert (work.ref, work.adds, work.since, work.announced) == (A, 3, began, ("stopped", None, "active"))
    assert queue.coalesced == 2
    assert queue.get() is None


def test_a_repeated_announcement_takes_its_latest_place(queue):
    for state in ("active", "stopped", "active"):
        notify(queue, A, state)
    assert queue.get().announced == ("stopped", "active")


def test_never_processed_twice_at_once(queue):
    notify(queue, A)
    work = queue.get()
    queue.add(A, Cause.STARTED)
    assert queue.get() is None
    queue.done(work)
    assert queue.get().ref == A


def test_added_while_processed_runs_once_more(queue, clock):
    notify(queue, A)
    work = queue.get()
    notify(queue, A, "active")
    notify(queue, A, "stopped")
    queue.done(work)
    clock.advance(1.0)
    again = queue.get()
    assert (again.ref, again.adds) == (A, 2)
    queue.done(again)
    clock.advance(100)
    assert queue.get() is None


def test_add_after_waits_and_the_earliest_wins(queue, clock):
    queue.add_after(A, 10.0, Cause.POLLED)
    queue.add_after(A, 5.0, Cause.POLLED)
    queue.add_after(A, 20.0, Cause.POLLED)
    clock.advance(4.9)
    assert queue.get() is None
    clock.advance(0.1)
    assert queue.get().ref == A
    queue.done(A)
    clock.advance(100)
    assert queue.get() is None


def test_a_plain_add_replaces_a_later_pending_one(queue, clock):
    queue.add_after(A, 10.0, Cause.POLLED)
    notify(queue, A)
    assert queue.get().cause is Cause.NOTIFIED
    queue.done(A)
    clock.advance(100)
    assert queue.get() is None


def test_an_outdated_time_of_an_earlier_entry_does_not_wake_a_later_one(queue, clock):
    queue.add_after(A, 10.0, Cause.POLLED)
    queue.add(A, Cause.STARTED)
    queue.done(queue.get())
    queue.add_after(A, 50.0, Cause.POLLED)
    clock.advance(49.0)
    assert queue.get() is None
    clock.advance(1.0)
    assert queue.get().ref == A


def test_after_a_look_a_notification_waits_the_interval(queue, clock):
    notify(queue, A)
    queue.done(queue.get())
    clock.advance(0.4)
    notify(queue, A)
    assert queue.get() is None
    clock.advance(0.59)
    assert queue.get() is None
    clock.advance(0.01)
    assert queue.get().ref == A


def test_after_the_interval_a_notification_is_looked_at_at_once(queue, clock):
    notify(queue, A)
    queue.done(queue.get())
    clock.advance(1.0)
    notify(queue, A)
    assert queue.get().ref == A


def test_the_settle_look_is_the_same_entry(queue, clock):
    notify(queue, A)
    work = queue.get()
    queue.add_after(A, 1.0, Cause.SETTLE)
    queue.done(work)
    clock.advance(0.5)
    notify(queue, A, "active")
    assert queue.get() is None
    clock.advance(0.5)
    work = queue.get()
    assert (work.cause, work.adds) == (Cause.NOTIFIED, 2)
    queue.done(work)
    clock.advance(100)
    assert queue.get() is None


def test_an_urgent_add_does_not_wait(queue, clock):
    notify(queue, A)
    queue.done(queue.get())
    clock.advance(0.1)
    notify(queue, A)
    notify(queue, A, "active", urgent=True)
    assert queue.get().ref == A


def test_an_urgent_add_while_processed_runs_right_after(queue):
    notify(queue, A)
    work = queue.get()
    notify(queue, A, "active", urgent=True)
    queue.done(work, shows=lambda state: state == "stopped")
    assert queue.get().ref == A


def test_an_urgent_add_that_the_look_has_answered_waits_the_interval(queue, clock):
    notify(queue, A)
    work = queue.get()
    notify(queue, A, "active", urgent=True)
    queue.done(work, shows=lambda state: state == "active")
    assert queue.get() is None
    clock.advance(1.0)
    assert queue.get().ref == A


def test_only_notifications_wait_for_the_interval(queue):
    notify(queue, A)
    queue.done(queue.get())
    queue.add(A, Cause.STARTED)
    assert queue.get().cause is Cause.STARTED


def test_a_failure_backs_off_exponentially_up_to_the_cap_and_counts_attempts(queue, clock):
    notify(queue, A, "active")
    delays, since = [], clock.monotonic()
    for attempt in range(1, 9):
        work = queue.get()
        assert (work.attempt, work.announced, work.since, work.news) == (attempt, ("active",), since, True)
        assert work.cause is (Cause.NOTIFIED if attempt == 1 else Cause.RETRY)
        delays.append(queue.retry(work))
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
    work = queue.get()
    assert work.attempt == 1
    assert queue.retry(work) == 0.5


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
    work = queue.get()
    assert (work.cause, work.attempt, work.announced) == (Cause.NOTIFIED, 1, ("active",))


def test_higher_priority_first_with_a_fixed_share_for_the_lower(queue):
    waiting = [Ref("R", "compute.server", f"{kind}{number}") for kind in ("poll", "note") for number in range(10)]
    for ref in waiting:
        queue.add(ref, Cause.POLLED if ref.resource_id.startswith("poll") else Cause.NOTIFIED)
    order = [ref.resource_id[:4] for ref in refs_due(queue)]
    assert order[:5] == ["note"] * 4 + ["poll"]
    assert order[5:10] == ["note"] * 4 + ["poll"]
    assert order.count("poll") == 10


def test_a_notification_lifts_a_polled_ref_to_the_higher_priority(queue):
    queue.add(A, Cause.POLLED)
    queue.add(B, Cause.POLLED)
    notify(queue, B)
    work = queue.get()
    assert (work.ref, work.priority, work.cause) == (B, Priority.HIGH, Cause.NOTIFIED)


def test_a_takeover_look_keeps_its_cause(queue):
    notify(queue, A)
    queue.add_after(A, 0.0, Cause.TAKEOVER)
    assert queue.get().cause is Cause.TAKEOVER


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
    work = queue.get()
    notify(queue, A)
    queue.forget([A])
    queue.retry(work)
    clock.advance(100)
    assert queue.get() is None
    notify(queue, A)
    assert queue.get().attempt == 1


def test_added_again_after_it_was_forgotten_while_processed(queue, clock):
    notify(queue, A)
    work = queue.get()
    queue.forget([A])
    queue.add(A, Cause.STARTED)
    queue.done(work)
    assert queue.get().cause is Cause.STARTED


def test_a_held_ref_is_not_looked_at_until_done(queue, clock):
    notify(queue, A)
    notify(queue, B)
    taken = queue.get()
    assert queue.hold([A, B, C]) == {B, C}
    queue.done(taken)
    assert queue.get() is None
    queue.done(B)
    assert queue.get().ref == B


def test_drain_waits_for_the_queue_and_for_processing(queue, clock):
    notify(queue, A)
    notify(queue, B)
    queue.add_after(C, 1.0, Cause.POLLED)
    work = queue.get()
    assert not queue.drain(0.0), "B is due and A is processed"
    queue.done(queue.get())
    assert not queue.drain(0.0), "A is processed"
    queue.done(work)
    assert queue.drain(0.0)
    clock.advance(10)
    assert queue.get() is None, "what was not due is dropped"


def test_drain_waits_for_what_is_due_though_nothing_is_processed(queue):
    notify(queue, A)
    assert not queue.drain(0.0)


def test_nothing_is_taken_in_while_draining(queue):
    queue.drain(0.0)
    assert not notify(queue, A)
    assert not queue.add_after(A, 0.0, Cause.POLLED)
    assert queue.get() is None


def test_closed_hands_out_nothing_and_does_not_wait(queue):
    notify(queue, A)
    queue.close()
    assert queue.get(timeout=60.0) is None


def test_a_waiting_thread_is_woken_by_an_add():
    queue = WorkQueue()
    found = []
    thread = threading.Thread(target=lambda: found.append(queue.get(timeout=30.0)), daemon=True)
    thread.start()
    notify(queue, A)
    thread.join(20.0)
    assert [work.ref for work in found] == [A]


def test_wait_unprocessed(queue):
    notify(queue, A)
    work = queue.get()
    assert queue.wait_unprocessed(lambda ref: ref == B, 0.0)
    assert not queue.wait_unprocessed(lambda ref: ref == A, 0.0)
    queue.done(work)
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
    for end in (queue.done, queue.retry, lambda work: queue.put_back(work, delay=9.0)):
        notify(queue, A)
        notify(queue, B)
        work = queue.get()
        assert queue.get() is None, "one at once in this lane"
        end(work)
        other = queue.get()
        assert other is not None and other.ref != work.ref
        queue.done(other)
        queue.forget([A, B])
    assert doors.inside == {"compute.server": 0}


@pytest.mark.parametrize("cause", list(Cause))
def test_every_cause_has_a_place(queue, cause):
    queue.add(A, cause)
    notify(queue, A)
    assert queue.get() is not None


@pytest.fixture
def settling(clock):
    return WorkQueue(QueueSettings(coalesce_interval=1.0, settle_delay=1.0), clock=clock, rng=TopJitter())


def looks_during(queue, clock, notifications, *, every, seconds):
    """Notify A so often and look as soon as a look is due, each followed by a settle look; the looks' times."""
    began, looked = clock.monotonic(), []
    steps = round(seconds / every)
    for step in range(steps + round(5.0 / every)):
        if step < notifications:
            notify(queue, A, "active")
        while (work := queue.get()) is not None:
            now = clock.monotonic()
            looked.append(now - began)
            if work.news and now < work.latest + 1.0:
                queue.add_after(A, work.latest + 1.0 - now, Cause.SETTLE, movable=True)
            queue.done(work)
        clock.advance(every)
    return looked


def test_a_burst_of_a_second_costs_two_looks_the_second_after_the_settle_delay(settling, clock):
    looked = looks_during(settling, clock, 50, every=0.02, seconds=1.0)
    assert looked == [0.0, pytest.approx(49 * 0.02 + 1.0, abs=0.021)]


def test_a_stream_without_end_is_looked_at_again_and_again(settling, clock):
    looked = looks_during(settling, clock, 1000, every=0.02, seconds=20.0)
    gaps = [after - before for before, after in zip(looked, looked[1:], strict=False)]
    assert len(looked) > 8 and max(gaps) <= 2.0 + 0.041


def test_a_poll_and_an_urgent_notification_are_not_moved_on(settling, clock):
    notify(settling, A)
    settling.done(settling.get())
    settling.add_after(A, 1.1, Cause.POLLED)
    clock.advance(0.5)
    notify(settling, A)
    clock.advance(0.61)
    assert settling.get().cause is Cause.NOTIFIED  # at the poll's time: earliest wins
    settling.done(A)
    notify(settling, A)
    notify(settling, A, "active", urgent=True)
    assert settling.get() is not None

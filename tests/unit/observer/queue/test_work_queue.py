"""The promises of the work queue about what is asked for, one test each, in virtual time."""
from __future__ import annotations

import threading

import pytest

from obsvc.model import Cause, Ref
from obsvc.observer.queue.entry import Postponement
from obsvc.observer.queue.work_queue import Priority, QueueSettings, WorkQueue
from obsvc.process.clock import ManualClock
from tests.support.queueing import A, B, C, TopJitter, make_queue, notify, refs_due


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def queue(clock):
    return make_queue(clock)


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
    look = queue.get()
    assert (look.ref, look.adds, look.since, look.announced) == (A, 3, began, ("stopped", None, "active"))
    assert queue.get() is None


def test_a_repeated_announcement_takes_its_latest_place(queue):
    for state in ("active", "stopped", "active"):
        notify(queue, A, state)
    assert queue.get().announced == ("stopped", "active")


def test_never_processed_twice_at_once(queue):
    notify(queue, A)
    look = queue.get()
    queue.add(A, Cause.STARTED)
    assert queue.get() is None
    queue.done(look)
    assert queue.get().ref == A


def test_added_while_processed_runs_once_more(queue, clock):
    notify(queue, A)
    look = queue.get()
    notify(queue, A, "active")
    notify(queue, A, "stopped")
    queue.done(look)
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
    look = queue.get()
    queue.add_after(A, 1.0, Cause.SETTLE)
    queue.done(look)
    clock.advance(0.5)
    notify(queue, A, "active")
    assert queue.get() is None
    clock.advance(0.5)
    look = queue.get()
    assert (look.cause, look.adds) == (Cause.NOTIFIED, 2)
    queue.done(look)
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
    look = queue.get()
    notify(queue, A, "active", urgent=True)
    queue.done(look, shows=lambda state: state == "stopped")
    assert queue.get().ref == A


def test_an_urgent_add_that_the_look_has_answered_waits_the_interval(queue, clock):
    notify(queue, A)
    look = queue.get()
    notify(queue, A, "active", urgent=True)
    queue.done(look, shows=lambda state: state == "active")
    assert queue.get() is None
    clock.advance(1.0)
    assert queue.get().ref == A


def test_only_notifications_wait_for_the_interval(queue):
    notify(queue, A)
    queue.done(queue.get())
    queue.add(A, Cause.STARTED)
    assert queue.get().cause is Cause.STARTED


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
    look = queue.get()
    assert (look.ref, look.priority, look.cause) == (B, Priority.HIGH, Cause.NOTIFIED)


def test_a_takeover_look_keeps_its_cause(queue):
    notify(queue, A)
    queue.add_after(A, 0.0, Cause.TAKEOVER)
    assert queue.get().cause is Cause.TAKEOVER


def test_a_waiting_thread_is_woken_by_an_add():
    queue = WorkQueue()
    found = []
    thread = threading.Thread(target=lambda: found.append(queue.get(timeout=30.0)), daemon=True)
    thread.start()
    notify(queue, A)
    thread.join(20.0)
    assert [look.ref for look in found] == [A]


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
        while (look := queue.get()) is not None:
            now = clock.monotonic()
            looked.append(now - began)
            if look.news and now < look.news_at + 1.0:
                queue.add_after(A, look.news_at + 1.0 - now, Cause.SETTLE, gathers=True)
            queue.done(look)
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


POSTPONEMENT = Postponement(20.0, 60.0)


def begun_build(queue, postpone=None):
    """A look that showed a build, and the poll that follows; a notification of it during the look."""
    queue.add(A, Cause.STARTED)
    look = queue.get()
    if postpone is not None:
        queue.add(A, Cause.NOTIFIED, postpone=postpone)
    queue.add_after(A, 20.0, Cause.POLLED, postponable=True)
    queue.done(look, under_way=True)


def times_of_looks(queue, clock, seconds):
    """When looks are due within ``seconds``, by steps of one."""
    began, found = clock.monotonic(), []
    for _ in range(seconds + 1):
        if (look := queue.get()) is not None:
            found.append((clock.monotonic() - began, look.cause, look.no_change))
            queue.done(look)
        clock.advance(1.0)
    return found


def test_what_is_still_under_way_waits_for_the_next_routine_look(queue, clock):
    begun_build(queue)
    assert not queue.add(A, Cause.NOTIFIED, postpone=POSTPONEMENT)
    assert times_of_looks(queue, clock, 100) == [(20.0, Cause.NOTIFIED, True)]


def test_it_puts_the_routine_look_off_but_not_for_ever(queue, clock):
    begun_build(queue)
    for _ in range(8):
        clock.advance(10.0)
        if queue.get() is not None:
            break
        queue.add(A, Cause.NOTIFIED, postpone=POSTPONEMENT)
    assert clock.monotonic() == pytest.approx(ManualClock().monotonic() + 60.0)


def test_it_puts_off_nothing_else(queue, clock):
    begun_build(queue)
    queue.add_after(A, 30.0, Cause.POLLED)  # a deadline's
    for _ in range(2):
        clock.advance(12.0)
        queue.add(A, Cause.NOTIFIED, postpone=POSTPONEMENT)
    assert [at for at, _, _ in times_of_looks(queue, clock, 100)] == [6.0]


def test_any_other_notification_ends_the_patience(queue, clock):
    begun_build(queue)
    clock.advance(5.0)
    queue.add(A, Cause.NOTIFIED, postpone=POSTPONEMENT)
    notify(queue, A, "active", urgent=True)
    look = queue.get()
    assert (look.announced, look.no_change) == ((None, "active"), False)


def test_where_nothing_is_known_to_be_under_way_there_is_no_patience(queue):
    queue.add(A, Cause.NOTIFIED, postpone=Postponement(20.0, 60.0, known=False))
    assert queue.get().no_change


def test_what_came_during_a_look_that_showed_the_same_waits_for_the_next(queue, clock):
    begun_build(queue, Postponement(20.0, 60.0, known=False))
    assert [at for at, _, _ in times_of_looks(queue, clock, 100)] == [20.0]


def test_what_came_during_a_look_that_showed_something_else_waits_the_interval(queue, clock):
    queue.add(A, Cause.STARTED)
    look = queue.get()
    queue.add(A, Cause.NOTIFIED, postpone=POSTPONEMENT)
    queue.done(look)
    clock.advance(1.0)
    assert queue.get() is not None


def test_what_came_during_a_look_that_failed_is_looked_at_with_the_next_try(queue, clock):
    queue.add(A, Cause.STARTED)
    look = queue.get()
    queue.add(A, Cause.NOTIFIED, postpone=POSTPONEMENT)
    clock.advance(queue.retry(look))
    assert queue.get().adds == 2

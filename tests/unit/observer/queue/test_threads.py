"""Many threads that wait for a look: one of them watches the clock, and there always is one."""
from __future__ import annotations

import threading
import time

import pytest

from obsvc.model import Cause, Ref
from obsvc.observer.queue import work_queue as queue_module
from obsvc.observer.queue.work_queue import WorkQueue

A, B, C = (Ref("R", "compute.server", name) for name in "abc")


@pytest.fixture
def queue(monkeypatch):
    """Nobody wakes from it by chance."""
    monkeypatch.setattr(queue_module, "LONGEST_WAIT", 600.0)
    made = WorkQueue()
    yield made
    made.close()


def taking(queue, count):
    """``count`` threads that take one look each; answers them and what they took."""
    found = []
    threads = [threading.Thread(target=lambda: found.append(queue.get(timeout=600.0)), daemon=True)
               for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads, found


def wait_until(condition):
    deadline = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_when_the_one_that_watches_the_clock_has_left_another_one_watches(queue):
    for place, ref in enumerate((A, B, C)):
        queue.add_after(ref, 0.05 * (place + 1), Cause.POLLED)
    _, found = taking(queue, 3)
    wait_until(lambda: {look.ref for look in found} == {A, B, C})


def test_one_of_many_watches_for_the_look_that_is_due_next(queue):
    waits = []
    wait = queue._available.wait
    queue._available.wait = lambda timeout: waits.append(timeout) or wait(timeout)
    queue.add_after(A, 100.0, Cause.POLLED)
    taking(queue, 16)
    wait_until(lambda: len(waits) == 16)
    assert sum(timeout <= 100.0 for timeout in waits) == 1


def test_a_look_that_is_due_before_the_one_watched_for_is_not_late(queue):
    _, found = taking(queue, 2)
    for ref, delay in ((A, 300.0), (B, 200.0)):  # each wakes the one that waits longest, by turns
        queue.add_after(ref, delay, Cause.POLLED)
        wait_until(lambda: queue._watched < time.monotonic() + delay + 1.0)  # noqa: B023 - called here alone
    queue.add_after(C, 0.05, Cause.POLLED)
    wait_until(lambda: [look.ref for look in found] == [C])


def test_a_notification_wakes_one_that_waits(queue):
    waits = []
    wait = queue._available.wait
    queue._available.wait = lambda timeout: waits.append(timeout) or wait(timeout)
    _, found = taking(queue, 1)
    wait_until(lambda: waits)
    queue.add(A, Cause.NOTIFIED)  # it takes the lock: the thread has let go of it, and waits
    wait_until(lambda: [look.ref for look in found] == [A])

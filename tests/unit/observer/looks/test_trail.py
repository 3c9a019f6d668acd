"""What is kept of each ref, and the sentence that says what is due."""
from __future__ import annotations

import pytest

from obsvc.engine_client.ownership import ObservedRef
from obsvc.model import Cause, Family, Notification, Ref
from obsvc.observer.looks.trail import Trails, due_text
from obsvc.observer.queue.work_queue import Waiting
from obsvc.observer.state.holdings import RefStatus, Task

REF = Ref("R", "compute.server", "one")
TASK = Task(REF, 1, 2, ObservedRef(REF, 0.0), None, 0)


def other(number):
    return Ref("R", "compute.server", str(number))


def test_the_newest_events_of_the_refs_that_something_happened_to_last():
    now = iter(range(100))
    trails = Trails(lambda: float(next(now)), events=3, refs=2)
    for number in range(5):
        trails.note(REF, "look", str(number))
    assert [(one.at, one.text) for one in trails.events(REF)] == [(2.0, "2"), (3.0, "3"), (4.0, "4")]
    trails.note(other(1), "look", "a")
    trails.note(REF, "look", "5")
    trails.note(other(2), "look", "b")
    assert trails.events(other(1)) == () and len(trails.events(REF)) == 3 and len(trails.events(other(2))) == 1


def test_a_storm_of_notifications_hides_nothing_else():
    now = iter(range(100))
    trails = Trails(lambda: float(next(now)), notifications=2)
    trails.note(REF, "holdings", "first")
    for number in range(5):
        trails.note(REF, "notified", str(number))
        if number == 3:
            trails.note(REF, "look", "looked")
    assert [one.text for one in trails.events(REF)] == ["first", "3", "looked", "4"]


def test_a_notification_is_named_by_its_event_and_state():
    trails = Trails(lambda: 1.0)
    said = Notification("instance.update", "nova", Family.VERSIONED, (REF,), state="active", under_way=True)
    trails.notified(REF, said, due=True)
    trails.notified(REF, said, due=False)
    first, second = trails.events(REF)
    assert first.text == "instance.update announces active, something is under way: a look is due"
    assert second.text.endswith("joins the look that is due already")


@pytest.mark.parametrize(("status", "task", "processing", "waiting", "shut", "words"), [
    (RefStatus.NOT_OWNED, None, False, None, (), "does not own"),
    (RefStatus.LOADING, None, False, None, (), "is being read"),
    (RefStatus.HANDING_OVER, TASK, False, Waiting(1.0, Cause.POLLED), (), "handed over"),
    (RefStatus.NOT_OBSERVED, None, False, None, (), "nobody observes"),
    (RefStatus.OBSERVED, TASK, True, Waiting(1.0, Cause.POLLED), (), "being made now"),
    (RefStatus.OBSERVED, TASK, False, Waiting(4.24, Cause.POLLED), (), "due in 4.2 s (polled)"),
    (RefStatus.OBSERVED, TASK, False, Waiting(0.0, Cause.NOTIFIED), ("R/nova",),
     "its turn; left alone for now: R/nova"),
    (RefStatus.OBSERVED, TASK, False, None, (), "no look is due"),
    (RefStatus.OBSERVED, Task(REF, 1, 2, ObservedRef(REF, 0.0, mark=7), None, 0), False, None, (), "a mark waits"),
])
def test_what_is_due_is_one_sentence(status, task, processing, waiting, shut, words):
    assert words in due_text(status, task, processing=processing, waiting=waiting, shut=shut)

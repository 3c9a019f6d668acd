"""A Loop never dies silently."""
import threading

from obsvc.process import threads
from obsvc.process.threads import Loop


def crashing(monkeypatch, runs_for, crashes):
    """The pauses of a loop whose target runs for so many seconds and crashes so often."""
    now = [0.0]
    pauses = []

    class Event(threading.Event):
        def wait(self, timeout=None):
            pauses.append(timeout)
            return self.is_set()

    monkeypatch.setattr(threads.threading, "Event", Event)
    monkeypatch.setattr(threads.time, "monotonic", lambda: now[0])

    def target(stop):
        now[0] += runs_for
        if len(pauses) < crashes:
            raise ZeroDivisionError("a bug")

    Loop("test", target)._run()
    return pauses


def test_a_trouble_that_stays_is_tried_less_and_less_often(monkeypatch):
    assert crashing(monkeypatch, 0.1, 8) == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_after_a_good_run_the_pause_begins_anew(monkeypatch):
    assert crashing(monkeypatch, 3600, 4) == [0.5] * 4

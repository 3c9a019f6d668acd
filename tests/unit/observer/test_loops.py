"""Loops: begun together, ended together, and which are waited for."""
import logging
import threading

from obsvc.observer import loops
from obsvc.observer.loops import Loops


def test_every_loop_is_begun_and_ended():
    group, begun = Loops(), {name: threading.Event() for name in ("work", "poll")}

    def body(name):
        def run(stop):
            begun[name].set()
            stop.wait(30)
        return run

    group.add("work", body("work"))
    group.add("poll", body("poll"), long_poll=True)
    group.start()
    assert all(event.wait(20) for event in begun.values())
    group.stop()
    group.join()
    assert group.last_error is None


def test_a_long_poll_is_not_waited_for_and_another_loop_only_so_long(monkeypatch, caplog):
    monkeypatch.setattr(loops, "JOIN", 0.0)
    group, never = Loops(), threading.Event()
    group.add("stuck", lambda stop: never.wait(30))
    group.add("poll", lambda stop: never.wait(30), long_poll=True)
    group.start()
    group.stop()
    with caplog.at_level(logging.WARNING, logger="obsvc.observer.loops"):
        group.join()
    never.set()
    assert [record.message for record in caplog.records] == ["thread stuck did not end within 0 s"]


def test_the_first_loop_that_raised_is_told():
    group, raised = Loops(), threading.Event()

    def fail(stop):
        if raised.is_set():
            stop.wait(30)
            return
        raised.set()
        raise RuntimeError("no such thing")

    group.add("well", lambda stop: stop.wait(30))
    group.add("unwell", fail)
    group.start()
    assert raised.wait(20)
    group.stop()
    group.join()
    assert group.last_error == "thread unwell: RuntimeError: no such thing"

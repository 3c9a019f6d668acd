"""The observer process: the first signal has it hand over, the second ends it at once; its exit code says which."""
import threading

import pytest

from obsvc.observer import app
from obsvc.observer.app import EXIT_NOT_DRAINED, Signals


def test_the_first_signal_ends_in_order_and_the_second_now():
    signals = Signals()
    signals.received()
    assert signals.ending.is_set() and not signals.now.is_set()
    signals.received()
    assert signals.now.is_set()


class Observer:
    """hands_over: what its drain answers; None: it never ends."""

    member = "obs-1"

    def __init__(self, hands_over, draining=None):
        self.hands_over, self.steps, self.draining = hands_over, [], draining

    def start(self):
        self.steps.append("start")

    def drain(self, timeout):
        self.steps.append(("drain", timeout))
        if self.hands_over is None:
            self.draining()
            threading.Event().wait(30)
        return self.hands_over

    def stop(self):
        self.steps.append("stop")


@pytest.fixture(autouse=True)
def _no_freeze(monkeypatch):
    monkeypatch.setattr(app.gc_tuning, "freeze_gc", lambda: None)


@pytest.mark.parametrize(("hands_over", "code"), [(True, 0), (False, EXIT_NOT_DRAINED)])
def test_it_hands_over_and_ends(hands_over, code):
    signals, observer = Signals(), Observer(hands_over)
    signals.received()
    assert app._serve(observer, signals, 30.0) == code
    assert observer.steps == ["start", ("drain", 30.0), "stop"]


def test_a_second_signal_does_not_wait_for_the_hand_over():
    signals = Signals()
    observer = Observer(None, draining=signals.received)
    signals.received()
    assert app._serve(observer, signals, 30.0) == EXIT_NOT_DRAINED
    assert observer.steps[-1] == "stop"


def test_nothing_is_ready_before_the_engine_is_there():
    readiness = app._Readiness()
    assert readiness.not_ready() == "waits for the engine"
    readiness.observer = Observer(True)
    readiness.observer.not_ready = lambda: None
    assert readiness.not_ready() is None

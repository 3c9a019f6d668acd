import pytest

from obsvc.exceptions import ConfigError, Unavailable
from obsvc.process.repeating import repeat


class Event:
    """An event without waiting: waits are written down, and call what is to happen meanwhile."""

    def __init__(self):
        self.flag, self.waits, self.meanwhile = False, [], lambda: None

    def is_set(self):
        return self.flag

    def set(self):
        self.flag = True

    def clear(self):
        self.flag = False

    def wait(self, seconds):
        self.waits.append(seconds)
        self.meanwhile()
        return self.flag


class Work:
    """Returns or raises what it is told to, one after the other; the stop event is set with the last."""

    def __init__(self, *outcomes):
        self.stop, self.wake, self.outcomes, self.failures = Event(), Event(), list(outcomes), []

    def once(self):
        outcome = self.outcomes.pop(0)
        if not self.outcomes:
            self.stop.set()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def run(self, **options):
        repeat(self.stop, self.once, on_failure=self.failures.append, pause=7.0, **options)
        return self


def test_it_waits_for_as_long_as_it_is_told():
    assert Work(1.0, 0.0, 2.0).run().stop.waits == [1.0, 2.0]


def test_a_failure_is_told_and_followed_by_the_pause_and_another_call():
    error = Unavailable("away")
    work = Work(error, 1.0).run()
    assert work.failures == [error] and work.stop.waits == [7.0, 1.0]


def test_the_wake_event_is_cleared_before_each_call_and_ends_the_wait():
    work = Work(1.0, 1.0)
    work.wake.set()
    seen = []
    once = work.once
    work.once = lambda: seen.append(work.wake.is_set()) or once()
    work.run(wake=work.wake)
    assert seen == [False, False] and work.wake.waits == [1.0, 1.0] and work.stop.waits == []


def test_what_is_told_during_a_call_is_not_missed():
    work = Work(1.0, 1.0)
    once = work.once
    work.once = lambda: work.wake.set() or once()
    work.wake.meanwhile = lambda: seen.append(work.wake.is_set())
    seen = []
    work.run(wake=work.wake)
    assert seen == [True, True]


@pytest.mark.parametrize("error", [ZeroDivisionError("a bug"), ConfigError("another kind")])
def test_any_other_error_leaves(error):
    with pytest.raises(type(error)):
        Work(error, 1.0).run(errors=(Unavailable,))


def test_nothing_is_done_once_stopped():
    work = Work(1.0)
    work.stop.set()
    assert work.run().outcomes == [1.0]

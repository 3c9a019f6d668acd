"""Waiting for a resource, in virtual time."""
import contextlib

from obsvc.api.streaming import waiting
from obsvc.model import Ref
from obsvc.process.clock import ManualClock

REF = Ref("R", "compute.server", "s")


class Feed:
    """A feed whose signals let the time pass that they were asked to wait for."""

    def __init__(self):
        self.clock = ManualClock()
        self.waits = []

    @contextlib.contextmanager
    def signal(self, ref):
        assert ref == REF
        yield self

    def wait(self, seconds):
        self.waits.append(seconds)
        self.clock.advance(seconds)


def wait(feed, values, timeout, **options):
    values = iter(values)
    return waiting.wait(feed, REF, lambda: next(values), lambda value: value == "good", timeout, clock=feed.clock,
                        **options)


def test_what_is_good_at_once_is_not_waited_for():
    feed = Feed()
    assert wait(feed, ["good"], 60) == "good" and feed.waits == []


def test_it_is_read_again_at_each_signal_and_step():
    feed = Feed()
    assert wait(feed, ["bad", "bad", "good"], 60) == "good" and feed.waits == [waiting.STEP, waiting.STEP]
    assert wait(feed, ["bad", "good"], 60, step=lambda value: 0.5) == "good" and feed.waits[-1] == 0.5


def test_in_the_end_it_is_read_once_more():
    feed = Feed()
    assert wait(feed, ["bad", "last"], 2.0) == "last" and feed.waits == [2.0]
    assert wait(feed, ["now"], 0.0) == "now", "without a time there is one reading"

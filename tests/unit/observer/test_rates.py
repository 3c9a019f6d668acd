"""Rates: events a second between two readings, summed over a counter's labels."""
from obsvc import metrics
from obsvc.observer.rates import Rates
from obsvc.process.clock import ManualClock


def test_rates_are_told_since_they_were_read_last():
    clock = ManualClock()
    rates = Rates(clock)
    metrics.MARKS.labels("unsettled").inc(6)
    metrics.MARKS.labels("handed_over").inc(4)
    clock.advance(4)
    assert rates.read()["marks"] == 2.5
    clock.advance(1)
    assert rates.read() == {"notifications": 0.0, "looks": 0.0, "reports": 0.0, "marks": 0.0}


def test_at_the_same_moment_there_is_no_rate():
    clock = ManualClock()
    assert Rates(clock).read() == {}

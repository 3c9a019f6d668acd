"""Per-second figures of this process for its beats: how fast the counters of a few metrics rise."""
from __future__ import annotations

from prometheus_client import Counter

from obsvc import metrics
from obsvc.process.clock import Clock

#: Name in the beat → counter, summed over its labels.
_COUNTERS: dict[str, Counter] = {
    "notifications": metrics.NOTIFICATIONS_BY_FATE,
    "looks": metrics.LOOKS,
    "reports": metrics.REPORTS,
    "marks": metrics.MARKS,
}


class Rates:
    """Reads the rates since it was read last.  For one thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._at = clock.monotonic()
        self._totals = {name: _total(counter) for name, counter in _COUNTERS.items()}

    def read(self) -> dict[str, float]:
        """Events a second by name; empty when it was read at this very moment already."""
        now = self._clock.monotonic()
        passed = now - self._at
        if passed <= 0:
            return {}
        totals = {name: _total(counter) for name, counter in _COUNTERS.items()}
        rates = {name: round((totals[name] - self._totals[name]) / passed, 3) for name in totals}
        self._at, self._totals = now, totals
        return rates


def _total(counter: Counter) -> float:
    return sum(
        sample.value for metric in counter.collect() for sample in metric.samples if sample.name.endswith("_total")
    )

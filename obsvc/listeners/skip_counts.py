"""Counting the many messages that a peek showed to need nothing here.

Incrementing a metric takes about as long as reading a short message, so they are counted here and added to the metrics
a few times a second.  For one thread.
"""
from __future__ import annotations

from obsvc import metrics
from obsvc.model import Family


class SkipCounts:
    """Messages of one bus that were skipped, by fate and family."""

    def __init__(self, bus: str) -> None:
        self._families = tuple(metrics.NOTIFICATIONS.labels(bus, family)
                               for family in (Family.UNVERSIONED, Family.VERSIONED))
        self._by_family = [0, 0]
        self._by_fate: dict[str, int] = {}

    def count(self, fate: str, *, versioned: bool) -> None:
        """One more; ``fate`` as :data:`obsvc.metrics.NOTIFICATIONS_BY_FATE` has them."""
        self._by_family[versioned] += 1
        self._by_fate[fate] = self._by_fate.get(fate, 0) + 1

    def flush(self) -> None:
        """Add what was counted to the metrics."""
        if not self._by_fate:
            return
        fates, self._by_fate = self._by_fate, {}
        families, self._by_family = self._by_family, [0, 0]
        for fate, count in fates.items():
            metrics.NOTIFICATIONS_BY_FATE.labels(fate).inc(count)
        for metric, count in zip(self._families, families, strict=True):
            metric.inc(count)

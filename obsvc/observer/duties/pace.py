"""How often a service is swept, and how much of it: pure decisions, no clock.

While notifications are seen to arrive, a sweep is a rare check that they still do; where they don't, it is how changes
are found.  So the pace slows down step by step and speeds up at once.
"""
from __future__ import annotations

from dataclasses import dataclass

from oslo_config import cfg


@dataclass(frozen=True)
class PaceSettings:
    """fast, slow: seconds between two sweeps.  growth: factor by which a good sweep lengthens that.  good_recall:
    share of changes that notifications must tell of.  full_every: every how many sweeps one lists everything."""

    fast: float = 30.0
    slow: float = 300.0
    growth: float = 2.0
    good_recall: float = 0.95
    full_every: int = 10

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> PaceSettings:
        """Read ``[sweep]`` of an oslo.config ConfigOpts."""
        group = conf.sweep
        return cls(group.fast_interval, max(group.slow_interval, group.fast_interval), group.growth,
                   group.good_recall, group.full_every)


@dataclass(frozen=True)
class Evidence:
    """What is known of a service's notifications.

    seen, missed: recent changes that a notification told of, and that none did.  heard: whether its buses are consumed.
    failed: whether the last sweep failed.
    """

    seen: int = 0
    missed: int = 0
    heard: bool = True
    failed: bool = False


def recall(evidence: Evidence) -> float | None:
    """Share of the changes that notifications told of; None where there were no changes."""
    changes = evidence.seen + evidence.missed
    return evidence.seen / changes if changes else None


def trusted(evidence: Evidence, settings: PaceSettings) -> bool:
    """Whether notifications may be relied on for now."""
    share = recall(evidence)
    return evidence.heard and not evidence.failed and (share is None or share >= settings.good_recall)


def after_sweep(interval: float, evidence: Evidence, settings: PaceSettings) -> float:
    """The interval to keep after a sweep that was made at ``interval`` (0: the first)."""
    if not trusted(evidence, settings):
        return settings.fast
    return _within(max(interval, settings.fast) * settings.growth, settings)


def between(interval: float, evidence: Evidence, settings: PaceSettings) -> float:
    """The interval to keep now, between two sweeps: what it was, or at once the fast one."""
    return _within(interval, settings) if trusted(evidence, settings) else settings.fast


def is_full(sweeps: int, settings: PaceSettings, *, can_filter: bool, asked: bool) -> bool:
    """Whether a listing takes everything.  sweeps: listings since the last full one; negative: there was none.

    can_filter: whether the service can list what changed alone.  asked: whether a gap is known of.
    """
    return not can_filter or asked or sweeps < 0 or sweeps + 1 >= settings.full_every


def _within(interval: float, settings: PaceSettings) -> float:
    return min(settings.slow, max(settings.fast, interval))

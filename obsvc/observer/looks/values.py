"""The values that the policy of looks takes and gives.  Immutable; any thread."""
from __future__ import annotations

from dataclasses import dataclass

import msgspec
from oslo_config import cfg

from obsvc.model import Cause, Snapshot
from obsvc.observer.state.look_state import LookState


@dataclass(frozen=True)
class LookSettings:
    """Seconds, all but ``poll_growth``; see ``[observer]`` in the configuration."""

    settle_delay: float = 1.0
    appear_timeout: float = 60.0
    poll_initial: float = 20.0
    poll_growth: float = 1.6
    poll_max: float = 300.0
    takeover_spread: float = 5.0

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> LookSettings:
        """Read ``[observer]``."""
        return cls(**{name: getattr(conf.observer, name) for name in cls.__dataclass_fields__})


class Moment(msgspec.Struct, frozen=True, gc=False):
    """When a decision is made.

    now: monotonic seconds of this process.
    wall: seconds since the epoch by the engine's clock, as well as this member knows it; deadlines are compared to it.
    mass_absence: an unusual share of the service's refs answers 404 now
        (:class:`obsvc.observer.fetching.absence.AbsenceWatch`).
    """

    now: float
    wall: float
    mass_absence: bool = False


@dataclass(frozen=True, slots=True)
class NextLook:
    """Look again in ``delay`` seconds, as :meth:`obsvc.observer.queue.work_queue.WorkQueue.add_after` takes it.

    gathers: the settle look itself, which is due some time after the *newest* notification.
    postponable: a poll, unless a deadline brought it forward.
    """

    delay: float
    cause: Cause
    gathers: bool = False
    postponable: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows from a look.

    state: replaces what was known of the ref.
    report: send this; None: there is nothing to say.
    next: the look that follows; None: nothing is expected.
    retry: end the look by ``queue.retry`` (after ``fetched.retry_after``) and not by ``queue.done``.
    why: a few words for the log.
    """

    state: LookState
    report: Snapshot | None = None
    next: NextLook | None = None
    retry: bool = False
    why: str = ""

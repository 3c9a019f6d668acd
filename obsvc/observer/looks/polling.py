"""When a ref is polled, and how long a notification may put its poll off.  Pure; any thread.

A ref is polled while a goal is not reached or the service has something under way: sparsely, at growing intervals,
jittered; news makes the intervals start again.  A deadline brings the poll that would pass it forward to itself.
"""
from __future__ import annotations

import random

from obsvc.model import Cause
from obsvc.observer.looks.announcements import is_under_way
from obsvc.observer.looks.values import LookSettings, Moment, NextLook
from obsvc.observer.queue.entry import Postponement
from obsvc.observer.state.look_state import LookState

#: Share of a poll's delay by which it varies either way, so that refs that were started together drift apart.
POLL_JITTER = 0.15

#: Upper bound on postponing a poll, in poll delays, however often notifications say that something is under way: what
#: they say is checked, at growing intervals.
POSTPONE_LIMIT = 3.0

#: Seconds after a deadline at which its last look is made, so that the engine's clock has surely passed it.
DEADLINE_MARGIN = 0.1


def next_poll(state: LookState, moment: Moment, settings: LookSettings, rng: random.Random) -> NextLook:
    """The next poll; notifications may postpone it, unless it is the one that a deadline asks for."""
    delay = poll_delay(state, moment, settings, rng)
    return NextLook(delay, Cause.POLLED, postponable=delay < _to_deadline(state, moment))


def poll_delay(state: LookState, moment: Moment, settings: LookSettings, rng: random.Random) -> float:
    """Seconds to the next poll; the one that would pass the deadline is made at the deadline."""
    step = min(state.polls, 64)
    delay = min(settings.poll_initial * settings.poll_growth ** step, settings.poll_max)
    delay *= rng.uniform(1 - POLL_JITTER, 1 + POLL_JITTER)
    return min(delay, _to_deadline(state, moment))


def postponement(state: LookState | None, moment: Moment, settings: LookSettings, rng: random.Random) -> Postponement:
    """How long the look may wait for which a notification asks that says no more than that something is under way."""
    delay = settings.poll_initial if state is None else poll_delay(state, moment, settings, rng)
    return Postponement(delay, POSTPONE_LIMIT * delay, known=is_under_way(state))


def _to_deadline(state: LookState, moment: Moment) -> float:
    """Seconds to the look that a deadline to come asks for; infinite where there is none."""
    if state.wanted and state.deadline is not None and state.deadline > moment.wall:
        return state.deadline - moment.wall + DEADLINE_MARGIN
    return float("inf")

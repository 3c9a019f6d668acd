"""The policy of looks as one member applies it: what is known of a ref, and when it is looked at next.

The rules themselves are pure functions of what is known of the ref, what was asked for, what the fetch saw and the
time (:mod:`.after_fetch`, :mod:`.settling`, :mod:`.polling`, :mod:`.announcements`).  :class:`LookPolicy` adds what
they go by: the settings, the clocks, and the jitter.  Any thread may call; it keeps nothing of any ref.
"""
from __future__ import annotations

import random
from dataclasses import replace
from typing import Protocol

from obsvc.engine_client.ownership import ObservedRef
from obsvc.engine_client.reports import ReportOutcome
from obsvc.model import Cause, Condition, Snapshot
from obsvc.observer.fetching.result import FetchResult
from obsvc.observer.looks import after_fetch, polling
from obsvc.observer.looks.values import Decision, LookSettings, Moment, NextLook
from obsvc.observer.queue.entry import DueLook, Postponement
from obsvc.observer.state.look_state import LookState
from obsvc.process.clock import Clock


class WallClock(Protocol):
    """The engine's clock as well as this member knows it (:class:`obsvc.observer.state.engine_clock.EngineClock`)."""

    def time(self) -> float:
        """Seconds since the epoch; asks nobody."""


class LookPolicy:
    """settings: seconds, see ``[observer]``.  clock: of this process.  engine_clock: deadlines are compared to it."""

    def __init__(
        self, settings: LookSettings, *, clock: Clock, engine_clock: WallClock, rng: random.Random | None = None
    ) -> None:
        self.settings = settings
        self._clock = clock
        self._engine_clock = engine_clock
        self._rng = rng or random.Random()

    def moment(self, *, mass_absence: bool = False) -> Moment:
        """Now."""
        return Moment(self._clock.monotonic(), self._engine_clock.time(), mass_absence)

    # -- what a ref begins with, and how its observations change it

    def new_state(self, observed: ObservedRef) -> LookState:
        """The state of a ref that this member begins to observe."""
        return new_state(observed, self.moment())

    def first_look(self, observed: ObservedRef, *, moved: bool) -> NextLook | None:
        """As the function :func:`first_look`."""
        return first_look(observed, self.settings, self._rng, moved=moved)

    # -- notifications

    def postponement(self, state: LookState | None) -> Postponement:
        """How long the look may wait for which a notification asks that says no more than that something is under
        way.  state: None where nothing is known of the ref."""
        return polling.postponement(state, self.moment(), self.settings, self._rng)

    # -- after a look

    def after_fetch(self, state: LookState, look: DueLook, fetched: FetchResult, *,
                    mass_absence: bool = False) -> Decision:
        """What follows from ``fetched``, the answer to ``look``."""
        moment = self.moment(mass_absence=mass_absence)
        return after_fetch.after_fetch(state, look, fetched, moment, self.settings, self._rng)

    def after_payload(self, state: LookState, snapshot: Snapshot) -> Decision:
        """What follows where ``snapshot`` was read from a trusted payload: no settle look is due."""
        return after_fetch.report_and_poll(state, snapshot, self.moment(), self.settings, self._rng)

    def after_report(self, state: LookState, outcome: ReportOutcome) -> tuple[LookState, NextLook | None]:
        """As the function :func:`after_report`."""
        return after_report(state, outcome, self.moment(), self.settings, self._rng)


def new_state(observed: ObservedRef, moment: Moment) -> LookState:
    """The state of a ref that this member begins to observe at ``moment``."""
    age = max(0.0, moment.wall - observed.started_at)
    return LookState(moment.now - age, observed.wanted, observed.deadline, observed.last)


def with_observation(state: LookState, observed: ObservedRef) -> LookState:
    """The state after the ref's observations changed (another goal, another deadline)."""
    return replace(state, wanted=observed.wanted, deadline=observed.deadline, polls=0)


def first_look(observed: ObservedRef, settings: LookSettings, rng: random.Random, *, moved: bool) -> NextLook | None:
    """The first look at a ref of a partition that was just granted; None where none is due.

    moved: the partition had another owner before.  A ref that was never looked at, or is marked, is looked at at once;
    one that somebody waits for, within ``takeover_spread``, so that a takeover is no stampede; for all others the
    takeover memory and the listeners are enough.
    """
    if observed.mark is not None or observed.last is None:
        cause = Cause.STARTED if observed.last is None else Cause.MARKED
        return NextLook(0.0, Cause.TAKEOVER if moved else cause)
    if observed.wanted or not observed.last.settled:
        delay = rng.uniform(0.0, settings.takeover_spread)
        return NextLook(delay, Cause.TAKEOVER if moved else Cause.POLLED)
    return None


def after_report(state: LookState, outcome: ReportOutcome, moment: Moment, settings: LookSettings,
                 rng: random.Random) -> tuple[LookState, NextLook | None]:
    """The state after the engine took a report, and the poll that follows when the engine still waits for something.

    Only for ``accepted`` and ``unchanged``.  What is due sooner stays where the poll is added to the queue.
    """
    state = replace(state, wanted=outcome.wanted, deadline=outcome.deadline)
    gone = state.last is not None and state.last.condition is Condition.DELETED
    if not outcome.wanted or gone:
        return state, None
    return state, polling.next_poll(state, moment, settings, rng)

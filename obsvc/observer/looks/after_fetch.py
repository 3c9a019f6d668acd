"""What follows from one fetch: report it or not, and when to look again.  Pure; any thread.

At most one further look waits for a ref (the queue keeps one entry a ref), so each decision names one: the soonest
that something is still expected of.

==========  ======================================================================================================
settle      An API can be behind its notification: one more look follows (:mod:`.settling`).
confirm     404 becomes ``deleted`` only when it is answered again ``settle_delay`` later; for a ref that nobody
            has ever seen, only from ``appear_timeout`` after its observation began.
poll        While a goal is not reached, or the service has something under way (:mod:`.polling`).
patience    A notification that says no more than that something is under way, of a ref that the last look showed
            so, changes nothing that is known.  Its look is the next poll, and puts that off, as the bus is heard:
            by a poll's delay, up to three from the look before.  No settle look follows one that shows just that.
retry       A fetch that failed says nothing: the queue repeats it with its backoff, and nothing is reported.
==========  ======================================================================================================
"""
from __future__ import annotations

import random
from dataclasses import replace

import msgspec

from obsvc.model import Cause, Condition, Snapshot
from obsvc.observer.fetching.result import FetchOutcome, FetchResult
from obsvc.observer.looks.announcements import expects_absence, shows_under_way
from obsvc.observer.looks.polling import next_poll
from obsvc.observer.looks.settling import settle
from obsvc.observer.looks.values import Decision, LookSettings, Moment, NextLook
from obsvc.observer.queue.entry import DueLook
from obsvc.observer.state.look_state import NOTHING_TO_SETTLE, LookState, SettlePlan

#: Longest time between two looks at a ref that has not appeared yet, as a share of ``appear_timeout``.
APPEAR_SHARE = 0.25


def after_fetch(state: LookState, look: DueLook, fetched: FetchResult, moment: Moment, settings: LookSettings,
                rng: random.Random) -> Decision:
    """What follows from ``fetched``, the answer to ``look``; ``state`` is what was known of the ref before."""
    if fetched.outcome is FetchOutcome.FOUND and fetched.snapshot is not None:
        return _after_found(state, look, fetched, fetched.snapshot, moment, settings, rng)
    if fetched.outcome is FetchOutcome.ABSENT:
        return _after_absent(state, look, fetched, moment, settings, rng)
    if fetched.outcome is FetchOutcome.UNSUPPORTED:
        snapshot = Snapshot(exists=True, condition=Condition.UNKNOWN, status_reason=fetched.error,
                            fetched_at=fetched.fetched_at)
        return Decision(replace(state, last=snapshot, settle=NOTHING_TO_SETTLE), snapshot, why="can't be fetched")
    return Decision(state, retry=True, why=fetched.error or "failed")


def report_and_poll(state: LookState, snapshot: Snapshot, moment: Moment, settings: LookSettings,
                    rng: random.Random) -> Decision:
    """Report ``snapshot``, of what exists and no settle look of which is due; poll while something is waited for."""
    if snapshot.settled and all(goal is snapshot.condition for goal in state.wanted):
        return Decision(state, snapshot, why="settled")
    return _poll(state, snapshot, moment, settings, rng)


def _after_found(state: LookState, look: DueLook, fetched: FetchResult, snapshot: Snapshot, moment: Moment,
                 settings: LookSettings, rng: random.Random) -> Decision:
    plan, settle_look = settle(state, look, fetched, snapshot, moment, settings)
    nothing_new = look.no_change and shows_under_way(state.last) and shows_under_way(snapshot)
    state = replace(state, last=snapshot, settle=plan, absent_since=None, absences=0, order=fetched.order,
                    polls=0 if look.news and not nothing_new else state.polls)
    if settle_look is not None:
        return Decision(state, snapshot, settle_look, why="not yet the announced state")
    if snapshot.condition is Condition.DELETED:
        return Decision(state, snapshot, why="deleted")
    return report_and_poll(state, snapshot, moment, settings, rng)


def _after_absent(state: LookState, look: DueLook, fetched: FetchResult, moment: Moment, settings: LookSettings,
                  rng: random.Random) -> Decision:
    deleted = _deleted(state.last, fetched)
    if state.last is not None and state.last.condition is Condition.DELETED:
        return Decision(replace(state, last=deleted, settle=NOTHING_TO_SETTLE), deleted, why="still deleted")
    expected = expects_absence(state, look)
    absent_since = moment.now if state.absent_since is None else state.absent_since
    state = replace(state, absent_since=absent_since, absences=state.absences + 1,
                    polls=0 if look.news else state.polls,
                    settle=SettlePlan("deleted") if expected else state.settle)
    confirmed_from, delay = _confirmation(state, absent_since, moment, settings, expected=expected)
    if fetched.began_at < confirmed_from:
        return Decision(state, None, NextLook(max(delay, 0.0), Cause.SETTLE), why="404 is to be confirmed")
    if moment.mass_absence and not expected:
        unknown = _unknown(state.last, fetched)
        state = replace(state, last=unknown or state.last)
        return _poll(state, unknown, moment, settings, rng, why="404 like too many others of its service")
    state = replace(state, last=deleted, settle=NOTHING_TO_SETTLE, absent_since=None, absences=0)
    return Decision(state, deleted, why="404 confirmed")


def _confirmation(state: LookState, absent_since: float, moment: Moment, settings: LookSettings, *,
                  expected: bool) -> tuple[float, float]:
    """The monotonic time from which another 404 confirms the first, and the seconds to the next look."""
    confirmed_from = absent_since + settings.settle_delay
    if expected or (state.last is not None and state.last.exists):
        return confirmed_from, confirmed_from - moment.now
    confirmed_from = max(confirmed_from, state.known_since + settings.appear_timeout)
    growing = settings.settle_delay * 2.0 ** min(state.absences - 1, 16)
    longest = max(settings.settle_delay, settings.appear_timeout * APPEAR_SHARE)
    return confirmed_from, min(confirmed_from - moment.now, growing, longest)


def _poll(state: LookState, report: Snapshot | None, moment: Moment, settings: LookSettings, rng: random.Random, *,
          why: str = "to be polled") -> Decision:
    poll = next_poll(state, moment, settings, rng)
    return Decision(replace(state, polls=state.polls + 1), report, poll, why=why)


def _deleted(last: Snapshot | None, fetched: FetchResult) -> Snapshot:
    """The snapshot of what is gone; it keeps the project, by which tenancy goes, and the name."""
    return Snapshot(
        exists=False,
        condition=Condition.DELETED,
        project_id=last.project_id if last else None,
        name=last.name if last else None,
        fetched_at=fetched.fetched_at,
        request_id=fetched.request_id,
    )


def _unknown(last: Snapshot | None, fetched: FetchResult) -> Snapshot | None:
    """The snapshot of what can't be judged; None where there was nothing before either."""
    if last is None:
        return None
    return msgspec.structs.replace(
        last,
        condition=Condition.UNKNOWN,
        settled=False,
        status_reason="the service answers 404 for an unusual share of its resources at once",
        fetched_at=fetched.fetched_at,
        request_id=fetched.request_id,
    )

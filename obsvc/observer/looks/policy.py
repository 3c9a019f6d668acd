"""What follows after a look: report it or not, and when to look again (DESIGN 3).  Pure.

All of it is functions of (what is known of the ref, what was asked for, what the fetch saw, the time); they may be
called from any thread, and hold and change nothing.  ``now`` is monotonic seconds of this process; ``wall`` is
seconds since the epoch by the engine's clock as well as this member knows it (only deadlines are compared to it).

At most one further look waits for a ref (the queue keeps one entry a ref), so each decision names one: the soonest
that something is still expected of.

==========  ======================================================================================================
settle      An API can be behind its notification.  One more look follows ``settle_delay`` after the newest
            notification, unless the snapshot shows, settled, the state that it announced *and* differs from the
            one before (an API that is behind can show an old ``ACTIVE``), or the look was begun that late.
            A state that was announced and is not shown yet is looked for in shorter steps, a bounded number of
            times: services rest in a state for a few tenths of a second between two operations (nova 34: 0.24 s
            of SHUTOFF, shown 0.2 s after it was announced).  After that polling stands behind.
confirm     404 becomes ``deleted`` only when it is answered again ``settle_delay`` later; for a ref that nobody
            has ever seen, only from ``appear_timeout`` after its observation began.
poll        While a goal is not reached, or the service has something under way: sparse, growing, jittered; news
            begin anew.  A deadline draws the poll that would pass it to itself.
patience    A notification that says no more than that something is under way, of a ref that the last look showed
            so, changes nothing that is known.  Its look is the next poll, and puts that off, as the bus is heard:
            by a poll's delay, up to three from the look before.  No settle look follows one that shows just that.
retry       A fetch that failed says nothing: the queue repeats it with its backoff, and nothing is reported.
==========  ======================================================================================================
"""
from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from obsvc.engine_client.ownership import ObservedRef
from obsvc.engine_client.reports import ReportOutcome
from obsvc.model import Cause, Condition, Snapshot, Urgency
from obsvc.observer.fetching.result import FetchOutcome, FetchResult
from obsvc.observer.queue.entry import DueLook, Postponement

#: Steps, in shares of ``settle_delay``, in which an announced state is looked for that is not shown yet.  0.15 s and
#: the time of a fetch: shorter than the shortest rest that was recorded; then growing.
ANNOUNCED_STEPS = (0.15, 0.15, 0.15, 0.15, 0.3, 0.6, 1.2, 2.4)

#: Share of a poll's delay by which it varies either way, so that refs that were started together drift apart.
POLL_JITTER = 0.15

#: Longest time between two looks at a ref that has not appeared yet, as a share of ``appear_timeout``.
APPEAR_SHARE = 0.25

#: So many polls' delays after a look the next is made at the latest, however often notifications say that something
#: is under way: what they say is checked, at growing intervals.
POSTPONE_LIMIT = 3.0

#: Seconds after a deadline at which its last look is made, so that the engine's clock has surely passed it.
DEADLINE_MARGIN = 0.1


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
    def from_conf(cls, conf: Any) -> LookSettings:
        """Read ``[observer]`` of an oslo.config ConfigOpts."""
        return cls(**{name: getattr(conf.observer, name) for name in cls.__dataclass_fields__})


@dataclass(frozen=True, slots=True)
class SettlePlan:
    """What settle looks are due.

    state: announced and not shown yet; steps: looks for it so far.
    until: the settle look itself is not made before this monotonic time; None: none is due.
    """

    state: str | None = None
    steps: int = 0
    until: float | None = None


NOTHING_TO_SETTLE = SettlePlan()


@dataclass(frozen=True, slots=True)
class LookState:
    """What the policy knows of one observed ref.

    known_since: monotonic time at which its observation began, or was learnt of.
    wanted, deadline: as the engine last said (``deadline`` in seconds since the epoch by its clock).
    last: the newest snapshot, of this member or as it came with the grant.
    order: its place among the resource's changes; None where that is not known (of another member's, ever).
    absent_since: monotonic time of the first of the 404s in a row that are not confirmed yet; absences: how many.
    polls: looks without news since the last news.
    """

    known_since: float
    wanted: tuple[Condition, ...] = ()
    deadline: float | None = None
    last: Snapshot | None = None
    settle: SettlePlan = NOTHING_TO_SETTLE
    absent_since: float | None = None
    absences: int = 0
    polls: int = 0
    order: float | None = None


@dataclass(frozen=True, slots=True)
class NextLook:
    """Look again in ``delay`` seconds: ``queue.add_after(ref, delay, cause, movable=movable, routine=routine)``.

    movable: the settle look itself, which is due so long after the *newest* notification.  routine: a poll, unless
    its deadline draws it.
    """

    delay: float
    cause: Cause
    gathers: bool = False
    postponable: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """state: replaces the ref's.  report: send this; None: nothing to say.  next: None: nothing is expected.

    retry: end the work by ``queue.retry(work, after=fetched.retry_after)`` instead of ``queue.done``.
    why: a few words for the log.
    """

    state: LookState
    report: Snapshot | None = None
    next: NextLook | None = None
    retry: bool = False
    why: str = ""


class Moment(msgspec.Struct, frozen=True, gc=False):
    """now, wall: see the module.  mass_absence: an unusual share of the service's refs answers 404
    (:class:`obsvc.observer.fetching.absence.AbsenceWatch`)."""

    now: float
    wall: float
    mass_absence: bool = False


# -- what a ref begins with, and how its observation changes ------------------------------------------------------


def new_state(observed: ObservedRef, moment: Moment) -> LookState:
    """The state of a ref that this member begins to observe."""
    age = max(0.0, moment.wall - observed.started_at)
    return LookState(moment.now - age, observed.wanted, observed.deadline, observed.last)


def renewed(state: LookState, observed: ObservedRef) -> LookState:
    """The state after the ref's observations changed (another goal, another deadline)."""
    return replace(state, wanted=observed.wanted, deadline=observed.deadline, polls=0)


def on_gained(observed: ObservedRef, settings: LookSettings, rng: random.Random, *, moved: bool) -> NextLook | None:
    """The first look at a ref of a partition that was just granted; None where none is due.

    moved: the partition had another owner before.  What nobody has looked at, or is marked, is looked at at once;
    what somebody waits for, within ``takeover_spread``, so that a takeover is no stampede; all else rests (the
    takeover memory and the listeners see to it).
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
    """The state after the engine took a report, and the poll that follows when it still waits for something.

    Only for ``accepted`` and ``unchanged``; add the poll by ``add_after``: what is due sooner stays.
    """
    state = replace(state, wanted=outcome.wanted, deadline=outcome.deadline)
    gone = state.last is not None and state.last.condition is Condition.DELETED
    if not outcome.wanted or gone:
        return state, None
    return state, _next_poll(state, moment, settings, rng)


# -- notifications --------------------------------------------------------------------------------------------------


def shows(snapshot: Snapshot | None, announced: str) -> bool:
    """Whether the snapshot shows, settled, the state that a notification announced.

    Services announce their own words: the status itself, or (nova) a state that the API has in an attribute whose
    name ends in ``state`` or ``status``.  Compared without case.
    """
    if snapshot is None:
        return False
    word = announced.casefold()
    if word == "deleted" and snapshot.condition is Condition.DELETED:
        return True
    if not snapshot.settled:
        return False
    if snapshot.status is not None and snapshot.status.casefold() == word:
        return True
    return any(
        isinstance(value, str) and value.casefold() == word and name.casefold().endswith(("state", "status"))
        for name, value in snapshot.attributes.items()
    )


def answered(state: LookState, announced: str) -> bool:
    """Whether the looks so far answer an announcement: the state was seen, or is being looked for already."""
    looked_for = state.settle.state is not None and state.settle.state.casefold() == announced.casefold()
    return looked_for or shows(state.last, announced)


def is_urgent(urgency: Urgency, announced: str | None, state: LookState | None) -> bool:
    """Whether a notification must not wait for the coalescing interval: its event wants a look now, and it
    announces a settled state that the looks so far do not answer.  state: None where nothing is known of the ref."""
    return urgency is Urgency.NOW and announced is not None and (state is None or not answered(state, announced))


def is_under_way(state: LookState | None) -> bool:
    """Whether the looks so far show that something is under way, so that a further look is due anyway."""
    return state is not None and state.absent_since is None and _rests_in_between(state.last)


def postponement(state: LookState | None, moment: Moment, settings: LookSettings, rng: random.Random) -> Postponement:
    """How long a notification may wait that says no more than that something is under way."""
    delay = settings.poll_initial if state is None else _poll_delay(state, moment, settings, rng)
    return Postponement(delay, POSTPONE_LIMIT * delay, known=is_under_way(state))


def _rests_in_between(snapshot: Snapshot | None) -> bool:
    return (snapshot is not None and snapshot.exists and not snapshot.settled
            and snapshot.condition is not Condition.UNKNOWN)


# -- after a look ---------------------------------------------------------------------------------------------------


def after_fetch(state: LookState, look: DueLook, fetched: FetchResult, moment: Moment, settings: LookSettings,
           rng: random.Random) -> Decision:
    """What follows from ``fetched``, the answer to ``work``."""
    if fetched.outcome is FetchOutcome.FOUND and fetched.snapshot is not None:
        return _found(state, look, fetched, fetched.snapshot, moment, settings, rng)
    if fetched.outcome is FetchOutcome.ABSENT:
        return _absent(state, look, fetched, moment, settings, rng)
    if fetched.outcome is FetchOutcome.UNSUPPORTED:
        snapshot = Snapshot(exists=True, condition=Condition.UNKNOWN, status_reason=fetched.error,
                            fetched_at=fetched.fetched_at)
        return Decision(replace(state, last=snapshot, settle=NOTHING_TO_SETTLE), snapshot, why="can't be fetched")
    return Decision(state, retry=True, why=fetched.error or "failed")


def _found(state: LookState, look: DueLook, fetched: FetchResult, snapshot: Snapshot, moment: Moment,
           settings: LookSettings, rng: random.Random) -> Decision:
    plan, settle_look = _settle(state, look, fetched, snapshot, moment, settings)
    nothing_new = look.no_change and _rests_in_between(state.last) and _rests_in_between(snapshot)
    state = replace(state, last=snapshot, settle=plan, absent_since=None, absences=0, order=fetched.order,
                    polls=0 if look.news and not nothing_new else state.polls)
    if settle_look is not None:
        return Decision(state, snapshot, settle_look, why="not yet the announced state")
    if snapshot.condition is Condition.DELETED:
        return Decision(state, snapshot, why="deleted")
    return follow(state, snapshot, moment, settings, rng)


def follow(state: LookState, snapshot: Snapshot, moment: Moment, settings: LookSettings,
           rng: random.Random) -> Decision:
    """Report ``snapshot``, of what exists and no settle look of which is due; poll while something is waited for."""
    if snapshot.settled and all(goal is snapshot.condition for goal in state.wanted):
        return Decision(state, snapshot, why="settled")
    return _poll(state, snapshot, moment, settings, rng)


def _settle(state: LookState, look: DueLook, fetched: FetchResult, snapshot: Snapshot, moment: Moment,
            settings: LookSettings) -> tuple[SettlePlan, NextLook | None]:
    """What settle looks are still due, and the next of them."""
    word, steps, until = state.settle.state, state.settle.steps, state.settle.until
    if look.news:
        stated = next((each for each in reversed(look.announced) if each is not None), None)
        if stated is not None and stated != word:
            word, steps = stated, 0
        until = look.latest + settings.settle_delay
        newest = look.announced[-1] if look.announced else None
        if look.no_change and _rests_in_between(snapshot):
            until = None  # nobody spoke of more than it shows; polling stands behind
        elif newest is not None and _enough(state.last, snapshot, newest):
            until = None
    if until is not None and fetched.began_at >= until:
        until = None
    if word is not None and (shows(snapshot, word) or _passed(snapshot, word) or steps >= len(ANNOUNCED_STEPS)):
        word = None
    delays = []
    if word is not None:
        delays.append(settings.settle_delay * ANNOUNCED_STEPS[steps])
        steps += 1
    if until is not None:
        delays.append(max(until - moment.now, 0.0))
    following = NextLook(min(delays), Cause.SETTLE, gathers=word is None) if delays else None
    return SettlePlan(word, steps if word is not None else 0, until), following


def _enough(before: Snapshot | None, snapshot: Snapshot, announced: str) -> bool:
    """Whether no settle look needs to follow: the change was seen, or is looked for in steps."""
    if shows(snapshot, announced):
        return differs(before, snapshot)
    return not _passed(snapshot, announced)


def _passed(snapshot: Snapshot, announced: str) -> bool:
    """Whether the announced state was there and the next operation is under way: it will not be seen any more."""
    status = snapshot.status
    return not snapshot.settled and status is not None and status.casefold() == announced.casefold()


def differs(before: Snapshot | None, after: Snapshot) -> bool:
    """Whether the second snapshot says anything else of the resource than the first."""
    if before is None:
        return True
    return msgspec.structs.replace(before, fetched_at=0.0, request_id=None) != msgspec.structs.replace(
        after, fetched_at=0.0, request_id=None)


def _absent(state: LookState, look: DueLook, fetched: FetchResult, moment: Moment, settings: LookSettings,
            rng: random.Random) -> Decision:
    deleted = _deleted(state.last, fetched)
    if state.last is not None and state.last.condition is Condition.DELETED:
        return Decision(replace(state, last=deleted, settle=NOTHING_TO_SETTLE), deleted, why="still deleted")
    expected = expects_absence(state, look)
    first = moment.now if state.absent_since is None else state.absent_since
    state = replace(state, absent_since=first, absences=state.absences + 1, polls=0 if look.news else state.polls,
                    settle=SettlePlan("deleted") if expected else state.settle)
    confirmed = first + settings.settle_delay
    if expected or (state.last is not None and state.last.exists):
        delay = confirmed - moment.now
    else:
        confirmed = max(confirmed, state.known_since + settings.appear_timeout)
        growing = settings.settle_delay * 2.0 ** min(state.absences - 1, 16)
        delay = min(confirmed - moment.now, growing, max(settings.settle_delay, settings.appear_timeout * APPEAR_SHARE))
    if fetched.began_at < confirmed:
        return Decision(state, None, NextLook(max(delay, 0.0), Cause.SETTLE), why="404 is to be confirmed")
    if moment.mass_absence and not expected:
        unknown = _unknown(state.last, fetched)
        state = replace(state, last=unknown or state.last)
        return _poll(state, unknown, moment, settings, rng, why="404 like too many others of its service")
    state = replace(state, last=deleted, settle=NOTHING_TO_SETTLE, absent_since=None, absences=0)
    return Decision(state, deleted, why="404 confirmed")


def expects_absence(state: LookState, look: DueLook) -> bool:
    """Whether a 404 would be no surprise: somebody announced the deletion or waits for it."""
    announced = any(word is not None and word.casefold() == "deleted" for word in look.announced)
    looked_for = state.settle.state is not None and state.settle.state.casefold() == "deleted"
    return announced or looked_for or Condition.DELETED in state.wanted


def _poll(state: LookState, report: Snapshot | None, moment: Moment, settings: LookSettings, rng: random.Random, *,
          why: str = "to be polled") -> Decision:
    following = _next_poll(state, moment, settings, rng)
    return Decision(replace(state, polls=state.polls + 1), report, following, why=why)


def _next_poll(state: LookState, moment: Moment, settings: LookSettings, rng: random.Random) -> NextLook:
    delay = _poll_delay(state, moment, settings, rng)
    return NextLook(delay, Cause.POLLED, postponable=delay < _to_deadline(state, moment))


def _poll_delay(state: LookState, moment: Moment, settings: LookSettings, rng: random.Random) -> float:
    """Seconds to the next poll; the one that would pass the deadline is made at the deadline."""
    step = min(state.polls, 64)
    delay = min(settings.poll_initial * settings.poll_growth ** step, settings.poll_max)
    delay *= rng.uniform(1 - POLL_JITTER, 1 + POLL_JITTER)
    return min(delay, _to_deadline(state, moment))


def _to_deadline(state: LookState, moment: Moment) -> float:
    """Seconds to the look that a deadline to come asks for; endless where there is none."""
    if state.wanted and state.deadline is not None and state.deadline > moment.wall:
        return state.deadline - moment.wall + DEADLINE_MARGIN
    return float("inf")


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

"""The policy of looks: each of its rules as a test on plain values."""
from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obsvc.engine_client.ownership import ObservedRef
from obsvc.engine_client.reports import ReportOutcome, Verdict
from obsvc.model import Cause, Condition, Ref, Snapshot, Urgency
from obsvc.observer.fetching.result import FetchOutcome, FetchResult
from obsvc.observer.looks import announcements, policy, polling, settling
from obsvc.observer.looks.after_fetch import after_fetch
from obsvc.observer.looks.values import LookSettings, Moment, NextLook
from obsvc.observer.queue.entry import DueLook
from obsvc.observer.state.look_state import LookState

REF = Ref("R", "compute.server", "a")
SETTINGS = LookSettings(poll_initial=15.0)
ACTIVE = Snapshot(True, Condition.ACTIVE, "ACTIVE", name="one", project_id="p1")
STOPPED = Snapshot(True, Condition.ACTIVE, "SHUTOFF", name="one", project_id="p1")
BUILD = Snapshot(True, Condition.PENDING, "BUILD", settled=False)
STOPPING = Snapshot(True, Condition.PENDING, "ACTIVE", settled=False)


class Middle(random.Random):
    """No jitter."""

    def uniform(self, a, b):
        return (a + b) / 2


class Scene:
    """One ref through a series of looks, in virtual time."""

    def __init__(self, now=1000.0, wall=50_000.0, **state):
        self.now, self.wall = now, wall
        self.state = LookState(state.pop("known_since", now), **state)
        self.mass_absence = False

    def look(self, outcome, cause=Cause.NOTIFIED, announced=(), *, news=None, age=0.0, no_change=False):
        """One look now; ``outcome``: a snapshot, ABSENT or FAILED.  age: of the newest notification."""
        snapshot = outcome if isinstance(outcome, Snapshot) else None
        kind = FetchOutcome.FOUND if snapshot else outcome
        heard = cause in (Cause.NOTIFIED, Cause.STARTED, Cause.TAKEOVER) if news is None else news
        look = DueLook(REF, cause, self.now - age, tuple(announced), news=heard, news_at=self.now - age,
                       no_change=no_change)
        fetched = FetchResult(REF, kind, self.now, self.wall, snapshot, retry_after=None, error="HTTP 503")
        moment = Moment(self.now, self.wall, self.mass_absence)
        decision = after_fetch(self.state, look, fetched, moment, SETTINGS, Middle())
        self.state = decision.state
        return decision

    def follow(self, decision, outcome):
        """The look that ``decision`` asked for, at its time."""
        self.advance(decision.next.delay)
        return self.look(outcome, decision.next.cause, news=False)

    def advance(self, seconds):
        self.now += seconds
        self.wall += seconds


# -- settle


def test_a_snapshot_that_shows_the_announced_state_needs_no_other_look():
    decision = Scene(last=ACTIVE).look(STOPPED, announced=["SHUTOFF"])
    assert (decision.report, decision.next) == (STOPPED, None)


def test_a_notification_that_announced_no_state_is_followed_by_one_settle_look():
    scene = Scene(last=ACTIVE)
    first = scene.look(ACTIVE, announced=[None])
    assert first.report == ACTIVE and first.next == NextLook(1.0, Cause.SETTLE, gathers=True)
    assert scene.follow(first, ACTIVE).next is None


def test_the_newest_announcement_decides():
    assert Scene(last=STOPPED).look(ACTIVE, announced=["SHUTOFF", "ACTIVE"]).next is None
    assert Scene(last=STOPPED).look(ACTIVE, announced=["ACTIVE", "SHUTOFF"]).next is not None
    decision = Scene(last=STOPPED).look(ACTIVE, announced=["ACTIVE", None])
    assert decision.next == NextLook(1.0, Cause.SETTLE, gathers=True)


def test_an_announced_state_that_is_not_shown_is_looked_for_in_growing_steps_and_not_for_ever():
    scene = Scene(last=ACTIVE)
    decision, delays = scene.look(ACTIVE, announced=["SHUTOFF"]), []
    while decision.next is not None:
        delays.append(decision.next.delay)
        decision = scene.follow(decision, ACTIVE)
    assert delays == list(settling.ANNOUNCED_STEPS) and delays == sorted(delays)


def test_an_announced_state_is_still_looked_for_when_the_next_operation_begins():
    scene = Scene(last=ACTIVE)
    scene.look(ACTIVE, announced=["SHUTOFF"])
    assert scene.look(ACTIVE, announced=[None]).next.delay == 0.15
    passed = Snapshot(True, Condition.PENDING, "SHUTOFF", settled=False)
    assert scene.look(passed, announced=[None]).next.delay == 1.0, "it was there: too late to see it"


def test_the_settle_look_that_shows_it_is_the_last():
    scene = Scene(last=ACTIVE)
    decision = scene.follow(scene.look(ACTIVE, announced=["SHUTOFF"]), STOPPED)
    assert (decision.report, decision.next) == (STOPPED, None)


def test_an_old_state_of_the_same_name_does_not_pass_for_the_announced_one():
    """A rename announces ACTIVE, as before; an API that is behind shows ACTIVE under the old name."""
    renamed = Snapshot(True, Condition.ACTIVE, "ACTIVE", name="two", project_id="p1")
    scene = Scene(last=ACTIVE)
    first = scene.look(ACTIVE, announced=["ACTIVE"])
    assert first.next == NextLook(1.0, Cause.SETTLE, gathers=True)
    assert scene.follow(first, renamed).report == renamed
    assert Scene(last=ACTIVE).look(renamed, announced=["ACTIVE"]).next is None


def test_a_look_that_began_settle_delay_after_the_news_is_its_own_settle_look():
    assert Scene(last=ACTIVE).look(ACTIVE, announced=[None], age=1.0).next is None
    assert Scene(last=ACTIVE).look(ACTIVE, announced=["ACTIVE"], age=1.0).next is None
    assert Scene(last=ACTIVE).look(ACTIVE, announced=[None], age=0.9).next is not None
    missing = Scene(last=ACTIVE).look(ACTIVE, announced=["SHUTOFF"], age=1.0)
    assert missing.next == NextLook(0.15, Cause.SETTLE), "announced and not shown: it is still looked for"


def test_not_settled_is_not_shown():
    assert Scene(last=BUILD).look(STOPPING, announced=["ACTIVE"]).next == NextLook(1.0, Cause.SETTLE, gathers=True)
    assert Scene(last=STOPPED).look(BUILD, announced=["ACTIVE"]).next == NextLook(0.15, Cause.SETTLE)


def test_the_first_look_counts_as_made_on_a_notification():
    assert Scene().look(ACTIVE, Cause.STARTED).next == NextLook(1.0, Cause.SETTLE, gathers=True)


def test_a_takeover_look_is_followed_by_one_settle_look():
    assert Scene(last=ACTIVE).look(ACTIVE, Cause.TAKEOVER).next == NextLook(1.0, Cause.SETTLE, gathers=True)


def test_a_poll_is_not_followed_by_a_settle_look():
    assert Scene(last=ACTIVE).look(ACTIVE, Cause.POLLED).next is None


@pytest.mark.parametrize("snapshot,word,answer", [
    (ACTIVE, "active", True),
    (ACTIVE, "SHUTOFF", False),
    (STOPPING, "ACTIVE", False),
    (None, "ACTIVE", False),
    (Snapshot(False, Condition.DELETED), "DELETED", True),
    (Snapshot(True, Condition.ACTIVE, "SHUTOFF", attributes={"OS-EXT-STS:vm_state": "stopped"}), "stopped", True),
    (Snapshot(True, Condition.ACTIVE, "SHUTOFF", attributes={"name": "active"}), "active", False),
])
def test_shows(snapshot, word, answer):
    assert announcements.shows(snapshot, word) is answer


@pytest.mark.parametrize("look,announced,last,urgent", [
    (Urgency.NOW, "ACTIVE", BUILD, True),
    (Urgency.NOW, "ACTIVE", None, True),
    (Urgency.NOW, "ACTIVE", ACTIVE, False),
    (Urgency.NOW, None, BUILD, False),
    (Urgency.MERGE, "ACTIVE", BUILD, False),
])
def test_urgent_is_what_announces_something_new_now(look, announced, last, urgent):
    assert announcements.is_urgent(look, announced, LookState(0.0, last=last)) is urgent
    assert announcements.is_urgent(Urgency.NOW, "ACTIVE", None)


def test_what_is_looked_for_already_is_not_urgent_again():
    scene = Scene(last=STOPPED)
    scene.look(STOPPED, announced=["ACTIVE"])
    assert not announcements.is_urgent(Urgency.NOW, "active", scene.state)
    assert announcements.is_urgent(Urgency.NOW, "PAUSED", scene.state)


# -- 404


def test_404_becomes_deleted_after_a_second_look():
    scene = Scene(last=ACTIVE)
    first = scene.look(FetchOutcome.ABSENT, announced=[None])
    assert first.report is None and first.next == NextLook(1.0, Cause.SETTLE)
    second = scene.follow(first, FetchOutcome.ABSENT)
    assert second.next is None
    assert (second.report.exists, second.report.condition) == (False, Condition.DELETED)
    assert (second.report.project_id, second.report.name) == ("p1", "one"), "tenancy goes by the snapshot's project"


def test_a_second_404_before_its_time_confirms_nothing():
    scene = Scene(last=ACTIVE)
    scene.look(FetchOutcome.ABSENT)
    scene.advance(0.4)
    again = scene.look(FetchOutcome.ABSENT, announced=["DELETED"])
    assert again.report is None and again.next.delay == pytest.approx(0.6)


def test_found_again_begins_anew():
    scene = Scene(last=ACTIVE)
    scene.follow(scene.look(FetchOutcome.ABSENT), ACTIVE)
    scene.advance(10.0)
    assert scene.look(FetchOutcome.ABSENT).report is None


def test_a_failure_between_confirms_nothing_and_forgets_nothing():
    scene = Scene(last=ACTIVE)
    first = scene.look(FetchOutcome.ABSENT)
    assert scene.follow(first, FetchOutcome.FAILED).report is None
    assert scene.look(FetchOutcome.ABSENT, Cause.RETRY).report.condition is Condition.DELETED


def test_a_ref_never_seen_is_deleted_only_from_appear_timeout():
    scene = Scene()
    began, decision, delays = scene.now, scene.look(FetchOutcome.ABSENT, Cause.STARTED), []
    while decision.report is None:
        delays.append(decision.next.delay)
        decision = scene.follow(decision, FetchOutcome.ABSENT)
    assert decision.report.condition is Condition.DELETED
    assert scene.now - began == pytest.approx(60.0)
    assert delays[:4] == [1.0, 2.0, 4.0, 8.0] and max(delays) <= 15.0


def test_a_ref_that_appears_late_is_found():
    scene = Scene()
    decision = scene.look(FetchOutcome.ABSENT, Cause.STARTED)
    decision = scene.follow(decision, ACTIVE)
    assert decision.report == ACTIVE and scene.state.absences == 0


@pytest.mark.parametrize("state,announced", [({"wanted": (Condition.DELETED,)}, ()), ({}, ["DELETED"])])
def test_a_deletion_that_was_announced_or_is_waited_for_needs_no_appear_timeout(state, announced):
    scene = Scene(**state)
    first = scene.look(FetchOutcome.ABSENT, announced=announced)
    assert first.next.delay == 1.0
    assert scene.follow(first, FetchOutcome.ABSENT).report.condition is Condition.DELETED


def test_what_is_deleted_stays_deleted_at_once():
    scene = Scene(last=Snapshot(False, Condition.DELETED, project_id="p1"))
    decision = scene.look(FetchOutcome.ABSENT)
    assert decision.report.condition is Condition.DELETED and decision.next is None


def test_an_unusual_share_of_404s_is_unknown_and_polled():
    scene = Scene(last=ACTIVE)
    scene.mass_absence = True
    decision = scene.follow(scene.look(FetchOutcome.ABSENT), FetchOutcome.ABSENT)
    assert (decision.report.exists, decision.report.condition) == (True, Condition.UNKNOWN)
    assert decision.report.project_id == "p1" and decision.next == NextLook(15.0, Cause.POLLED, postponable=True)
    scene.mass_absence = False
    assert scene.follow(decision, FetchOutcome.ABSENT).report.condition is Condition.DELETED


def test_an_announced_deletion_counts_even_among_many():
    scene = Scene(last=ACTIVE)
    scene.mass_absence = True
    first = scene.look(FetchOutcome.ABSENT, announced=["DELETED", None])
    assert scene.follow(first, FetchOutcome.ABSENT).report.condition is Condition.DELETED


# -- failures


def test_a_failed_look_says_nothing():
    scene = Scene(last=ACTIVE, wanted=(Condition.DELETED,))
    before = scene.state
    decision = scene.look(FetchOutcome.FAILED, announced=["SHUTOFF"])
    assert decision.retry and decision.report is None and decision.next is None
    assert scene.state == before


def test_what_cannot_be_fetched_is_unknown_and_rests():
    decision = Scene().look(FetchOutcome.UNSUPPORTED, Cause.STARTED)
    assert decision.report.condition is Condition.UNKNOWN and decision.next is None and not decision.retry


# -- polling


def test_polls_until_the_goal_are_sparse_and_grow_to_the_most():
    scene = Scene(last=BUILD, wanted=(Condition.ACTIVE,))
    decision, delays = scene.look(BUILD, Cause.POLLED), []
    for _ in range(10):
        assert decision.next.cause is Cause.POLLED
        delays.append(decision.next.delay)
        decision = scene.follow(decision, BUILD)
    assert delays[:3] == pytest.approx([15.0, 24.0, 38.4]) and delays[-1] == 300.0
    assert scene.follow(decision, ACTIVE).next is None, "the goal is reached"


def test_news_begin_the_polls_anew():
    scene = Scene(last=BUILD, wanted=(Condition.ACTIVE,), polls=9)
    decision = scene.look(BUILD, announced=[None], age=2.0)
    assert decision.next == NextLook(15.0, Cause.POLLED, postponable=True)


def test_what_only_says_that_something_is_under_way_lets_the_polls_grow_on():
    scene = Scene(last=BUILD, wanted=(Condition.ACTIVE,), polls=1)
    assert scene.look(BUILD, announced=[None], no_change=True).next == NextLook(24.0, Cause.POLLED, postponable=True)
    assert Scene(last=ACTIVE, polls=1).look(BUILD, announced=[None], no_change=True).next.delay == 15.0, "it has begun"


def test_what_says_that_something_is_under_way_where_all_seems_settled_has_a_settle_look():
    decision = Scene(last=BUILD).look(ACTIVE, announced=[None], no_change=True)
    assert decision.next == NextLook(1.0, Cause.SETTLE, gathers=True)


def test_something_under_way_is_polled_without_a_goal():
    assert Scene(last=BUILD).look(BUILD, Cause.POLLED).next.cause is Cause.POLLED


def test_nothing_is_polled_when_all_is_settled_or_gone():
    assert Scene(last=ACTIVE).look(ACTIVE, Cause.POLLED).next is None
    gone = Snapshot(False, Condition.DELETED)
    assert Scene(wanted=(Condition.ACTIVE,)).look(gone, Cause.POLLED).next is None


def test_a_goal_of_several_is_polled_until_all_are_met():
    scene = Scene(last=BUILD, wanted=(Condition.ACTIVE, Condition.DELETED))
    assert scene.look(ACTIVE, Cause.POLLED).next is not None


def test_the_poll_that_would_pass_the_deadline_is_made_at_the_deadline():
    scene = Scene(last=BUILD, wanted=(Condition.ACTIVE,), deadline=50_004.0)
    decision = scene.look(BUILD, Cause.POLLED)
    assert decision.next.delay == pytest.approx(4.0 + polling.DEADLINE_MARGIN)
    assert scene.follow(decision, BUILD).next.delay > 15.0, "after it, the engine's word decides"


@given(st.integers(0, 100), st.randoms(use_true_random=False))
def test_polls_are_jittered_within_bounds(polls, rng):
    state = LookState(0.0, wanted=(Condition.ACTIVE,), last=BUILD, polls=polls)
    look, fetched = DueLook(REF, Cause.POLLED, 0.0), FetchResult(REF, FetchOutcome.FOUND, 0.0, 0.0, BUILD)
    delay = after_fetch(state, look, fetched, Moment(0.0, 0.0), SETTINGS, rng).next.delay
    middle = min(15.0 * 1.6 ** polls, 300.0)
    assert middle * 0.85 <= delay <= middle * 1.15


# -- the engine's word, and what a grant brings


def test_what_the_engine_still_waits_for_is_polled():
    state, following = policy.after_report(
        LookState(0.0, last=ACTIVE), ReportOutcome(Verdict.ACCEPTED, wanted=(Condition.DELETED,), deadline=9.0),
        Moment(0.0, 0.0), SETTINGS, Middle())
    assert (state.wanted, state.deadline) == ((Condition.DELETED,), 9.0)
    assert following == NextLook(9.0 + polling.DEADLINE_MARGIN, Cause.POLLED)


def test_polling_ends_when_the_engine_waits_for_nothing():
    before = LookState(0.0, wanted=(Condition.ACTIVE,), last=BUILD)
    state, following = policy.after_report(before, ReportOutcome(Verdict.ACCEPTED), Moment(0.0, 0.0), SETTINGS,
                                           Middle())
    assert state.wanted == () and following is None


def gained(moved=True, **fields):
    return policy.first_look(ObservedRef(REF, 0.0, **fields), SETTINGS, Middle(), moved=moved)


def test_what_a_grant_brings():
    assert gained(last=ACTIVE) is None
    assert gained(last=ACTIVE, mark=3) == NextLook(0.0, Cause.TAKEOVER)
    assert gained(last=ACTIVE, mark=3, moved=False) == NextLook(0.0, Cause.MARKED)
    assert gained(moved=False) == NextLook(0.0, Cause.STARTED)
    assert gained(last=ACTIVE, wanted=(Condition.DELETED,)) == NextLook(2.5, Cause.TAKEOVER), "spread"
    assert gained(last=BUILD, moved=False) == NextLook(2.5, Cause.POLLED)


def test_a_new_state_knows_how_long_the_ref_was_observed_before():
    observed = ObservedRef(REF, 940.0, wanted=(Condition.ACTIVE,), deadline=2000.0)
    state = policy.new_state(observed, Moment(100.0, 1000.0))
    assert (state.known_since, state.wanted, state.deadline) == (40.0, (Condition.ACTIVE,), 2000.0)
    assert policy.new_state(observed, Moment(100.0, 900.0)).known_since == 100.0, "a clock that is behind"

"""How requests for a look at one ref become one entry, and when that is due."""
from __future__ import annotations

import pytest

from obsvc.model import Cause, Ref
from obsvc.observer.queue.entry import (
    ANNOUNCED_KEPT,
    NEWS,
    DueLook,
    Entry,
    Postponement,
    Priority,
    joined,
    more_telling,
    priority_of,
)

REF = Ref("R", "compute.server", "a")


@pytest.fixture
def entry():
    return Entry(Cause.POLLED, 100.0, Priority.LOW)


def place(entry, now=100.0, *, shows=None, under_way=False, gathered_until=150.0):
    entry.place_after_look(now, lambda _entry: gathered_until, shows, under_way=under_way)


def test_every_cause_has_a_priority_and_a_rank():
    assert all(priority_of(cause) in Priority and more_telling(cause, cause) is cause for cause in Cause)


def test_a_takeover_names_the_look_whoever_else_asked_for_it():
    assert all(more_telling(cause, Cause.TAKEOVER) is more_telling(Cause.TAKEOVER, cause) is Cause.TAKEOVER
               for cause in Cause)


def test_announcements_stand_once_each_at_their_newest_place_and_only_the_newest_are_kept():
    assert joined(("a", None, "b"), ("a",)) == (None, "b", "a")
    assert joined(("a",), ()) == ("a",)
    assert joined(tuple(map(str, range(20))), ("x",)) == (*map(str, range(20 - ANNOUNCED_KEPT + 1, 20)), "x")


def test_joined_by_another_request_it_has_the_most_telling_cause_and_the_higher_priority(entry):
    entry.join(Cause.POLLED, 100.0, Priority.LOW, (), no_change=False)
    assert not entry.news
    entry.join(Cause.NOTIFIED, 101.0, Priority.HIGH, ("ACTIVE",), no_change=True)
    entry.join(Cause.RESYNC, 102.0, Priority.LOW, (), no_change=False)
    assert (entry.cause, entry.priority, entry.adds, entry.announced) == (Cause.NOTIFIED, Priority.HIGH, 3, ("ACTIVE",))
    assert (entry.news, entry.news_at, entry.no_change) == (True, 101.0, True), "what is no news does not count"


@pytest.mark.parametrize("cause", sorted(NEWS))
def test_the_newest_of_the_news_says_whether_anything_changed(entry, cause):
    entry.join(Cause.NOTIFIED, 100.0, Priority.HIGH, (), no_change=True)
    entry.join(cause, 101.0, Priority.HIGH, (), no_change=False)
    assert not entry.no_change


def test_an_older_look_that_is_made_again_keeps_its_beginning_and_its_announcements(entry):
    entry.join(Cause.POLLED, 100.0, Priority.LOW, ("newer",), no_change=False)
    entry.join_older(DueLook(REF, Cause.NOTIFIED, 90.0, ("older",), adds=4, news=True, news_at=95.0, no_change=True),
                     Cause.RETRY)
    assert (entry.cause, entry.since, entry.priority, entry.adds) == (Cause.RETRY, 90.0, Priority.HIGH, 5)
    assert (entry.announced, entry.news, entry.news_at, entry.no_change) == (("older", "newer"), True, 95.0, True)


def test_without_a_due_time_it_is_due_at_once(entry):
    assert entry.due_at is None


def test_the_earliest_of_its_due_times_counts(entry):
    entry.gather_until(100.0, 130.0)
    assert entry.due_at == 130.0
    entry.poll_by(100.0, 120.0)
    assert entry.due_at == 120.0
    entry.no_later_than(140.0)
    entry.no_later_than(110.0)
    entry.no_later_than(115.0)
    assert entry.due_at == 110.0


def test_a_look_that_gathers_is_only_moved_on(entry):
    entry.gather_until(100.0, 110.0)
    entry.gather_until(101.0, 105.0)
    assert (entry.due_at, entry.gather_since) == (110.0, 100.0)
    entry.gather_until(102.0, 112.0)
    assert entry.due_at == 112.0


def test_a_poll_is_postponed_to_its_limit_and_never_brought_forward(entry):
    entry.poll_by(100.0, 120.0)
    entry.postpone_poll(101.0, Postponement(10.0, 60.0))
    assert entry.due_at == 120.0
    for now in (115.0, 135.0, 155.0, 175.0):
        entry.postpone_poll(now, Postponement(20.0, 60.0))
    assert entry.due_at == 160.0, "60 s after it began to wait"
    entry.poll_by(170.0, 130.0)
    assert entry.due_at == 130.0, "a poll asked for anew is earlier"


def test_a_notification_that_may_postpone_a_poll_becomes_one_where_none_waits(entry):
    entry.postpone_poll(100.0, Postponement(20.0, 60.0))
    assert entry.due_at == 120.0


# -- what came while the ref was processed


def test_an_urgent_state_that_the_look_has_not_shown_is_looked_for_at_once(entry):
    entry.urgent = ["ACTIVE", "SHUTOFF"]
    place(entry, shows=lambda state: state == "ACTIVE")
    assert entry.due_at == 100.0 and entry.urgent == []


def test_an_urgent_state_that_the_look_has_shown_waits_out_the_interval(entry):
    entry.urgent = ["ACTIVE"]
    place(entry, shows=lambda state: state == "ACTIVE")
    assert entry.due_at == 150.0


@pytest.mark.parametrize("shows", [None, lambda state: True])
def test_an_urgent_request_that_names_no_state_can_not_have_been_answered(entry, shows):
    entry.urgent = [None]
    place(entry, shows=shows)
    assert entry.due_at == 100.0


def test_what_waits_out_the_interval_gathers_from_the_newest_news_on(entry):
    entry.join(Cause.NOTIFIED, 99.0, Priority.HIGH, (), no_change=False)
    entry.after_quiet = True
    place(entry)
    assert (entry.due_at, entry.gather_since, entry.after_quiet) == (150.0, 99.0, False)


@pytest.mark.parametrize(("under_way", "due"), [(True, 120.0), (False, 150.0)])
def test_a_postponement_counts_only_where_the_look_showed_something_under_way(entry, under_way, due):
    entry.postponement = Postponement(20.0, 60.0, known=False)
    place(entry, under_way=under_way)
    assert entry.due_at == due and entry.postponement is None


def test_an_entry_without_any_note_is_due_when_the_look_ends(entry):
    place(entry)
    assert entry.due == 100.0

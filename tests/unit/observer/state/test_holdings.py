"""Held: what it says of a ref through loading, following, reports, hand-over and loss."""
import pytest

from obsvc.engine_client.ownership import PartitionChanges
from obsvc.engine_client.reports import ReportOutcome, Verdict
from obsvc.model import Condition
from obsvc.observer.state.holdings import Standing
from tests.support.observer_state import grant, held_with, make_held, observed, ref_in, snapshot

A, B = ref_in(3), ref_in(3, 1)


def test_a_ref_is_loading_until_its_list_is_complete():
    held = make_held()
    assert held.standing(A) is Standing.NOT_OWNED
    held.begin(grant(3))
    assert held.standing(A) is Standing.LOADING
    assert held.loading() == [(3, 1)] and held.known() == []
    held.load({3: 1}, [observed(A)])
    assert held.standing(A) is Standing.LOADING
    done = held.complete(3, 1, 7)
    assert [one.ref for one in done.applied.new] == [A] and done.first
    assert held.standing(A) is Standing.OBSERVED and held.standing(B) is Standing.NOT_OBSERVED
    assert held.known() == [(3, 1, 7)] and held.loading() == []


def test_what_was_notified_while_loading_comes_back_told_apart():
    held = make_held()
    held.begin(grant(3))
    assert held.note_dirty(A) and held.note_dirty(B)
    held.load({3: 1}, [observed(A)])
    done = held.complete(3, 1, 1)
    assert (done.dirty, done.dirty_unobserved) == ([A], [B])
    assert not held.note_dirty(A)


def test_pages_and_completion_of_an_older_generation_are_ignored():
    held = make_held()
    held.begin(grant(3, 1))
    held.begin(grant(3, 2))
    held.begin(grant(3, 1))
    held.load({3: 1}, [observed(A)])
    assert held.complete(3, 1, 1) is None
    assert held.complete(3, 2, 1).applied.new == []


def test_follow_brings_starts_stops_and_marks_in_order_of_version():
    held = held_with(A)
    change = PartitionChanges(3, 5, changed=(observed(B),), stopped=(A,))
    applied = held.apply(change, 1)
    assert [one.ref for one in applied.new] == [B] and applied.gone == [A]
    assert held.standing(A) is Standing.NOT_OBSERVED
    assert held.apply(PartitionChanges(3, 4, changed=(observed(A),)), 1).new == []
    assert held.apply(PartitionChanges(3, 9, changed=(observed(A),)), 2).new == []
    assert [one.mark for one in held.apply(PartitionChanges(3, 6, changed=(observed(B, mark=4),)), 1).marked] == [4]
    assert held.known() == [(3, 1, 6)]


def test_a_reload_keeps_what_is_known_and_drops_what_is_gone():
    held = held_with(A, B)
    held.update_look(A, lambda look: look + "!")
    held.apply(PartitionChanges(3, 9, reload=True), 1)
    assert held.standing(A) is Standing.LOADING and held.loading() == [(3, 1)]
    held.load({3: 1}, [observed(A)])
    done = held.complete(3, 1, 9)
    assert done.applied.gone == [B] and done.applied.new == [] and not done.first
    assert held.task(A).look == "fresh!"


@pytest.mark.parametrize("verdict", [Verdict.ACCEPTED, Verdict.UNCHANGED])
def test_a_report_ends_the_wish_and_clears_the_mark_that_it_named(verdict):
    held = held_with(A)
    held.marked(A, 5)
    task = held.task(A)
    held.marked(A, 6)
    after = held.reported(task, ReportOutcome(verdict), snapshot())
    assert after.remark and after.observed.mark == 6 and after.observed.wanted == ()
    assert after.observed.last.attributes == {}
    after = held.reported(held.task(A), ReportOutcome(verdict), snapshot())
    assert not after.remark and after.observed.mark is None


def test_a_cleared_mark_that_follow_brings_late_is_not_taken_again():
    held = held_with(A)
    held.marked(A, 5)
    held.reported(held.task(A), ReportOutcome(Verdict.UNCHANGED), snapshot())
    applied = held.apply(PartitionChanges(3, 5, changed=(observed(A, mark=5, wanted=()),)), 1)
    assert applied.marked == [] and held.task(A).observed.mark is None


def test_an_observation_started_during_the_fetch_is_not_ended_by_its_report():
    held = held_with(A)
    held.reported(held.task(A), ReportOutcome(Verdict.ACCEPTED), snapshot())
    task = held.task(A)
    held.apply(PartitionChanges(3, 5, changed=(observed(A, wanted=(Condition.DELETED,)),)), 1)
    after = held.reported(task, ReportOutcome(Verdict.UNCHANGED), snapshot())
    assert after.fresher and after.observed.wanted == (Condition.DELETED,)


def test_not_observed_drops_the_ref_unless_it_was_started_again_meanwhile():
    held = held_with(A, B)
    assert held.reported(held.task(A), ReportOutcome(Verdict.NOT_OBSERVED), snapshot()) is None
    assert held.standing(A) is Standing.NOT_OBSERVED
    task = held.task(B)
    held.apply(PartitionChanges(3, 5, changed=(observed(B, started_at=9.0),)), 1)
    assert held.reported(task, ReportOutcome(Verdict.NOT_OBSERVED), snapshot()).remark
    assert held.standing(B) is Standing.OBSERVED


def test_a_report_of_an_older_generation_changes_nothing():
    held = held_with(A)
    task = held.task(A)
    held.begin(grant(3, 2))
    held.load({3: 2}, [observed(A)])
    held.complete(3, 2, 1)
    assert held.reported(task, ReportOutcome(Verdict.ACCEPTED), snapshot()) is None
    assert held.task(A).observed.wanted == (Condition.ACTIVE,)


def test_while_handed_over_no_work_is_begun_and_what_is_owed_is_named_at_the_drop():
    held = held_with(A, B)
    held.owe(A)
    assert held.hand_over(3) == 1
    assert held.standing(A) is Standing.HANDING_OVER and held.task(A) is None and held.known() == []
    assert held.owing(3) == [A]
    assert held.drop(3, 2) == ([], [])
    refs, owing = held.drop(3, 1)
    assert set(refs) == {A, B} and owing == [A]
    assert held.standing(A) is Standing.NOT_OWNED and held.refs() == []


def test_a_look_is_owed_of_what_is_observed_also_while_it_is_handed_over():
    held = held_with(A)
    assert held.owe(A) == "fresh" and held.owe(B) is None
    held.paid(held.task(A))
    assert not held.owes(A)
    held.hand_over(3)
    assert held.owe(A) == "fresh"
    assert held.owes(A) and not held.owes(B)


def test_the_dirty_refs_of_a_lost_partition_are_owed():
    held = make_held()
    held.begin(grant(3))
    held.note_dirty(A)
    assert held.drop(3) == ([A], [A])


def test_a_look_pays_only_what_was_owed_when_it_began():
    held = held_with(A)
    held.owe(A)
    task = held.task(A)
    held.owe(A)
    held.paid(task)
    assert held.owes(A)
    held.paid(held.task(A))
    assert not held.owes(A)


def test_a_wider_goal_renews_the_look_state_and_a_narrower_one_makes_no_look_due():
    held = held_with(A)
    wider = observed(A, wanted=(Condition.ACTIVE, Condition.DELETED))
    assert held.apply(PartitionChanges(3, 5, changed=(wider,)), 1).wider == [wider]
    assert held.task(A).look == "renewed"
    applied = held.apply(PartitionChanges(3, 6, changed=(observed(A),)), 1)
    assert applied.wider == [] and applied.marked == []

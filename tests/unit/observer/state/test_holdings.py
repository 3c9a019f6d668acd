"""Holdings: what it says of a ref through loading, following, reports, hand-over and loss."""
import pytest

from obsvc.engine_client.ownership import PartitionChanges
from obsvc.engine_client.reports import ReportOutcome, Verdict
from obsvc.model import Condition
from obsvc.observer.state.values import RefStatus
from tests.support.observer_state import grant, holdings_with, make_holdings, observed, ref_in, snapshot

A, B = ref_in(3), ref_in(3, 1)


def test_a_ref_is_loading_until_its_list_is_complete():
    holdings = make_holdings()
    assert holdings.ref_status(A) is RefStatus.NOT_OWNED
    holdings.begin(grant(3))
    assert holdings.ref_status(A) is RefStatus.LOADING
    assert holdings.loading() == [(3, 1)] and holdings.to_follow() == []
    holdings.load({3: 1}, [observed(A)])
    assert holdings.ref_status(A) is RefStatus.LOADING
    done = holdings.complete(3, 1, 7)
    assert [one.ref for one in done.applied.new] == [A] and done.first
    assert holdings.ref_status(A) is RefStatus.OBSERVED and holdings.ref_status(B) is RefStatus.NOT_OBSERVED
    assert holdings.to_follow() == [(3, 1, 7)] and holdings.loading() == []


def test_what_was_notified_while_loading_comes_back_told_apart():
    holdings = make_holdings()
    holdings.begin(grant(3))
    assert holdings.note_dirty(A) and holdings.note_dirty(B)
    holdings.load({3: 1}, [observed(A)])
    done = holdings.complete(3, 1, 1)
    assert (done.dirty, done.dirty_unobserved) == ([A], [B])
    assert not holdings.note_dirty(A)


def test_pages_and_completion_of_an_older_generation_are_ignored():
    holdings = make_holdings()
    holdings.begin(grant(3, 1))
    holdings.begin(grant(3, 2))
    holdings.begin(grant(3, 1))
    holdings.load({3: 1}, [observed(A)])
    assert holdings.complete(3, 1, 1) is None
    assert holdings.complete(3, 2, 1).applied.new == []


def test_follow_brings_starts_stops_and_marks_in_order_of_version():
    holdings = holdings_with(A)
    change = PartitionChanges(3, 5, changed=(observed(B),), stopped=(A,))
    applied = holdings.apply(change, 1)
    assert [one.ref for one in applied.new] == [B] and applied.gone == [A]
    assert holdings.ref_status(A) is RefStatus.NOT_OBSERVED
    assert holdings.apply(PartitionChanges(3, 4, changed=(observed(A),)), 1).new == []
    assert holdings.apply(PartitionChanges(3, 9, changed=(observed(A),)), 2).new == []
    assert [one.mark for one in holdings.apply(PartitionChanges(3, 6, changed=(observed(B, mark=4),)), 1).marked] == [4]
    assert holdings.to_follow() == [(3, 1, 6)]


def test_a_reload_keeps_what_is_known_and_drops_what_is_gone():
    holdings = holdings_with(A, B)
    holdings.update_look(A, lambda look: (look + "!", None))
    holdings.apply(PartitionChanges(3, 9, reload=True), 1)
    assert holdings.ref_status(A) is RefStatus.LOADING and holdings.loading() == [(3, 1)]
    holdings.load({3: 1}, [observed(A)])
    done = holdings.complete(3, 1, 9)
    assert done.applied.gone == [B] and done.applied.new == [] and not done.first
    assert holdings.task(A).look == "fresh!"


@pytest.mark.parametrize("verdict", [Verdict.ACCEPTED, Verdict.UNCHANGED])
def test_a_report_ends_the_wish_and_clears_the_mark_that_it_named(verdict):
    holdings = holdings_with(A)
    holdings.marked(A, 5)
    task = holdings.task(A)
    holdings.marked(A, 6)
    after = holdings.reported(task, ReportOutcome(verdict), snapshot())
    assert after.newer_mark and after.observed.mark == 6 and after.observed.wanted == ()
    assert after.observed.last.attributes == {}
    after = holdings.reported(holdings.task(A), ReportOutcome(verdict), snapshot())
    assert not after.newer_mark and after.observed.mark is None


def test_a_cleared_mark_that_follow_brings_late_is_not_taken_again():
    holdings = holdings_with(A)
    holdings.marked(A, 5)
    holdings.reported(holdings.task(A), ReportOutcome(Verdict.UNCHANGED), snapshot())
    applied = holdings.apply(PartitionChanges(3, 5, changed=(observed(A, mark=5, wanted=()),)), 1)
    assert applied.marked == [] and holdings.task(A).observed.mark is None


def test_an_observation_started_during_the_fetch_is_not_ended_by_its_report():
    holdings = holdings_with(A)
    holdings.reported(holdings.task(A), ReportOutcome(Verdict.ACCEPTED), snapshot())
    task = holdings.task(A)
    holdings.apply(PartitionChanges(3, 5, changed=(observed(A, wanted=(Condition.DELETED,)),)), 1)
    after = holdings.reported(task, ReportOutcome(Verdict.UNCHANGED), snapshot())
    assert after.observations_changed and after.observed.wanted == (Condition.DELETED,)


def test_not_observed_drops_the_ref_unless_it_was_started_again_meanwhile():
    holdings = holdings_with(A, B)
    assert holdings.reported(holdings.task(A), ReportOutcome(Verdict.NOT_OBSERVED), snapshot()) is None
    assert holdings.ref_status(A) is RefStatus.NOT_OBSERVED
    task = holdings.task(B)
    holdings.apply(PartitionChanges(3, 5, changed=(observed(B, started_at=9.0),)), 1)
    assert holdings.reported(task, ReportOutcome(Verdict.NOT_OBSERVED), snapshot()).newer_mark
    assert holdings.ref_status(B) is RefStatus.OBSERVED


def test_a_report_of_an_older_generation_changes_nothing():
    holdings = holdings_with(A)
    task = holdings.task(A)
    holdings.begin(grant(3, 2))
    holdings.load({3: 2}, [observed(A)])
    holdings.complete(3, 2, 1)
    assert holdings.reported(task, ReportOutcome(Verdict.ACCEPTED), snapshot()) is None
    assert holdings.task(A).observed.wanted == (Condition.ACTIVE,)


def test_while_handed_over_no_work_is_begun_and_what_is_owed_is_named_at_the_drop():
    holdings = holdings_with(A, B)
    holdings.request_look(A)
    assert holdings.hand_over(3) == 1
    assert holdings.ref_status(A) is RefStatus.HANDING_OVER and holdings.task(A) is None and holdings.to_follow() == []
    assert holdings.awaiting_look(3) == [A]
    assert holdings.drop(3, 2) == ([], [])
    refs, awaiting = holdings.drop(3, 1)
    assert set(refs) == {A, B} and awaiting == [A]
    assert holdings.ref_status(A) is RefStatus.NOT_OWNED and holdings.refs() == []


def test_a_look_is_owed_of_what_is_observed_also_while_it_is_handed_over():
    holdings = holdings_with(A)
    assert holdings.request_look(A) == "fresh" and holdings.request_look(B) is None
    holdings.requests_answered(holdings.task(A))
    assert not holdings.awaits_look(A)
    holdings.hand_over(3)
    assert holdings.request_look(A) == "fresh"
    assert holdings.awaits_look(A) and not holdings.awaits_look(B)


def test_the_dirty_refs_of_a_lost_partition_are_owed():
    holdings = make_holdings()
    holdings.begin(grant(3))
    holdings.note_dirty(A)
    assert holdings.drop(3) == ([A], [A])


def test_a_look_pays_only_what_was_owed_when_it_began():
    holdings = holdings_with(A)
    holdings.request_look(A)
    task = holdings.task(A)
    holdings.request_look(A)
    holdings.requests_answered(task)
    assert holdings.awaits_look(A)
    holdings.requests_answered(holdings.task(A))
    assert not holdings.awaits_look(A)


def test_a_wider_goal_renews_the_look_state_and_a_narrower_one_makes_no_look_due():
    holdings = holdings_with(A)
    wider = observed(A, wanted=(Condition.ACTIVE, Condition.DELETED))
    assert holdings.apply(PartitionChanges(3, 5, changed=(wider,)), 1).widened == [wider]
    assert holdings.task(A).look == "renewed"
    applied = holdings.apply(PartitionChanges(3, 6, changed=(observed(A),)), 1)
    assert applied.widened == [] and applied.marked == []

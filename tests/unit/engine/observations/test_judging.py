"""Every verdict, and how deltas stand to goals: pure decisions."""
from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from obsvc.engine.observations.judging import Judgement, Known, Watch, differences, failed, gone, judge, satisfies
from obsvc.engine_client.observations import GoalProgress, ObservationStatus
from obsvc.engine_client.reports import Report, Verdict
from obsvc.model import Cause, Condition, Ref, Snapshot

REF = Ref("RegionOne", "compute.server", "one")


def snapshot(condition: Condition = Condition.ACTIVE, **fields) -> Snapshot:
    return Snapshot(**{"exists": condition is not Condition.DELETED, "condition": condition, **fields})


def report(seen: Snapshot, *, generation: int = 1, sequence: int = 5, mark: int | None = None) -> Report:
    return Report(REF, 0, generation, sequence, seen, Cause.NOTIFIED, mark)


def known(seen: Snapshot | None = None, *, generation: int = 1, sequence: int = 4, looked: int = 1) -> Known:
    return Known(generation, sequence, seen, Verdict.ACCEPTED, 9, looked)


def watch(goal: Condition | None = Condition.ACTIVE, status=ObservationStatus.WAITING, *, start_mark: int = 1) -> Watch:
    return Watch("o", goal, ObservationStatus.WATCHING if goal is None else status, start_mark)


def decide(one: Report, before: Known | None, *watches: Watch, granted: bool = True) -> Judgement:
    return judge(one, before, watches, granted=granted, member="m@1")


def test_a_report_without_the_grant_is_stale_whatever_else_holds():
    assert decide(report(snapshot()), None, granted=False).verdict is Verdict.STALE_GENERATION
    assert decide(report(snapshot()), known(), watch(), granted=False).verdict is Verdict.STALE_GENERATION


def test_nobody_observes_it():
    assert decide(report(snapshot()), None).verdict is Verdict.NOT_OBSERVED


@pytest.mark.parametrize(("generation", "sequence"), [(1, 3), (1, 1)])
def test_an_older_look_is_superseded(generation, sequence):
    judgement = decide(report(snapshot(), generation=generation, sequence=sequence), known(snapshot()))
    assert judgement.verdict is Verdict.SUPERSEDED and judgement.draft is None


def test_a_lower_sequence_under_a_newer_generation_is_newer():
    judgement = decide(report(snapshot(status="B"), generation=2, sequence=1), known(snapshot(status="A")))
    assert judgement.verdict is Verdict.ACCEPTED


@pytest.mark.parametrize("verdict", [Verdict.ACCEPTED, Verdict.UNCHANGED])
def test_an_equal_report_gets_the_same_verdict_and_no_second_delta(verdict):
    before = msgspec.structs.replace(known(snapshot(status="A")), verdict=verdict)
    judgement = decide(report(snapshot(status="B"), sequence=4), before, watch())
    assert judgement == Judgement(verdict, repeated=True)


def test_the_first_report_is_accepted():
    judgement = decide(report(snapshot(attributes={"b": 1, "a": 2})), known(None, sequence=0))
    assert judgement.verdict is Verdict.ACCEPTED
    assert judgement.draft is not None and judgement.draft.before is None and judgement.draft.changed == ("a", "b")


@pytest.mark.parametrize("fields", [{"fetched_at": 9.0}, {"request_id": "req-2"}, {"updated_at": "now"}])
def test_what_does_not_count_makes_no_delta(fields):
    assert decide(report(snapshot(**fields)), known(snapshot()), watch(None)).verdict is Verdict.UNCHANGED


@pytest.mark.parametrize(
    "fields", [{"status": "X"}, {"settled": False}, {"name": "n"}, {"project_id": "p"}, {"attributes": {"a": 1}}]
)
def test_what_counts_makes_one(fields):
    assert decide(report(snapshot(**fields)), known(snapshot()), watch(None)).verdict is Verdict.ACCEPTED


def test_a_goal_is_met_only_by_a_look_that_began_after_its_start():
    """The guard against an update or a re-start that is answered by a fetch already under way."""
    waits = watch(start_mark=7)
    before = known(snapshot(), looked=3)
    old_news = decide(report(snapshot(), mark=6), before, waits)
    assert old_news.verdict is Verdict.UNCHANGED
    fresh = decide(report(snapshot(), mark=7), before, waits)
    assert fresh.verdict is Verdict.ACCEPTED
    assert fresh.draft is not None and fresh.draft.standing is GoalProgress.MET
    assert fresh.draft.observations[0].after_status is ObservationStatus.MET
    later = decide(report(snapshot()), msgspec.structs.replace(before, looked=7), waits)
    assert later.draft is not None and later.draft.standing is GoalProgress.MET


def test_an_error_that_was_there_before_fails_a_goal_once():
    waits = watch(start_mark=7)
    error = snapshot(Condition.ERROR)
    first = decide(report(error, mark=7), known(error, looked=3), waits)
    assert first.draft is not None and first.draft.standing is GoalProgress.FAILED
    assert decide(report(error, mark=8), known(error, looked=7), waits).verdict is Verdict.UNCHANGED


@pytest.mark.parametrize(
    ("before", "after", "goal", "status", "standing"),
    [
        (Condition.PENDING, Condition.ACTIVE, None, ObservationStatus.WATCHING, GoalProgress.NONE),
        (Condition.UNKNOWN, Condition.PENDING, Condition.ACTIVE, ObservationStatus.WAITING, GoalProgress.TOWARDS),
        (Condition.PENDING, Condition.ACTIVE, Condition.ACTIVE, ObservationStatus.WAITING, GoalProgress.MET),
        (Condition.PENDING, Condition.ERROR, Condition.ACTIVE, ObservationStatus.WAITING, GoalProgress.FAILED),
        (Condition.PENDING, Condition.DELETED, Condition.ACTIVE, ObservationStatus.WAITING, GoalProgress.FAILED),
        (Condition.ACTIVE, Condition.DELETED, Condition.ACTIVE, ObservationStatus.MET, GoalProgress.DRIFT),
        (Condition.ERROR, Condition.ACTIVE, Condition.ACTIVE, ObservationStatus.MET, GoalProgress.MET),
        (Condition.ACTIVE, Condition.DELETED, Condition.DELETED, ObservationStatus.WAITING, GoalProgress.MET),
        (Condition.ACTIVE, Condition.ERROR, Condition.DELETED, ObservationStatus.WAITING, GoalProgress.FAILED),
        (Condition.PENDING, Condition.ACTIVE, Condition.ACTIVE, ObservationStatus.EXPIRED, GoalProgress.NONE),
    ],
)
def test_standings(before, after, goal, status, standing):
    one = msgspec.structs.replace(watch(goal), status=status)
    judgement = decide(report(snapshot(after)), known(snapshot(before)), one)
    assert judgement.draft is not None and judgement.draft.standing is standing


def test_the_weightiest_standing_names_the_delta():
    judgement = decide(
        report(snapshot(Condition.ERROR)), known(snapshot(Condition.PENDING)), watch(None), watch(), watch(None)
    )
    assert judgement.draft is not None and judgement.draft.standing is GoalProgress.FAILED


def test_active_with_something_under_way_is_not_there_yet():
    assert not satisfies(snapshot(settled=False), Condition.ACTIVE)
    assert satisfies(snapshot(settled=True), Condition.ACTIVE)


def test_what_is_gone_keeps_its_project():
    judgement = decide(report(snapshot(Condition.DELETED)), known(snapshot(project_id="p")))
    assert judgement.draft is not None and judgement.draft.project_id == "p"


snapshots = st.builds(
    Snapshot, exists=st.booleans(), condition=st.sampled_from(list(Condition)), status=st.sampled_from("AB"),
    settled=st.booleans(), attributes=st.dictionaries(st.sampled_from("ab"), st.integers(0, 1)),
)
watches = st.builds(
    Watch, observation_id=st.just("o"), goal=st.sampled_from([None, Condition.ACTIVE, Condition.DELETED]),
    status=st.sampled_from(list(ObservationStatus)), start_mark=st.integers(1, 4),
)
marks = st.none() | st.integers(0, 5)


@given(snapshots)
def test_nothing_differs_from_itself(one):
    differs, changed = differences(one, msgspec.structs.replace(one, fetched_at=5.0))
    assert (differs, changed) == (False, ())


@given(snapshots, st.sampled_from(list(Condition)))
def test_no_goal_is_both_met_and_failed(one, goal):
    assert not (satisfies(one, goal) and failed(one, goal))
    assert not gone(one) or goal is Condition.DELETED or failed(one, goal)


@given(st.none() | snapshots, snapshots, st.lists(watches, max_size=3), marks, st.integers(0, 5), st.integers(0, 9))
def test_a_draft_stands_with_accepted_and_only_with_it(before, after, some, mark, looked, sequence):
    judgement = decide(report(after, sequence=sequence, mark=mark), known(before, looked=looked), *some)
    assert (judgement.draft is not None) == (judgement.verdict is Verdict.ACCEPTED and not judgement.repeated)
    if judgement.draft is None:
        return
    for one, touched in zip(some, judgement.draft.observations, strict=True):
        if touched.after_status is not one.status:
            assert one.status is ObservationStatus.WAITING and touched.after_status is ObservationStatus.MET
            assert one.goal is not None and satisfies(after, one.goal)
            assert max(looked, mark or 0) >= one.start_mark


@given(snapshots, snapshots, st.lists(watches, max_size=2), marks)
def test_the_same_news_twice_makes_one_delta(before, after, some, mark):
    """After a report was written, another look that saw the same changes nothing more."""
    first = decide(report(after, mark=mark), known(before, looked=0), *some)
    now = Known(1, 5, after, first.verdict, 1, max(0, mark or 0))
    if first.draft is not None:
        statuses = [touched.after_status for touched in first.draft.observations]
        some = [msgspec.structs.replace(one, status=status) for one, status in zip(some, statuses, strict=True)]
    second = decide(report(after, sequence=6, mark=mark), now, *some)
    assert second.verdict is Verdict.UNCHANGED

"""A member's life as a table: from which stage what leads where, and what is done in each."""
import msgspec
import pytest

from obsvc.engine_client.ownership import ASK_STANDS, MemberState
from obsvc.partitioning.lifecycle import ASKER_BEATS, SOON, Situation, Stage, after_beat, after_step, decide

NOW = 1000.0
#: In the group by a view of just now, with an assignment and nothing to wait for.
WELL = Situation(now=NOW, lease=10.0, beat_interval=2.0, view_seen_at=NOW - 1, in_view=True, has_assignment=True)
LEAVING = (Stage.DRAINING, Stage.DRAINED, Stage.ENDING, Stage.LEFT)


@pytest.mark.parametrize(("stage", "drained", "undrained"), [
    (Stage.STARTING, Stage.DRAINED, Stage.JOINING),
    (Stage.JOINING, Stage.DRAINED, Stage.JOINING),
    (Stage.ACTIVE, Stage.DRAINING, Stage.ACTIVE),
    (Stage.DRAINING, Stage.DRAINING, Stage.ACTIVE),
    (Stage.DRAINED, Stage.DRAINED, Stage.JOINING),
    (Stage.ENDING, Stage.ENDING, Stage.ENDING),
    (Stage.LEFT, Stage.LEFT, Stage.LEFT),
])
def test_what_follows_a_beat(stage, drained, undrained):
    assert (after_beat(stage, drained=True), after_beat(stage, drained=False)) == (drained, undrained)


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("ready", [True, False])
@pytest.mark.parametrize("acknowledged", [None, *MemberState])
def test_what_follows_by_itself(stage, ready, acknowledged):
    after = after_step(stage, ready=ready, acknowledged=acknowledged)
    if stage is Stage.JOINING and ready:
        assert after is Stage.ACTIVE
    elif stage is Stage.DRAINING and acknowledged is MemberState.DRAINING:
        assert after is Stage.DRAINED
    else:
        assert after is stage


def test_every_stage_has_a_state_that_is_told():
    assert {stage: stage.member_state for stage in Stage} == {
        Stage.STARTING: "joining", Stage.JOINING: "joining", Stage.ACTIVE: "active", Stage.DRAINING: "draining",
        Stage.DRAINED: "draining", Stage.ENDING: "draining", Stage.LEFT: "left",
    }
    assert tuple(stage for stage in Stage if stage.leaving) == LEAVING


@pytest.mark.parametrize("stage", Stage)
def test_only_an_active_member_claims(stage):
    assert decide(stage, WELL).claim is (stage is Stage.ACTIVE)


@pytest.mark.parametrize("lack", [
    {"view_seen_at": NOW - 11}, {"view_seen_at": float("-inf")}, {"in_view": False}, {"claim_unknown": True},
    {"claim_at": NOW + 0.1},
])
def test_nothing_is_claimed_while_anything_lacks(lack):
    assert decide(Stage.ACTIVE, msgspec.structs.replace(WELL, **lack)).claim is False


@pytest.mark.parametrize("stage", Stage)
def test_a_lost_claim_is_sent_again_as_long_as_the_world_is_the_same(stage):
    old = msgspec.structs.replace(WELL, view_seen_at=NOW - 11)
    assert decide(stage, WELL).resend_claim is (stage not in LEAVING) and decide(stage, old).resend_claim is False


@pytest.mark.parametrize("stage", Stage)
def test_everything_is_handed_over_at_the_end_alone(stage):
    assert decide(stage, WELL).hand_over_everything is (stage is Stage.ENDING)


@pytest.mark.parametrize("stage", Stage)
def test_who_leaves_gives_what_was_asked_for_since(stage):
    decision = decide(stage, msgspec.structs.replace(WELL, leaving_since=NOW - 3))
    assert decision.judge_by_assignment is (stage not in LEAVING)
    assert decision.asked_after == (NOW - 3 if stage in LEAVING else float("-inf"))


def test_with_an_old_view_an_ask_counts_only_once_nobody_elses_can_be_as_old():
    old = msgspec.structs.replace(WELL, view_seen_at=NOW - 20)
    decision = decide(Stage.ACTIVE, old)
    assert decision.judge_by_assignment is False
    assert decision.asked_after == NOW - 20 + 10.0 + ASKER_BEATS * 2.0 + ASK_STANDS


def test_without_an_assignment_asks_are_not_judged_by_it():
    decision = decide(Stage.JOINING, msgspec.structs.replace(WELL, has_assignment=False))
    assert decision.judge_by_assignment is False and decision.asked_after > NOW


@pytest.mark.parametrize(("stage", "changes", "seconds"), [
    (Stage.ACTIVE, {}, 2.0),
    (Stage.ACTIVE, {"claim_at": NOW + 0.5}, 0.5),
    (Stage.ACTIVE, {"claim_at": NOW - 5}, 2.0),
    (Stage.ACTIVE, {"view_due_at": NOW + 0.25}, 0.25),
    (Stage.ACTIVE, {"view_due_at": NOW - 1}, 0.01),
    (Stage.JOINING, {}, SOON),
    (Stage.STARTING, {}, SOON),
    (Stage.DRAINED, {"beat_interval": 0.1}, 0.1),
    (Stage.ENDING, {}, 2.0),
])
def test_when_to_look_again(stage, changes, seconds):
    assert decide(stage, msgspec.structs.replace(WELL, **changes)).again_in == pytest.approx(seconds)

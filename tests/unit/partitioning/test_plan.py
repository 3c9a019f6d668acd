"""Which view is acted on, what is claimed and handed over, and the table of grants: pure, in virtual time."""
from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from obsvc.engine_client.ownership import ClaimReason, PartitionClaim
from obsvc.model import MemberId
from obsvc.partitioning.grants import Grants
from obsvc.partitioning.plan import claims, missing, reason_for, to_hand_over
from obsvc.partitioning.views import ViewState

A, A2, B = MemberId("a", "1"), MemberId("a", "2"), MemberId("b", "1")
BEAT = 2.0
NAMES = ("a", "b", "c", "d")


def acted(*names: str) -> ViewState:
    state = ViewState("a", BEAT).saw(tuple(sorted({*names, "a"})), -100.0)
    return state.settled(0.0)


def test_the_first_view_is_acted_on_once_it_settled():
    state = ViewState("a", BEAT).saw(("a", "b"), 10.0)
    assert state.settled(10.4).acted is None
    assert state.settled(10.5).acted == ("a", "b")


def test_a_burst_is_one_change():
    state = acted("b")
    for now, names in [(1.0, ("a", "b", "c")), (1.3, ("a", "b", "c", "d")), (1.6, ("a", "b", "c", "d", "e"))]:
        state = state.saw(names, now).settled(now)
        assert state.acted == ("a", "b")
    assert state.settled(2.0).acted == ("a", "b")
    assert state.settled(2.1).acted == ("a", "b", "c", "d", "e")


def test_a_burst_without_end_is_acted_on_after_two_beats():
    state = acted("b")
    now = 1.0
    while state.acted == ("a", "b"):
        names = ("a", "b", "c") if int(now * 10) % 2 else ("a", "b", "c", "d")
        state = state.saw(names, now).settled(now)
        now += 0.1
        assert now < 6.0
    assert now > 1.0 + 2 * BEAT


def test_a_view_without_ourselves_must_stand_two_beats():
    state = acted("b").saw(("b",), 1.0)
    assert state.doubtful
    assert state.settled(4.9).acted == ("a", "b")
    assert state.settled(5.0).acted == ("b",)


def test_a_view_that_lost_more_than_one_at_once_must_stand_two_beats():
    state = acted("b", "c").saw(("a",), 1.0)
    assert state.settled(4.9).acted == ("a", "b", "c")
    assert state.saw(("a", "b", "c"), 4.9).settled(9.0).acted == ("a", "b", "c")
    assert state.settled(5.0).acted == ("a",)


def test_one_loss_is_believed_unless_the_connection_was_disturbed():
    assert acted("b", "c").saw(("a", "c"), 1.0).settled(1.5).acted == ("a", "c")
    disturbed = acted("b", "c").saw(("a", "c"), 1.0, disturbed=True)
    assert disturbed.settled(4.9).acted == ("a", "b", "c")
    assert disturbed.settled(5.0).acted == ("a", "c")


@given(st.lists(st.tuples(st.floats(0.01, 5), st.sets(st.sampled_from(NAMES)), st.booleans()), max_size=30))
def test_a_doubtful_view_is_never_acted_on_before_it_stood_two_beats(history):
    state, now, since, last = acted("b", "c"), 1.0, None, None
    for pause, names, disturbed in history:
        now += pause
        seen = tuple(sorted(names))
        if seen != last:
            since, last = now, seen
        before = state.acted
        state = state.saw(seen, now, disturbed=disturbed).settled(now)
        lost = set(before) - set(seen)
        if state.acted != before and ("a" not in names or len(lost) > 1):
            assert now >= since + 2 * BEAT - 1e-9  # floats
        assert state.acted in (before, seen)


def test_the_reason_names_what_became_of_the_owner():
    alive = {"a", "b"}
    assert reason_for(A, None, alive) is ClaimReason.VACANT
    assert reason_for(A, A, alive) is ClaimReason.VACANT
    assert reason_for(A, B, alive) is ClaimReason.PLANNED
    assert reason_for(A, B, {"a"}) is ClaimReason.VANISHED
    assert reason_for(A2, A, alive) is ClaimReason.VANISHED


def test_what_is_assigned_and_not_available_is_not_claimed():
    assert missing("a", ("a", "b", "a", "a"), {2: 5}.keys()) == (0, 3)


def test_nothing_is_taken_from_another_incarnation_of_our_name_before_we_are_ready():
    owners = {0: A, 1: B, 2: None}
    assert claims(A2, [2, 0, 1], owners, {"a", "b"}, ready=False) == (
        PartitionClaim(1, ClaimReason.PLANNED), PartitionClaim(2, ClaimReason.VACANT),
    )
    assert claims(A2, [0], owners, {"a", "b"}, ready=True) == (PartitionClaim(0, ClaimReason.VANISHED),)


def test_what_our_own_view_assigns_to_us_is_kept_though_another_asks():
    held = {0: 1, 1: 1, 2: 1}
    assert to_hand_over("a", [2, 1, 0, 7], held, ("a", "b", "b")) == (1, 2)
    assert to_hand_over("a", [0, 1], held, None) == (0, 1)


def test_a_grant_ends_only_under_its_own_generation():
    grants = Grants()
    assert grants.grant(3, 7) is None
    assert not grants.drop(3, 6) and not grants.begin_release(3, 8)
    assert grants.held() == {3: 7}
    assert grants.begin_release(3, 7)
    assert not grants.drop(3, 7)
    assert grants.releasing() == ((3, 7),) and not grants.idle()
    grants.end_release([3])
    assert grants.idle()


def test_what_was_lost_rests_until_a_view_read_after_the_rest():
    grants = Grants()
    grants.grant(3, 7)
    assert grants.drop(3, 7, rest_until=10.0)
    assert 3 in grants.unavailable(9.0, 9.0)
    assert 3 in grants.unavailable(11.0, 9.9)
    assert 3 not in grants.unavailable(11.0, 10.5)


def test_an_unknown_grant_is_an_orphan_only_the_second_time():
    grants = Grants()
    grants.grant(1, 1)
    assert grants.orphans([(1, 1), (2, 5)]) == []
    assert grants.orphans([(1, 1), (2, 6)]) == []
    assert grants.orphans([(1, 1), (2, 6)]) == [(2, 6)]


def test_a_view_without_one_who_is_at_work_stands_for_a_lease():
    state = msgspec.structs.replace(acted("b", "c"), patience=10.0).saw(("a", "c"), 100.0)
    assert state.lost == {"b"}
    state = state.settled(100.5, at_work={"b"})
    assert state.acted == ("a", "b", "c") and not state.is_due(101.4) and state.is_due(101.5), "asked again"
    assert state.settled(102.0, at_work={"c"}).acted == ("a", "c"), "silent by now"
    assert state.settled(110.0, at_work={"b"}).acted == ("a", "c"), "at work, but out of the group for good"

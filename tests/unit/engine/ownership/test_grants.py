"""Claims, releases and beats: every rule of the contract."""
from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from obsvc.engine.ownership.grants import ClaimedPartition, Decision, decide
from obsvc.engine.service import EngineService
from obsvc.engine.settings import EngineSettings
from obsvc.engine_client.contract import CONTRACT_VERSION, Empty
from obsvc.engine_client.observations import PartitionsRequest
from obsvc.engine_client.ownership import (
    Beat,
    ClaimReason,
    ClaimRequest,
    FollowRequest,
    MemberState,
    PartitionClaim,
    ReleaseRequest,
)
from obsvc.exceptions import IncompatibleContract, InvalidInput
from obsvc.model import MemberId
from obsvc.process.clock import ManualClock
from tests.support.engine_store import new_store
from tests.support.examples import examples

A, A2, B, C = MemberId("a", "1"), MemberId("a", "2"), MemberId("b", "1"), MemberId("c", "1")
SETTINGS = EngineSettings(member_timeout=10.0, drain_timeout=30.0)


class Engine:
    """A service in virtual time."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.service = EngineService(new_store(clock=self.clock, settings=SETTINGS))

    def beat(self, member: MemberId, **fields):
        said = {"state": MemberState.ACTIVE, "started_at": 0.0, "partitions": 8, **fields}
        return self.service.beat(Beat(member=member, contract_version=CONTRACT_VERSION, **said))

    def claim(self, member: MemberId, claim_id: str, reason=ClaimReason.PLANNED, *, partitions=(3,)):
        claims = tuple(PartitionClaim(number, reason) for number in partitions)
        return self.service.claim(ClaimRequest(member, claim_id, claims))

    def grant(self, *args, **kwargs):
        (grant,) = self.claim(*args, **kwargs).grants
        return grant

    def record(self, number: int = 3):
        return self.service.partitions(PartitionsRequest((number,))).partitions[0]


@pytest.fixture
def engine() -> Engine:
    return Engine()


def test_a_vacant_partition_is_granted_with_generation_one(engine):
    grant = engine.grant(A, "x")
    assert (grant.generation, grant.previous, grant.released) == (1, None, False)


def test_the_same_claim_again_gets_the_same_grant(engine):
    first = engine.grant(A, "x")
    engine.clock.advance(100)
    assert engine.grant(A, "x") == first


def test_another_claim_of_the_same_member_raises(engine):
    engine.grant(A, "x")
    assert engine.grant(A, "y").generation == 2


def test_another_incarnation_is_granted_at_once_and_raises_even_with_the_same_claim_id(engine):
    engine.grant(A, "x")
    engine.beat(A, caught_up=True, held=1)
    grant = engine.grant(A2, "x")
    assert (grant.generation, grant.previous, grant.previous_caught_up) == (2, A, True)


def test_a_vanished_owner_is_replaced_at_once(engine):
    engine.grant(A, "x")
    engine.beat(A, caught_up=True, held=1)
    said_at = engine.clock.time()
    engine.clock.advance(1)
    grant = engine.grant(B, "y", ClaimReason.VANISHED)
    assert (grant.generation, grant.previous, grant.released) == (2, A, False)
    assert (grant.previous_caught_up, grant.previous_last_beat_at) == (True, said_at)


def test_who_does_not_know_of_a_grant_yet_does_not_say_that_it_is_caught_up_there(engine):
    """Its answer was lost or is on its way: what the member says then is of the partitions that it knows of."""
    engine.grant(A, "x", partitions=(2,))
    engine.beat(A, caught_up=True, held=1)
    engine.grant(A, "y")
    assert engine.grant(B, "z", ClaimReason.VANISHED).previous_caught_up is False, "at the same moment"
    engine.grant(A, "u", ClaimReason.VANISHED)
    engine.clock.advance(1)
    engine.beat(A, caught_up=True, held=1)
    assert engine.grant(B, "v", ClaimReason.VANISHED).previous_caught_up is False
    engine.grant(A, "w", ClaimReason.VANISHED)
    engine.beat(A, caught_up=True, held=2)
    assert engine.grant(B, "t", ClaimReason.VANISHED).previous_caught_up is True


@pytest.mark.parametrize("reason", [ClaimReason.PLANNED, ClaimReason.VACANT])
def test_a_live_owner_is_asked_and_forced_only_after_the_drain_timeout(engine, reason):
    engine.beat(A)
    engine.grant(A, "x")
    asked = engine.claim(B, "y", reason)
    assert asked.grants == () and asked.asked[0].owner == A
    assert engine.service.follow(FollowRequest(A, ((3, 1, 0),), wait=0.0)).asked == (3,)
    for _ in range(29):
        engine.clock.advance(1)
        engine.beat(A)
        assert engine.claim(B, "y", reason).asked == asked.asked
    engine.clock.advance(1)
    engine.beat(A)
    assert engine.grant(B, "y", reason).generation == 2
    assert engine.record().why == "forced"
    assert engine.service.follow(FollowRequest(A, ((3, 1, 0),), wait=0.0)).lost == (3,)


def test_an_ask_that_nobody_repeats_is_forgotten(engine):
    engine.beat(A)
    engine.grant(A, "x")
    engine.claim(B, "y")
    engine.clock.advance(41)
    engine.beat(A)
    assert engine.service.follow(FollowRequest(A, ((3, 1, 0),), wait=0.0)).asked == ()
    assert engine.claim(C, "z").asked[0].asked_at == engine.clock.time()


def test_a_silent_owner_counts_as_vanished(engine):
    engine.beat(A)
    engine.grant(A, "x")
    engine.clock.advance(10)
    assert engine.claim(B, "y").asked
    engine.clock.advance(0.1)
    assert engine.grant(B, "y").generation == 2


def test_an_owner_that_left_counts_as_vanished(engine):
    engine.beat(A)
    engine.grant(A, "x")
    engine.beat(A, state=MemberState.LEFT)
    assert engine.grant(B, "y").generation == 2


def test_a_release_is_compare_and_swap(engine):
    engine.grant(A, "x")
    engine.beat(A, caught_up=True, held=1)
    assert engine.service.release(ReleaseRequest(A, ((3, 2),))).not_held == (3,)
    assert engine.service.release(ReleaseRequest(A2, ((3, 1),))).not_held == (3,)
    assert engine.service.release(ReleaseRequest(A, ((3, 1),))).released == (3,)
    assert engine.service.release(ReleaseRequest(A, ((3, 1),))).released == (3,)
    assert engine.record().owner is None
    grant = engine.grant(B, "y")
    assert (grant.generation, grant.previous, grant.released, grant.previous_caught_up) == (2, A, True, True)
    assert engine.service.release(ReleaseRequest(A, ((3, 1),))).released == (3,)
    assert engine.record().owner == B


def test_grants_and_asks_come_ascending_and_complete(engine):
    engine.beat(A)
    engine.claim(A, "x", partitions=(5, 1))
    reply = engine.claim(B, "y", partitions=(7, 5, 0, 1))
    assert [grant.partition for grant in reply.grants] == [0, 7]
    assert [asked.partition for asked in reply.asked] == [1, 5]


def test_a_beat_says_what_is_granted_to_that_incarnation_alone(engine):
    engine.claim(A, "x", partitions=(5, 1))
    assert engine.beat(A).granted == ((1, 1), (5, 1))
    assert engine.beat(A2).granted == ()


def test_members_show_who_is_alive(engine):
    engine.beat(A)
    engine.claim(A, "x")
    engine.clock.advance(11)
    engine.beat(B)
    found = {record.beat.member: record for record in engine.service.members(Empty()).members}
    assert (found[A].alive, found[A].granted, found[B].alive) == (False, 1, True)


def test_another_p_or_an_old_contract_is_refused(engine):
    with pytest.raises(IncompatibleContract, match="8 partitions"):
        engine.beat(A, partitions=16)
    with pytest.raises(IncompatibleContract, match="contract version"):
        engine.service.beat(Beat(A, 0, 8, MemberState.ACTIVE, 0.0))


def test_a_partition_that_is_none_is_refused(engine):
    with pytest.raises(InvalidInput, match="from 0 to 7"):
        engine.claim(A, "x", partitions=(8,))


members = st.builds(MemberId, st.sampled_from("abc"), st.sampled_from("12"))
times = st.none() | st.floats(0, 100)
holdings = st.builds(
    ClaimedPartition, owner=st.none() | members, claim_id=st.none() | st.sampled_from("xy"), owner_alive=st.booleans(),
    asked_at=times, asked_again_at=times,
)


@given(holdings, members, st.sampled_from("xy"), st.sampled_from(list(ClaimReason)))
def test_only_a_live_other_owner_is_ever_asked(holding, member, claim_id, reason):
    decision, _ = decide(holding, member, claim_id, reason, now=100.0, settings=SETTINGS)
    if decision is Decision.ASK:
        assert holding.owner is not None and holding.owner_alive
        assert holding.owner.name != member.name and reason is not ClaimReason.VANISHED
    if decision is Decision.REPEAT:
        assert (holding.owner, holding.claim_id) == (member, claim_id)


steps = st.lists(
    st.tuples(
        st.sampled_from(["claim", "release", "beat", "wait"]), members, st.sampled_from("xyz"),
        st.sampled_from(list(ClaimReason)), st.integers(1, 4),
    ),
    max_size=12,
)


@settings(max_examples=examples(100, quick=30))
@given(steps)
def test_generations_only_rise_and_each_has_one_owner(taken):
    engine = Engine()
    owner_of: dict[int, MemberId] = {}
    last = 0
    for step, member, claim_id, reason, number in taken:
        if step == "wait":
            engine.clock.advance(number * 10)
        elif step == "beat":
            engine.beat(member)
        elif step == "release":
            engine.service.release(ReleaseRequest(member, ((3, number),)))
        else:
            for grant in engine.claim(member, claim_id, reason).grants:
                assert owner_of.setdefault(grant.generation, member) == member
        record = engine.record()
        assert record.generation >= last
        last = record.generation
        assert record.owner is None or owner_of[record.generation] == record.owner


def test_a_release_without_a_takeover_hands_on_what_the_owner_before_left(engine):
    """B never read the list: the next owner must make up for A, not trust B's marks."""
    engine.beat(A, caught_up=False)
    engine.grant(A, "x")
    left_at = engine.clock.time()
    engine.clock.advance(20)
    engine.beat(B, caught_up=True)
    generation = engine.grant(B, "y", ClaimReason.VANISHED).generation
    engine.service.release(ReleaseRequest(B, ((3, generation),), (3,)))
    assert engine.record().owner is None
    grant = engine.grant(C, "z")
    assert (grant.previous, grant.released, grant.previous_caught_up) == (A, False, False)
    assert grant.previous_last_beat_at == left_at and grant.generation == generation + 1


def test_a_beat_from_before_its_grant_says_nothing_of_a_partition(engine):
    """B was caught up, then gained the partition and died before it said anything more."""
    engine.beat(A, caught_up=False)
    engine.grant(A, "x")
    engine.beat(B, caught_up=True)
    engine.clock.advance(1)
    engine.grant(B, "y", ClaimReason.VANISHED)
    assert engine.grant(C, "z", ClaimReason.VANISHED).previous_caught_up is False

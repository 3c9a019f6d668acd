"""Ownership's promises, on the real engine's fencing and in virtual time."""
from __future__ import annotations

import threading

import pytest

from obsvc.engine_client.contract import Empty
from obsvc.engine_client.ownership import ClaimReason, ClaimRequest, DrainRequest, MemberState, PartitionClaim
from obsvc.exceptions import ConfigError, IncompatibleContract, Unavailable
from obsvc.model import MemberId, partition_of_id
from obsvc.partitioning import claimer
from obsvc.partitioning.assignment import assign
from obsvc.partitioning.engine_check import check_engine, wait_for_engine
from tests.support.partitioning_cluster import PARTITIONS, SETTINGS, Cluster


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def assigned(*names: str) -> list[str]:
    return list(assign(names, PARTITIONS))


def owner_names(cluster: Cluster) -> list[str | None]:
    return [owner.name if owner is not None else None for owner in cluster.owners()]


def reasons(node) -> set[ClaimReason]:
    return {claim.reason for request in node.engine.requests("claim") for claim in request.claims}


def test_one_member_gets_everything_in_pages_ascending(cluster, monkeypatch):
    monkeypatch.setattr(claimer, "PAGE", 5)
    a = cluster.add("a")
    cluster.rounds(4)
    assert sorted(a.held) == list(range(PARTITIONS)) and set(a.held.values()) == {1}
    pages = [[claim.partition for claim in request.claims] for request in a.engine.requests("claim")]
    assert pages == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11, 12, 13, 14], [15]]
    assert reasons(a) == {ClaimReason.VACANT}
    assert sorted(a.worker.grants) == list(range(PARTITIONS))


def test_nothing_is_joined_or_claimed_before_the_holder_is_ready(cluster):
    a = cluster.add("a")
    a.worker.is_ready = False
    cluster.rounds(5)
    assert cluster.group == set() and a.held == {} and a.ownership.state is MemberState.JOINING
    a.worker.is_ready = True
    cluster.rounds(4)
    assert len(a.held) == PARTITIONS and a.ownership.state is MemberState.ACTIVE


def test_a_joining_member_asks_and_the_owners_hand_over(cluster):
    a = cluster.add("a")
    cluster.rounds(4)
    b = cluster.add("b")
    cluster.rounds(8)
    assert owner_names(cluster) == assigned("a", "b")
    assert sorted(a.held) == [p for p, name in enumerate(assigned("a", "b")) if name == "a"]
    assert reasons(b) <= {ClaimReason.PLANNED, ClaimReason.VACANT}
    assert sorted(a.worker.asked_partitions) == sorted(b.held) and a.worker.ends == []
    assert all(grant.released for grant in b.worker.grants.values())


def test_a_partition_is_asked_of_its_holder_once_and_kept_until_it_is_drained(cluster):
    a = cluster.add("a")
    cluster.rounds(4)
    a.worker.keeps = True
    b = cluster.add("b")
    cluster.rounds(8)
    moving = [p for p, name in enumerate(assigned("a", "b")) if name == "b"]
    assert b.held == {} and sorted(a.worker.asked_partitions) == moving
    assert set(moving) <= set(a.held)
    a.worker.let_go(moving[0])
    cluster.rounds(3)
    assert set(b.held) == {moving[0]}


def test_a_dead_members_partitions_are_claimed_at_once_as_vanished(cluster):
    a, b = cluster.add("a"), cluster.add("b")
    cluster.rounds(10)
    assert owner_names(cluster) == assigned("a", "b")
    cluster.die(b)
    cluster.rounds(3)
    assert sorted(a.held) == list(range(PARTITIONS))
    assert ClaimReason.VANISHED in reasons(a)


def test_a_draining_member_is_asked_though_it_left_the_view_and_robbed_of_nothing(cluster):
    a, b = cluster.add("a"), cluster.add("b")
    cluster.rounds(10)
    b.worker.keeps = True
    assert not b.ownership.drain(timeout=0)
    had = b.held
    cluster.rounds(6)
    assert b.held == had, "others wait until it is drained"
    assert b.ownership.state is MemberState.DRAINING and b.member not in cluster.group
    for partition in had:
        b.worker.let_go(partition)
    cluster.rounds(4)
    assert b.held == {} and b.ownership.drain(timeout=0)
    assert sorted(a.held) == list(range(PARTITIONS))
    assert ClaimReason.VANISHED not in reasons(a) and b.worker.ends == []


def test_a_lost_answer_is_asked_for_again_under_the_same_claim(cluster):
    a = cluster.add("a")
    a.engine.lose_answers.add("claim")
    cluster.rounds(4)
    assert a.held == {} and set(owner_names(cluster)) == {"a"}
    a.engine.lose_answers.clear()
    cluster.rounds(2)
    requests = a.engine.requests("claim")
    assert len(requests) > 1 and len({request.claim_id for request in requests}) == 1
    assert set(a.held.values()) == {1}, "the same grant, not a new generation"


def test_an_orphaned_grant_is_claimed_anew_or_let_go(cluster):
    """Granted to us, but we never heard: the beats tell."""
    a = cluster.add("a")
    cluster.rounds(4)
    with a.ownership._holding.grants._lock:
        del a.ownership._holding.grants._held[3]
    a.worker.grants.pop(3)
    cluster.rounds(6)
    assert 3 in a.held and a.held[3] > 1
    assert dict(a.held) == {p: record.generation for p, record in enumerate(cluster.records())}


def test_a_stale_report_drops_the_partition_and_it_is_claimed_after_a_pause(cluster):
    a = cluster.add("a")
    cluster.rounds(4)
    a.ownership.stale(3, 99)
    assert 3 in a.held, "another generation than ours says nothing about ours"
    a.ownership.stale(3, 1)
    assert 3 not in a.held and a.worker.ends == [(3, 1, "a report was refused as stale_generation")]
    cluster.round(0.1)
    assert 3 not in a.held, "not at once"
    cluster.rounds(8)
    assert a.held[3] == 2


def test_what_the_engine_took_is_lost_within_a_beat(cluster):
    a = cluster.add("a")
    cluster.rounds(4)
    thief = cluster.add("a", "2")
    thief.ownership.beat()
    thief.ownership.step()
    thief.worker.is_ready = True
    cluster.nodes.remove(thief)
    cluster.group.add(thief.member)
    thief.membership.look()
    for _ in range(3):
        thief.ownership.step()
        cluster.clock.advance(1.0)
        thief.membership.look()
    assert len(thief.held) == PARTITIONS, "a newer incarnation of the name takes all"
    a.worker.is_ready = False  # its queues are consumed by the other now
    cluster.round()
    assert a.held == {} and len(a.worker.ends) == PARTITIONS
    cluster.rounds(10)
    assert a.held == {}, "and nothing is taken back while not ready"


def test_without_coordination_what_is_held_stays_and_nothing_is_claimed(cluster):
    a, b = cluster.add("a"), cluster.add("b")
    cluster.rounds(10)
    a.membership.cut_off = True
    had = a.held
    cluster.rounds(20)
    claimed = len(a.engine.requests("claim"))
    cluster.die(b)
    cluster.rounds(20)
    assert a.held == had and len(a.engine.requests("claim")) == claimed
    a.membership.cut_off = False
    cluster.rounds(4)
    assert len(a.held) == PARTITIONS


def test_a_release_is_sent_until_it_is_answered(cluster):
    a = cluster.add("a")
    cluster.rounds(4)
    a.engine.lose_requests.add("release")
    b = cluster.add("b")
    cluster.rounds(6)
    assert b.held == {}
    a.engine.lose_requests.clear()
    cluster.rounds(4)
    assert owner_names(cluster) == assigned("a", "b") and b.held


def test_what_our_view_gives_us_is_not_handed_over_to_one_whose_view_is_behind(cluster):
    a = cluster.add("a")
    cluster.rounds(4)
    a.ownership.asked_for([3])
    cluster.rounds(3)
    assert 3 in a.held and a.worker.asked_partitions == []


def test_a_follow_answer_about_an_older_generation_takes_nothing(cluster):
    a = cluster.add("a")
    cluster.rounds(4)
    a.ownership.lost_by_engine([3], {3: 0})
    assert 3 in a.held
    a.ownership.lost_by_engine([3])
    assert 3 not in a.held


def test_the_beat_says_what_the_holder_and_the_ring_know(cluster):
    a = cluster.add("a")
    cluster.rounds(4)
    [record] = cluster.service.members(Empty()).members
    beat = record.beat
    assert beat.member == a.member and beat.partitions == PARTITIONS and beat.state is MemberState.ACTIVE
    assert beat.held == PARTITIONS and beat.view == ("a",) and beat.caught_up and beat.backlog == 3
    assert record.granted == PARTITIONS


def test_a_leader_that_has_not_reached_the_engine_for_a_lease_stops(cluster):
    a = cluster.add("a")
    cluster.rounds(4)
    generation = a.ownership.leads("sweep compute RegionOne")
    assert generation == a.held[partition_of_id("sweep compute RegionOne", PARTITIONS)]
    a.engine.lose_requests.add("beat")
    cluster.clock.advance(SETTINGS.lease + 1)
    cluster.round()
    assert a.ownership.leads("sweep compute RegionOne") is None
    a.engine.lose_requests.clear()
    cluster.round()
    assert a.ownership.leads("sweep compute RegionOne") == generation


def test_goodbye_is_said_to_the_engine(cluster):
    a = cluster.add("a")
    a.ownership.start()
    a.ownership.stop()
    [record] = cluster.service.members(Empty()).members
    assert record.beat.state is MemberState.LEFT and not record.alive


def test_another_number_of_partitions_ends_the_start_with_one_line(cluster):
    with pytest.raises(ConfigError, match=r"8 partitions.*16") as raised:
        check_engine(cluster.service.info(Empty()), 8)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("newest", "oldest"), [(0, 0), (9, 9)])
def test_a_contract_without_overlap_ends_the_start_with_one_line(cluster, newest, oldest):
    info = cluster.service.info(Empty())
    other = type(info)(newest, oldest, *[getattr(info, name) for name in info.__struct_fields__[2:]])
    with pytest.raises(IncompatibleContract, match="upgrade"):
        check_engine(other, PARTITIONS)


def test_the_start_waits_for_the_engine_with_one_line(cluster, caplog):
    info = cluster.service.info(Empty())
    tries = []

    class Away:
        def info(self, request):
            tries.append(request)
            if len(tries) < 4:
                raise Unavailable("http://127.0.0.1:9190: no connection")
            return info

    assert wait_for_engine(Away(), threading.Event(), pause=0) == info
    assert [record.getMessage() for record in caplog.records if "waiting" in record.getMessage()] == [
        "waiting for the engine: http://127.0.0.1:9190: no connection"
    ]


def test_what_was_handed_over_while_cut_off_is_not_claimed_back_by_an_old_view(cluster):
    a = cluster.add("a")
    cluster.rounds(4)
    a.membership.cut_off = True
    cluster.rounds(40)
    a.ownership.asked_for([3])
    cluster.rounds(6)
    assert 3 not in a.held and a.worker.asked_partitions == [3]
    a.membership.cut_off = False
    cluster.rounds(4)
    assert 3 in a.held


def test_a_grant_that_nobody_heard_of_is_let_go_when_it_is_not_assigned_to_us(cluster):
    a, b = cluster.add("a"), cluster.add("b")
    cluster.rounds(10)
    lost = sorted(b.held)[0]
    cluster.service.claim(ClaimRequest(a.member, "x", (PartitionClaim(lost, ClaimReason.VANISHED),)))
    cluster.rounds(12)
    assert owner_names(cluster) == assigned("a", "b") and lost in b.held and lost not in a.worker.grants


def test_nothing_is_claimed_in_the_name_of_another_incarnation(cluster):
    a = cluster.add("a")
    a.ownership.beat()
    a.ownership.step()
    cluster.group.clear()
    cluster.group.add(MemberId("a", "0"))
    cluster.rounds(6)
    assert a.held == {} and a.engine.requests("claim") == []


def test_a_claim_whose_answer_was_lost_is_not_repeated_in_another_world(cluster):
    """The engine was away; meanwhile the member that seemed to have vanished is back and at work."""
    a, b = cluster.add("a"), cluster.add("b")
    cluster.rounds(10)
    cluster.die(b)  # so it seems
    a.engine.lose_requests |= {"claim"}
    cluster.rounds(4)
    assert a.engine.requests("claim")[-1].claims[0].reason is ClaimReason.VANISHED
    cluster.group.add(b.member)
    b.running = True
    had = b.held
    a.engine.lose_requests |= {"partitions"}
    cluster.rounds(4)
    a.engine.lose_requests.clear()
    cluster.rounds(6)
    assert b.held == had and b.worker.ends == []


def test_who_joined_a_moment_ago_is_not_robbed_by_one_whose_view_is_not_acted_on_yet(cluster):
    a = cluster.add("a")
    cluster.add("b")
    cluster.rounds(10)
    taken = sorted(a.held)[0]
    a.ownership.stale(taken, a.held[taken])
    c = cluster.add("c")
    cluster.group.add(c.member)
    cluster.service.claim(ClaimRequest(c.member, "x", (PartitionClaim(taken, ClaimReason.VANISHED),)))
    cluster.service.beat(c.ownership._beat_message(1))
    cluster.clock.advance(3.5)
    a.membership.look()  # sees c, but does not act on that view yet
    a.ownership.step()
    claimed = [claim for request in a.engine.requests("claim") for claim in request.claims if claim.partition == taken]
    assert claimed[-1].reason is ClaimReason.PLANNED


def test_an_orphaned_grant_is_let_go_of_untaken(cluster):
    a, b = cluster.add("a"), cluster.add("b")
    cluster.rounds(10)
    lost = sorted(b.held)[0]
    cluster.service.claim(ClaimRequest(a.member, "x", (PartitionClaim(lost, ClaimReason.VANISHED),)))
    cluster.rounds(12)
    assert a.engine.requests("release")[-1].untaken == (lost,)
    assert b.worker.grants[lost].released is False


def test_a_drain_is_over_in_time_with_the_backend_and_the_engine_away(cluster, monkeypatch):
    a = cluster.add("a")
    cluster.rounds(4)
    a.engine.lose_requests |= {"beat", "release"}
    left = []
    a.membership.leave = lambda timeout: (left.append(timeout), cluster.clock.advance(timeout), False)[-1]
    waited = []
    idle = a.ownership._holding._idle
    monkeypatch.setattr(idle, "wait_for", lambda check, timeout: (waited.append(timeout), check())[1])
    assert a.ownership.drain(timeout=12.0) is False
    assert sum(left) + sum(waited) <= 12.0


def drain(cluster, name: str, *, drained: bool = True) -> None:
    cluster.service.drain_member(DrainRequest(name, drained))


def test_a_drained_member_hands_everything_over_gets_nothing_and_takes_part_again_when_undrained(cluster):
    a, b, c = cluster.add("a"), cluster.add("b"), cluster.add("c")
    cluster.rounds(12)
    had = set(b.held)
    drain(cluster, "b")
    cluster.rounds(8)
    assert b.held == {} and owner_names(cluster) == assigned("a", "c")
    assert b.ownership.state is MemberState.DRAINING and b.member not in cluster.group
    assert sorted(b.worker.asked_partitions) == sorted(had), "asked for each, once"
    assert a.worker.ends == b.worker.ends == c.worker.ends == []
    assert ClaimReason.VANISHED not in reasons(a) | reasons(c)
    cluster.rounds(8)
    assert b.held == {}
    drain(cluster, "b", drained=False)
    cluster.rounds(10)
    assert owner_names(cluster) == assigned("a", "b", "c") and set(b.held) == had
    assert b.ownership.state is MemberState.ACTIVE


def test_a_drained_member_stays_drained_when_it_is_started_anew(cluster):
    a, b = cluster.add("a"), cluster.add("b")
    cluster.rounds(10)
    drain(cluster, "b")
    cluster.rounds(8)
    cluster.die(b)
    again = cluster.add("b", "2")
    cluster.rounds(8)
    assert again.held == {} and again.member not in cluster.group and len(a.held) == PARTITIONS
    assert {record.drained_at is not None for record in cluster.service.members(Empty()).members
            if record.beat.member.name == "b"} == {True}


def test_a_drained_member_leaves_only_after_the_engine_knows_that_it_drains(cluster):
    """Else it could be taken for one that has vanished."""
    a, b = cluster.add("a"), cluster.add("b")
    cluster.rounds(10)
    drain(cluster, "b")
    b.ownership.beat()
    b.engine.lose_requests.add("beat")
    cluster.rounds(2)
    assert b.member in cluster.group and b.held
    b.engine.lose_requests.clear()
    cluster.rounds(8)
    assert b.held == {} and len(a.held) == PARTITIONS


def test_what_nobody_else_can_take_a_drained_member_keeps_and_works_on(cluster):
    a = cluster.add("a")
    cluster.rounds(4)
    drain(cluster, "a")
    cluster.rounds(8)
    assert len(a.held) == PARTITIONS and a.worker.asked_partitions == [] and cluster.group == set()
    b = cluster.add("b")
    cluster.rounds(8)
    assert a.held == {} and len(b.held) == PARTITIONS and a.worker.ends == []


def test_a_drained_member_repeats_no_claim(cluster):
    a, b = cluster.add("a"), cluster.add("b")
    cluster.rounds(10)
    b.engine.lose_answers.add("claim")
    cluster.die(a)
    cluster.rounds(4)
    assert b.ownership._claimer.pending
    drain(cluster, "b")
    cluster.rounds(1)
    claims = len(b.engine.requests("claim"))
    cluster.rounds(6)
    assert len(b.engine.requests("claim")) == claims


def test_a_member_whose_key_is_gone_but_that_beats_to_the_engine_is_waited_for(cluster):
    """A wiped backend, and a request to it that hangs for longer than the others doubt their views."""
    cluster.add("a")
    b = cluster.add("b")
    cluster.rounds(10)
    had = b.held
    cluster.group.discard(b.member)
    cluster.rounds(12)  # 7 of the lease's 10 seconds
    assert b.held == had and b.worker.ends == [] and b.worker.asked_partitions == []
    cluster.group.add(b.member)
    cluster.rounds(6)
    assert b.held == had


def test_a_member_that_stays_out_of_the_group_is_asked_a_lease_later_and_not_robbed(cluster):
    a, b = cluster.add("a"), cluster.add("b")
    cluster.rounds(10)
    b.membership.cut_off = True
    cluster.group.discard(b.member)
    cluster.rounds(40)
    assert b.held == {} and b.worker.ends == [] and len(a.held) == PARTITIONS
    assert ClaimReason.VANISHED not in reasons(a)


def test_an_old_ask_is_not_believed_when_the_backend_is_away_for_everybody(cluster):
    """What is let go of then nobody can claim: it would be without an owner until the backend is back."""
    a, b = cluster.add("a"), cluster.add("b")
    cluster.rounds(10)
    kept = sorted(a.held)[0]
    a.ownership.asked_for([kept])
    had = a.held
    a.membership.cut_off = b.membership.cut_off = True
    cluster.rounds(60)
    assert a.held == had and a.worker.asked_partitions == [p for p in a.worker.asked_partitions if p not in had]


def test_a_drained_member_does_not_believe_asks_from_before_its_drain(cluster):
    a, b = cluster.add("a"), cluster.add("b")
    cluster.rounds(10)
    kept = sorted(a.held)[0]
    a.ownership.asked_for([kept])
    cluster.rounds(1)
    drain(cluster, "a")
    a.ownership.beat()
    a.ownership.step()
    assert kept in a.held
    cluster.rounds(8)
    assert a.held == {} and len(b.held) == PARTITIONS

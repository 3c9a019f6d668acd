"""What the status document says of a cluster that is well, and of each thing that can be wrong with it."""
from __future__ import annotations

import msgspec
import pytest

from obsvc.api.ring import Proposal
from obsvc.api.status import status
from obsvc.engine_client.duties import DutyRecord
from obsvc.engine_client.observations import MemberRecord
from obsvc.engine_client.ownership import Beat, BusStatus, MemberState, PartitionRecord
from obsvc.model import Generation, MemberId, PartitionId
from tests.support.in_memory_api import MEMBER, InMemoryApi

NOW = 1000.0
NAMES = ("a", "b", "c")
P = 6


def member(name, *, alive=True, granted=2, last_beat_at=NOW - 1, drained_at=None, **beat):
    said = {"view": NAMES, "caught_up": True, "buses": (BusStatus("cloud", True),)} | beat
    return MemberRecord(Beat(MemberId(name, "1"), 1, P, MemberState.ACTIVE, 0.0, **said), last_beat_at, alive, granted,
                        drained_at)


def partitions(owners="abcabc"):
    return [PartitionRecord(
        partition=PartitionId(number), generation=Generation(1), owner=None if name == "-" else MemberId(name, "1"),
        since=0.0, observation_version=0, observed=10) for number, name in enumerate(owners)]


def duty(**more):
    known = {"leader": MemberId("a", "1"), "next_run_at": NOW + 5, "interval": 30.0}
    return DutyRecord("sweep/R/compute", "sweep", "R", "compute", PartitionId(1), Generation(1), **known | more)


PROPOSAL = Proposal(tuple("abcabc"), tuple(MemberId(name, "1") for name in NAMES))


def stands(members=None, owners="abcabc", duties=(), proposal=PROPOSAL):
    return status([member(name) for name in NAMES] if members is None else members, partitions(owners),
                  duties or [duty()], proposal, NOW)


def test_a_cluster_that_is_well():
    found = stands()
    assert found.ok and found.problems == ()
    assert found.verdict == "3 members agree on one view; all 6 partitions owned"
    assert (found.members, found.members_caught_up, found.owned, found.moving, found.observed) == (3, 3, 6, 0, 60)
    assert (found.duties, found.duties_led) == (1, 1)
    assert msgspec.to_builtins(found.buses) == {"cloud": {"members": 3, "connected": 3, "last_error": None}}


def test_partitions_on_their_way_are_told_and_are_no_problem():
    found = stands(owners="abcaba")
    assert found.ok and found.moving == 1
    assert found.verdict == "3 members agree on one view; all 6 partitions owned; 1 on their way to another member"


def test_a_drained_member_is_named():
    assert stands([member("a", drained_at=5.0), member("b"), member("c")]).drained == ("a",)


@pytest.mark.parametrize("change, said", [
    ({"members": [member("a"), member("b"), member("c", view=("c",))]},
     "members disagree on who is there: a, b see a, b, c; c see c"),
    ({"members": [member("a"), member("b"), member("c", alive=False, last_beat_at=NOW - 42)]},
     "c has been silent for 42 s and holds 2 partitions"),
    ({"members": [member("a"), member("b"), member("c", oldest_unsettled=90.0)]},
     "c is behind: its oldest unsettled message is 90 s old"),
    ({"members": [member("a"), member("b"), member("c", open_breakers=("R compute",))]},
     "c has stopped asking R compute for now: too many errors"),
    ({"members": [member("a"), member("b"), member("c", buses=(BusStatus("cloud", False, last_error="refused"),))]},
     "bus cloud is down for 1 of 3 members: refused"),
    ({"owners": "ab-ab-"}, "2 partitions owned by nobody: 2, 5"),
    ({"owners": "abcabx"}, "granted to members that never beat: x@1"),
    ({"duties": [duty(leader=None)]}, "duties without a leader: sweep/R/compute"),
    ({"duties": [duty(next_run_at=NOW - 200, last_error="503")]}, "duty sweep/R/compute is overdue by 200 s: 503"),
    ({"proposal": Proposal(note="the coordination backend can't be read: refused")},
     "the coordination backend can't be read: refused: what is granted stays, nobody new takes over"),
])
def test_each_thing_that_is_wrong_is_a_sentence(change, said):
    found = stands(**change)
    assert not found.ok and found.problems == (said,)
    assert found.verdict.endswith(f"1 problem, the first: {said}")


def test_without_any_member():
    found = stands(members=[], owners="------", proposal=Proposal(note="no member is in the group"))
    assert found.verdict == "no member runs: 6 partitions are nobody's, and nothing is observed"
    assert found.problems[0] == "no member runs: start 'obsvc observer'" and not found.ok


def test_it_is_what_the_api_answers():
    api = InMemoryApi()
    api.own()
    api.members = [MEMBER]
    found = api.get("/v1/status").json
    assert found["verdict"].startswith("1 member runs; all ") and found["partitions"] == found["owned"]

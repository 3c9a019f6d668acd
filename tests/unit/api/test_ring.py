"""The ring's proposal as the API reads it: cached, and with a note where there is none."""
import pytest

from obsvc.api.ring import FAILED, FRESH, Proposal, Ring
from obsvc.exceptions import Unavailable
from obsvc.model import MemberId
from obsvc.process.clock import ManualClock


class Group:
    def __init__(self, *names):
        self.members = [MemberId(name, "1") for name in names]
        self.reads = self.assignments = 0
        self.clock = ManualClock()
        self.ring = Ring(self.read, self.assign, clock=self.clock)

    def read(self):
        self.reads += 1
        if self.members is None:
            raise Unavailable("etcd is away")
        return self.members

    def assign(self, names, partitions):
        self.assignments += 1
        return tuple(names[number % len(names)] for number in range(partitions))


@pytest.fixture
def group():
    return Group("b", "a")


def test_a_membership_is_read_once_while_it_is_fresh(group):
    proposal = group.ring.proposal(4)
    assert proposal.owners == ("a", "b", "a", "b") and proposal.owner(1) == "b" and proposal.note is None
    group.clock.advance(FRESH / 2)
    assert group.ring.proposal(4) is proposal and group.reads == 1
    group.clock.advance(FRESH)
    group.ring.proposal(4)
    assert group.reads == 2


def test_the_same_names_are_not_assigned_again_though_a_member_has_begun_anew(group):
    group.ring.proposal(4)
    group.members = [MemberId("a", "2"), MemberId("b", "1")]
    group.clock.advance(FRESH)
    proposal = group.ring.proposal(4)
    assert group.assignments == 1 and proposal.members[0].incarnation == "2"
    group.members.append(MemberId("c", "1"))
    group.clock.advance(FRESH)
    assert group.ring.proposal(4).owner(2) == "c" and group.assignments == 2


def test_a_backend_that_is_away_is_a_note_for_longer(group):
    group.members = None
    assert "etcd is away" in group.ring.proposal(4).note
    group.members = []
    group.clock.advance(FRESH)
    assert "etcd is away" in group.ring.proposal(4).note, "a failure is remembered"
    group.clock.advance(FAILED)
    assert group.ring.proposal(4).note == "no member is in the group"


def test_a_partition_beyond_the_proposal_has_no_owner():
    assert Proposal(("a",)).owner(1) is None and Proposal().owner(0) is None

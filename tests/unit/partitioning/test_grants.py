"""The table of what was granted: held, releasing, resting."""
from obsvc.model import Generation, PartitionId
from obsvc.partitioning.grants import Grants

P, G1, G2 = PartitionId(3), Generation(1), Generation(2)


def test_a_grant_is_held_until_it_is_dropped_under_its_own_generation():
    grants = Grants()
    assert grants.grant(P, G1) is None and grants.held() == {P: G1}
    assert grants.grant(P, G1) is None and grants.grant(P, G2) == G1
    assert not grants.drop(P, G1) and grants.drop(P, G2) and grants.held() == {} and grants.idle()


def test_a_release_is_pending_until_it_is_answered():
    grants = Grants()
    grants.grant(P, G1)
    assert not grants.begin_release(P, G2) and grants.begin_release(P, G1, taken=False)
    assert grants.releasing() == ((P, G1),) and grants.untaken([P]) == (P,) and not grants.idle()
    assert P in grants.unavailable(0.0, 0.0)
    grants.end_release([P])
    assert grants.idle() and grants.untaken([P]) == () and P not in grants.unavailable(0.0, 0.0)


def test_what_was_lost_rests_until_a_newer_view_assigns_it():
    grants = Grants()
    grants.grant(P, G1)
    grants.drop(P, G1, rest_until=10.0)
    assert P in grants.unavailable(9.0, 9.0), "it rests"
    assert P in grants.unavailable(11.0, 9.0), "the view is older than the end of the rest"
    assert P not in grants.unavailable(11.0, 10.5)


def test_a_grant_ends_a_rest():
    grants = Grants()
    grants.grant(P, G1)
    grants.drop(P, G1, rest_until=10.0)
    grants.grant(P, G2)
    grants.drop(P, G2)
    assert P not in grants.unavailable(0.0, 0.0)


def test_what_the_engine_does_not_hold_as_granted_is_gone():
    assert Grants().gone({P: G1, PartitionId(1): G1}, [(P, G1)]) == [(1, 1)] and Grants().gone({P: G1}, [(P, G2)])


def test_an_orphan_is_one_that_is_unknown_twice_in_a_row():
    grants = Grants()
    assert grants.orphans([(P, G1)]) == [] and grants.orphans([(P, G1)]) == [(P, G1)]
    assert grants.orphans([(P, G1)]) == [], "it was told"
    grants.grant(P, G1)
    assert grants.orphans([(P, G1)]) == [] and grants.orphans([(P, G1)]) == []

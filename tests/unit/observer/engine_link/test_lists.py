"""ListLoader and ListFollower: pages until each list is complete, changes in the order they come, and what is asked for
or lost."""
import threading

import pytest

from obsvc.engine_client.ownership import FollowReply, ObservedPage, PartitionChanges
from obsvc.exceptions import Unavailable
from obsvc.observer.engine_link import lists
from obsvc.observer.engine_link.lists import ListFollower, ListLoader
from obsvc.observer.state.values import RefStatus
from tests.support.observer_state import MEMBER, grant, holdings_with, make_holdings, observed, ref_in

A, B, C = ref_in(3), ref_in(3, 1), ref_in(4)


class Setup:
    """A member that plays its engine, its Ownership and whoever is told; answers: what the engine says, in turn."""

    def __init__(self, holdings=None):
        self.holdings = holdings or make_holdings()
        self.answers, self.requests, self.asked, self.lost = [], [], [], []
        self.completed, self.applied, self.told = [], [], []
        self.loader = ListLoader(
            engine=self, member=MEMBER, holdings=self.holdings, ownership=self, listener=self)
        self.follower = ListFollower(
            engine=self, member=MEMBER, holdings=self.holdings, ownership=self, listener=self, trails=self,
            newly_complete=self.loader.newly_complete)

    # the engine
    def _answer(self, request):
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    observed = follow = _answer

    def tell_trails(self, request):
        self.told.append(request.trails)

    # Ownership
    def asked_for(self, partitions):
        self.asked += partitions

    def lost_by_engine(self, partitions, known=None):
        self.lost.append((partitions, known))

    # the listener
    def lists_completed(self, completed):
        self.completed.append([one.grant.partition for one in completed])

    def changes_applied(self, applied):
        self.applied.append(applied)

    # the trails
    def tell(self, refs):
        return [f"trail of {ref}" for ref in refs]

    def load(self, *answers):
        self.answers += answers
        self.loader.load(dict(self.holdings.loading()))


@pytest.fixture
def gaining():
    """Partitions 3 and 4 were granted."""
    setup = Setup()
    for number in (3, 4):
        setup.holdings.begin(grant(number))
    return setup


def test_a_list_is_read_page_by_page_and_told_as_it_is_complete(gaining):
    gaining.load(
        ObservedPage((observed(A),), (), next="a"),
        ObservedPage((observed(B),), ((3, 5),), next="b"),
        ObservedPage((observed(C),), ((4, 6),)),
    )
    assert [request.after for request in gaining.requests] == [None, "a", "b"]
    assert gaining.requests[0].held == ((3, 1), (4, 1)) and gaining.completed == [[3], [4]]
    assert gaining.holdings.to_follow() == [(3, 1, 5), (4, 1, 6)] and gaining.loader.newly_complete.is_set()
    assert gaining.holdings.ref_status(B) is RefStatus.OBSERVED


def test_pages_that_end_too_soon_are_read_again(gaining):
    with pytest.raises(Unavailable, match="1 more"):
        gaining.load(ObservedPage((observed(A),), ((3, 5),)))
    assert gaining.holdings.loading() == [(4, 1)]
    gaining.load(ObservedPage((), ((4, 6),)))
    assert gaining.requests[-1].held == ((4, 1),) and gaining.completed == [[3], [4]]


def test_pages_of_an_attempt_that_failed_are_forgotten(gaining):
    with pytest.raises(Unavailable):
        gaining.load(ObservedPage((observed(A),), (), next="a"), Unavailable("away"))
    gaining.load(ObservedPage((observed(B),), ((3, 5), (4, 6))))
    assert gaining.holdings.ref_status(A) is RefStatus.NOT_OBSERVED and gaining.completed == [[3, 4]]


def test_what_is_lost_meanwhile_is_told_and_not_read_again(gaining):
    gaining.load(ObservedPage((observed(C),), ((4, 6),), lost=(3,)))
    assert gaining.lost == [((3,), {3: 1, 4: 1})] and gaining.completed == [[4]]
    assert gaining.holdings.loading() == [], "it is not read again and again, whatever Ownership knows"


def test_the_loop_reads_what_was_granted(gaining):
    stop = threading.Event()
    gaining.answers = [ObservedPage((), ((3, 5), (4, 6)))]
    gaining.lists_completed = lambda completed: stop.set()
    gaining.loader.run(stop)
    assert gaining.holdings.loading() == []


@pytest.fixture
def following():
    """Partition 3 is complete to version 1, with A observed."""
    return Setup(holdings_with(A))


def poll(setup, reply, generation=1):
    setup.follower.take(reply, {3: generation})


def test_changes_are_applied_and_told(following):
    poll(following, FollowReply((PartitionChanges(3, 2, changed=(observed(B),), stopped=(A,)),)))
    applied = following.applied[0]
    assert [one.ref for one in applied.new] == [B] and applied.gone == [A]
    assert following.holdings.to_follow() == [(3, 1, 2)]


def test_changes_under_another_generation_or_of_a_partition_not_asked_about_are_left_alone(following):
    poll(following, FollowReply((PartitionChanges(3, 2, stopped=(A,)),)), generation=9)
    poll(following, FollowReply((PartitionChanges(4, 2, stopped=(A,)),)))
    assert following.holdings.ref_status(A) is RefStatus.OBSERVED


def test_a_list_that_is_to_be_read_again_is_loaded(following):
    following.holdings.to_load.clear()
    poll(following, FollowReply((PartitionChanges(3, 9, reload=True),)))
    assert following.holdings.loading() == [(3, 1)] and following.holdings.to_load.is_set()


def test_what_is_asked_for_or_lost_is_told(following):
    poll(following, FollowReply(asked=(5,), lost=(3,)))
    assert following.asked == [5] and following.lost == [((3,), {3: 1})]
    assert following.holdings.ref_status(A) is RefStatus.HANDING_OVER


class Ends(threading.Event):
    """A stop event that is set as soon as the loop waits for it; waits: for how long it would have."""

    def __init__(self):
        super().__init__()
        self.waits = []

    def wait(self, timeout=None):
        self.waits.append(timeout)
        self.set()
        return True


def test_trails_that_are_asked_for_are_told(following):
    stop = Ends()
    following.answers = [FollowReply(explain=(A,)), FollowReply(asked=(3,))]
    following.follower.run_steady(stop)
    assert following.told == [(f"trail of {A}",)] and stop.waits == [lists.HAND_OVER_PAUSE]
    assert [request.wait for request in following.requests] == [lists.STEADY_WAIT] * 2


def test_an_engine_that_is_away_is_asked_again_after_a_pause(following):
    stop = Ends()
    following.answers = [Unavailable("away")]
    following.follower.run_steady(stop)
    assert stop.waits == [lists.PAUSE] and following.applied == []


def test_what_became_complete_since_is_followed_by_the_fresh_lane_until_the_steady_one_comes_round(following):
    following.answers = [FollowReply(asked=(3,))]
    following.follower.run_steady(Ends())
    following.holdings.begin(grant(4))
    assert following.holdings.complete(4, 1, 7)
    following.answers = [FollowReply(asked=(4,))]
    following.follower.run_fresh(Ends())
    assert following.requests[-1].known == ((4, 1, 7),) and following.requests[-1].wait == lists.FRESH_WAIT
    following.answers = [FollowReply(asked=(3,))]
    following.follower.run_steady(Ends())
    assert following.requests[-1].known == ((3, 1, 1), (4, 1, 7))

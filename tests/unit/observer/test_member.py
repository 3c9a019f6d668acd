"""Member: what it does when a partition is granted, asked for or lost, what follows from a gap, and what it says of
itself."""
from types import SimpleNamespace

import pytest

from obsvc.engine_client.ownership import MemberState
from obsvc.model import Cause
from obsvc.observer.hand_over import HandOverRequests
from obsvc.observer.member import (
    Backlog,
    BeatStatus,
    BudgetShare,
    GapResponse,
    Member,
    Progress,
    Readiness,
)
from obsvc.partitioning.partition_worker import WorkerStatus
from obsvc.process.clock import ManualClock
from tests.support.observer_member import Member as State
from tests.support.observer_member import seen
from tests.support.observer_state import MEMBER, OTHER, FakeDelivery, grant, observed, ref_in

A, B = ref_in(3), ref_in(3, 1)


class Worker(State):
    """A member's state, and the member as Ownership sees it; ``withdrawn``: of which its reports were dropped."""

    def __init__(self):
        super().__init__()
        self.withdrawn, self.requests, self.consumes = [], HandOverRequests(), True
        self.worker = Member(
            holdings=self.holdings, deliveries=self.deliveries, marks=self.mark_requests, hand_over=self.requests,
            schedule=self.schedule, reporter=self, buses=self,
            beat=SimpleNamespace(read=lambda: WorkerStatus(backlog=1)),
        )

    def withdraw(self, number, generation):
        self.withdrawn.append((number, generation))
        return 0

    def consuming(self):
        return self.consumes


@pytest.fixture
def member():
    return Worker()


def test_a_grant_is_to_be_loaded(member):
    assert not member.holdings.to_load.is_set()
    member.worker.granted(grant(3))
    assert member.holdings.to_load.is_set() and member.holdings.loading() == [(3, 1)]


def test_what_another_asks_for_is_to_be_handed_over_under_the_generation_held_now(member):
    member.gain()
    member.worker.asked(3)
    assert member.requests.take() == {3: 1}


def test_what_is_not_held_is_not_handed_over(member):
    member.worker.asked(3)
    assert member.requests.take() == {}


def test_a_lost_partition_leaves_marks_for_what_awaits_a_look_or_is_unsettled(member):
    member.gain(observed(A), seen(B, wanted=()))
    delivery = FakeDelivery(member.clock)
    member.deliveries.register(delivery, [B])
    member.worker.lost(3, 1, "the engine granted it to another")
    assert set(member.marked_soon) == {A, B} and member.withdrawn == [(3, 1)]
    assert member.holdings.generations() == {} and member.step() == [] and delivery.settled == 0


def test_a_lost_partition_in_which_all_is_done_leaves_no_mark(member):
    member.gain(seen(A, wanted=()))
    member.worker.lost(3, 1, "test")
    assert member.marked_soon == [] and member.holdings.generations() == {}


def test_an_older_generation_that_is_lost_changes_nothing(member):
    member.gain(observed(A), generation=1)
    member.worker.lost(3, 0, "test")
    assert member.holdings.generations() == {3: 1} and member.marked_soon == []


def test_it_is_ready_while_every_bus_is_consumed_and_says_what_its_beat_says(member):
    assert member.worker.ready() and member.worker.status().backlog == 1
    member.consumes = False
    assert not member.worker.ready()


# -- a gap


class Duties:
    def __init__(self):
        self.requests = []

    def request(self, region, reason):
        self.requests.append((region, reason))


def test_a_gap_asks_for_a_look_at_all_that_is_held_of_the_region_and_for_a_sweep(member):
    duties = Duties()
    member.gain(seen(A, wanted=()))
    GapResponse(catch_up=member.catch_up, duties=duties).gap("nova", "RegionOne", "reconnected")
    assert duties.requests == [("RegionOne", "bus nova: reconnected")] and len(member.catch_up) == 1
    member.clock.advance(60)
    assert member.step() == [Cause.RESYNC]


def test_a_gap_of_another_region_asks_for_a_sweep_alone(member):
    duties = Duties()
    member.gain(seen(A, wanted=()))
    GapResponse(catch_up=member.catch_up, duties=duties).gap("nova", "elsewhere", "reconnected")
    assert duties.requests == [("elsewhere", "bus nova: reconnected")] and len(member.catch_up) == 0


# -- what follows from what is heard, and its trail


def events(member, ref):
    return [(event.what, event.text) for event in member.trails.events(ref)]


def test_a_notification_makes_a_look_due_and_the_second_joins_it(member):
    member.gain(seen(A, wanted=()))
    assert member.take(A).settled == 0 and member.take(A).settled == 0
    words = [text for what, text in events(member, A) if what == "notified"]
    assert "a look is due" in words[0] and "joins" in words[1]


def test_a_stored_mark_makes_a_look_due(member):
    member.gain(seen(A, wanted=()))
    member.triggers.marked(A)
    assert member.step() == [Cause.MARKED]
    assert ("marked", "no look was reported in time: a mark was stored") in events(member, A)


def test_a_complete_list_makes_first_looks_due_and_names_the_generation(member):
    member.holdings.begin(grant(3, 7))
    member.holdings.load({3: 7}, [observed(A)])
    member.triggers.lists_completed([member.holdings.complete(3, 7, 1)])
    assert member.step() == [Cause.STARTED] and member.holdings.not_taken_over() == []
    assert events(member, A)[0][1].startswith("partition 3 is held under generation 7")


# -- the budget


class Gate:
    def __init__(self):
        self.shares = []

    def share(self, members, now):
        self.shares.append((members, now))


@pytest.mark.parametrize(("names", "members"), [
    ((MEMBER.name, OTHER.name), 2), ((OTHER.name,), 2), ((), 1),
])
def test_the_budget_is_divided_by_the_members_of_the_view_and_us(names, members):
    gate, clock = Gate(), ManualClock()
    BudgetShare(gate=gate, member=MEMBER, clock=clock).on_view(SimpleNamespace(names=names))
    assert gate.shares == [(members, clock.monotonic())]


# -- what it says of itself


@pytest.mark.parametrize("full", ["queue", "reporter", "deliveries", None])
def test_there_is_room_until_one_of_them_is_full(full):
    backlog = Backlog(
        queue=SimpleNamespace(full=full == "queue"), reporter=SimpleNamespace(full=full == "reporter"),
        deliveries=range(10 if full == "deliveries" else 9), limit=10,
    )
    assert backlog.has_room() is (full is None)


class Doing:
    """Everything that is asked whether the member has caught up, all well."""

    def __init__(self):
        self.consumes, self.drained, self.age, self.untaken, self.pending = True, True, 0.0, [], 0
        self.catching_up = []

    def consuming(self):
        return self.consumes

    def drained_within(self, seconds):
        return self.drained and seconds == 15.0

    def oldest_age(self):
        return self.age

    def not_taken_over(self):
        return self.untaken


def caught_up(doing):
    return Progress(
        buses=doing, deliveries=doing, catch_up=doing.catching_up, holdings=doing, marks=doing, allowed_lag=15.0,
    ).caught_up()


@pytest.mark.parametrize(("name", "value", "well"), [
    ("consumes", True, True), ("age", 15.0, True),
    ("consumes", False, False), ("drained", False, False), ("age", 15.1, False), ("untaken", [3], False),
    ("pending", 1, False), ("catching_up", [A], False),
])
def test_it_has_caught_up_when_nothing_older_than_the_allowed_lag_waits(name, value, well):
    doing = Doing()
    setattr(doing, name, value)
    assert caught_up(doing) is well


@pytest.mark.parametrize(("missing", "state", "error", "why"), [
    (["a", "b"], MemberState.ACTIVE, None, "does not consume every bus: a, b"),
    ([], MemberState.JOINING, "away", "has not joined the group yet"),
    ([], MemberState.ACTIVE, "the engine is away", "the engine is away"),
    ([], MemberState.ACTIVE, None, None),
    ([], MemberState.DRAINING, None, None),
])
def test_why_it_is_not_ready(missing, state, error, why):
    buses = SimpleNamespace(consuming=lambda: not missing, missing=lambda: missing)
    readiness = Readiness(buses=buses, ownership=SimpleNamespace(state=state, last_error=error))
    assert readiness.not_ready() == why


def test_a_beat_says_what_waits_and_the_first_error():
    clock = ManualClock()
    parts = [SimpleNamespace(last_error=error) for error in (None, "the second", "the third")]
    beat = BeatStatus(
        progress=SimpleNamespace(caught_up=lambda: True), buses=SimpleNamespace(statuses=lambda: ("bus",)),
        backlog=Backlog(queue=SimpleNamespace(depth=4), reporter=None, limit=10,
                        deliveries=State(clock).deliveries),
        recall=SimpleNamespace(read=lambda: ("recall",)), gate=SimpleNamespace(open_breakers=lambda now: ("R/nova",)),
        clock=clock,
    )
    assert beat.read().last_error is None, "no part was named yet"
    beat.show_errors_of(*parts)
    assert beat.read() == WorkerStatus(
        caught_up=True, backlog=4, unsettled=0, oldest_unsettled=0.0, buses=("bus",), rates={}, recall=("recall",),
        open_breakers=("R/nova",), last_error="the second",
    )
    parts[1].last_error = None
    assert beat.read().last_error == "the third"

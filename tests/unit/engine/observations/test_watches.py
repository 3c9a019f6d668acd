"""Observations, marks, reports, lists, the feed, deadlines and retention, over SQLite in memory and virtual time."""
from __future__ import annotations

import pytest
import sqlalchemy as sa

from obsvc.engine.database import due
from obsvc.engine.observations import watches
from obsvc.engine.operations import changes
from obsvc.engine.reports import upkeep
from obsvc.engine.schema import core
from obsvc.engine.service import EngineService
from obsvc.engine.settings import EngineSettings
from obsvc.engine_client.observations import (
    ChangesRequest,
    GoalProgress,
    ObservationsRequest,
    ObservationStatus,
    ResourceRequest,
    StartItem,
    StartRequest,
    StopRequest,
)
from obsvc.engine_client.ownership import ClaimReason, ClaimRequest, FollowRequest, ObservedRequest, PartitionClaim
from obsvc.engine_client.reports import MarkRequest, Report, ReportRequest, Verdict
from obsvc.exceptions import Conflict, FeedTruncated, InvalidInput, NotFound
from obsvc.model import Cause, Condition, MemberId, Ref, Snapshot, partition
from obsvc.process.clock import ManualClock
from tests.support.engine_store import new_store

P = 8
A, B = MemberId("a", "1"), MemberId("b", "1")
SETTINGS = EngineSettings(last_look_grace=15.0, retention=3600.0)


class Engine:
    """A service in virtual time, with every partition granted to A."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = new_store(partitions=P, clock=self.clock, settings=SETTINGS)
        self.service = EngineService(self.store)
        claims = tuple(PartitionClaim(number, ClaimReason.VACANT) for number in range(P))
        self.held = {
            grant.partition: grant.generation for grant in self.service.claim(ClaimRequest(A, "c", claims)).grants
        }
        self.sequence = 0

    def start(self, *refs: Ref, goal=Condition.ACTIVE, **fields):
        items = tuple(StartItem(ref, goal, **fields) for ref in refs)
        return self.service.start(StartRequest(items)).observations

    def report_of(self, ref, condition=Condition.ACTIVE, *, sequence=None, mark=None, generation=None, **fields):
        self.sequence += 1
        seen = Snapshot(exists=condition is not Condition.DELETED, condition=condition, **fields)
        number = partition(ref, P)
        return Report(
            ref, number, generation or self.held[number], sequence or self.sequence, seen, Cause.NOTIFIED, mark
        )

    def report(self, *args, **kwargs):
        return self.send(self.report_of(*args, **kwargs))[0]

    def send(self, *reports, member=A):
        return self.service.report(ReportRequest(member, reports)).outcomes

    def seen(self, ref: Ref):
        """What the owner's list says of ``ref``."""
        page = self.service.observed(ObservedRequest(A, tuple(self.held.items())))
        return next((one for one in page.refs if one.ref == ref), None)

    def observation(self, one):
        return self.service.list_observations(ObservationsRequest(observation_id=one.observation_id)).observations[0]

    def follow(self, ref: Ref, version: int):
        number = partition(ref, P)
        reply = self.service.follow(FollowRequest(A, ((number, self.held[number], version),), wait=0.0))
        return reply.changes[0] if reply.changes else None

    def run_due(self) -> None:
        while due.run_due(self.store):
            pass


@pytest.fixture
def engine() -> Engine:
    return Engine()


def ref(name: str = "one") -> Ref:
    return Ref("RegionOne", "compute.server", name)


def test_a_start_asks_for_a_look_and_the_report_of_it_meets_the_goal(engine):
    (one,) = engine.start(ref(), timeout=60.0)
    assert one.status is ObservationStatus.WAITING and one.deadline == engine.clock.time() + 60
    listed = engine.seen(ref())
    assert (listed.wanted, listed.deadline, listed.mark, listed.last) == ((Condition.ACTIVE,), one.deadline, 1, None)
    outcome = engine.report(ref(), mark=listed.mark)
    assert (outcome.verdict, outcome.version, outcome.wanted) == (Verdict.ACCEPTED, 1, ())
    assert engine.observation(one).status is ObservationStatus.MET
    assert engine.seen(ref()).mark is None


def test_the_same_start_again_is_the_same_observation_with_its_labels_renewed(engine):
    (one,) = engine.start(ref(), labels={"a": "1"})
    version = engine.follow(ref(), 0).version
    (again,) = engine.start(ref(), labels={"a": "1"})
    assert again == one and engine.follow(ref(), version) is None
    (relabelled,) = engine.start(ref(), labels={"a": "2"})
    assert relabelled.observation_id == one.observation_id and relabelled.labels == {"a": "2"}
    (other,) = engine.start(ref(), project_id="p")
    assert other.observation_id != one.observation_id


def test_a_met_observation_that_is_started_again_stays_met(engine):
    (one,) = engine.start(ref())
    engine.report(ref(), mark=1)
    assert engine.start(ref())[0].status is ObservationStatus.MET
    assert engine.observation(one).status is ObservationStatus.MET


def test_a_second_observation_needs_a_look_of_its_own(engine):
    """What was seen before its start does not meet its goal, not even when it is reported after it."""
    engine.start(ref())
    engine.report(ref(), mark=1)
    under_way = engine.report_of(ref())
    (two,) = engine.start(ref(), project_id="p")
    mark = engine.seen(ref()).mark
    assert mark == 2
    assert engine.send(under_way)[0].wanted == (Condition.ACTIVE,)
    assert engine.observation(two).status is ObservationStatus.WAITING
    outcome = engine.report(ref(), mark=mark)
    assert (outcome.verdict, outcome.version) == (Verdict.ACCEPTED, 2)
    assert engine.observation(two).status is ObservationStatus.MET
    assert engine.service.changes(ChangesRequest()).deltas[-1].standing is GoalProgress.MET


def test_a_stacks_node_that_is_started_again_waits_again(engine):
    def start():
        item = StartItem(ref(), Condition.ACTIVE)
        return engine.store.run(lambda tx: watches.start(tx, [item], stack_id="s", node_id="n"))[0]

    one = start()
    engine.report(ref(), mark=1)
    assert engine.observation(one).status is ObservationStatus.MET
    again = start()
    assert (again.observation_id, again.status) == (one.observation_id, ObservationStatus.WAITING)
    engine.report(ref(), mark=1)
    assert engine.observation(one).status is ObservationStatus.WAITING
    engine.report(ref(), mark=2)
    assert engine.observation(one).status is ObservationStatus.MET


def test_several_goals_for_one_ref_in_one_start(engine):
    items = (StartItem(ref(), Condition.ACTIVE), StartItem(ref(), Condition.DELETED), StartItem(ref()))
    found = engine.service.start(StartRequest(items)).observations
    assert len({one.observation_id for one in found}) == 3
    assert engine.seen(ref()).wanted == (Condition.ACTIVE, Condition.DELETED)
    assert engine.report(ref(), mark=1).wanted == (Condition.DELETED,)
    assert engine.report(ref(), Condition.DELETED).wanted == ()
    assert engine.service.changes(ChangesRequest()).deltas[-1].standing is GoalProgress.DRIFT


@pytest.mark.parametrize(
    "wrong", [Ref("", "t", "i"), Ref("r", "t" * 65, "i"), Ref("r", "t", "i" * 256), Ref("r", "t", "a\0b")]
)
def test_refs_that_cannot_be_stored_are_refused(engine, wrong):
    with pytest.raises(InvalidInput, match="expected a"):
        engine.start(wrong)


def test_a_timeout_must_be_positive(engine):
    with pytest.raises(InvalidInput, match="timeout above 0"):
        engine.start(ref(), timeout=0.0)


def test_stopping_one_of_two_keeps_the_ref_and_stopping_the_last_forgets_it(engine):
    one, two = engine.start(ref())[0], engine.start(ref(), goal=None)[0]
    engine.report(ref(), mark=2)
    stop = engine.service.stop(StopRequest((one.observation_id, "nobody")))
    assert (stop.stopped, stop.missing) == ((one.observation_id,), ("nobody",))
    change = engine.follow(ref(), 2)
    assert [seen.ref for seen in change.changed] == [ref()]
    engine.service.stop(StopRequest((two.observation_id,)))
    assert engine.follow(ref(), change.version).stopped == (ref(),)
    assert engine.report(ref()).verdict is Verdict.NOT_OBSERVED
    with pytest.raises(NotFound, match="is not observed"):
        engine.service.read_resource(ResourceRequest(ref()))


def test_a_project_stops_only_its_own(engine):
    (one,) = engine.start(ref(), project_id="p")
    assert engine.service.stop(StopRequest((one.observation_id,), "q")).missing == (one.observation_id,)
    assert engine.service.stop(StopRequest((one.observation_id,), "p")).stopped == (one.observation_id,)


def test_marks_are_numbered_by_the_partition_and_cleared_by_the_report_that_names_them(engine):
    engine.start(ref())
    engine.report(ref(), mark=1)
    marks = engine.service.mark(MarkRequest((ref(), ref("nobody")), "check")).marks
    assert marks == (2, None)
    assert engine.follow(ref(), 1).changed[0].mark == 2
    engine.report(ref(), mark=1)
    assert engine.seen(ref()).mark == 2, "a look that began before the mark does not clear it"
    engine.report(ref(), mark=2)
    assert engine.seen(ref()).mark is None


def test_a_mark_beyond_what_was_given_counts_only_as_far(engine):
    engine.start(ref())
    engine.report(ref(), mark=10**9)
    engine.start(ref(), project_id="p")
    assert engine.report(ref()).wanted == (Condition.ACTIVE,)


def test_a_stale_generation_writes_nothing(engine):
    engine.start(ref())
    engine.service.claim(ClaimRequest(B, "b", (PartitionClaim(partition(ref(), P), ClaimReason.VANISHED),)))
    assert engine.report(ref(), mark=1).verdict is Verdict.STALE_GENERATION
    assert engine.send(engine.report_of(ref(), generation=2))[0].verdict is Verdict.STALE_GENERATION
    assert engine.service.read_resource(ResourceRequest(ref())).snapshot is None
    assert engine.send(engine.report_of(ref(), generation=2), member=B)[0].verdict is Verdict.ACCEPTED


def test_a_batch_is_judged_in_order_and_sent_again_is_the_same(engine):
    engine.start(ref("x"), ref("y"))
    batch = (
        engine.report_of(ref("x"), Condition.PENDING, mark=1), engine.report_of(ref("y"), mark=1),
        engine.report_of(ref("x"), Condition.ACTIVE, mark=1), engine.report_of(ref("z")),
    )
    first = engine.send(*batch)
    assert [one.verdict.value for one in first] == ["accepted", "accepted", "accepted", "not_observed"]
    assert [one.version for one in first] == [1, 2, 3, None]
    again = engine.send(*batch)
    assert [one.verdict.value for one in again] == ["superseded", "accepted", "accepted", "not_observed"]
    assert [one.version for one in again] == [None, 2, 3, None]
    assert len(engine.service.changes(ChangesRequest()).deltas) == 3


def test_a_report_with_another_partition_is_refused(engine):
    engine.start(ref())
    wrong = Report(ref(), (partition(ref(), P) + 1) % P, 1, 1, Snapshot(True, Condition.ACTIVE), Cause.NOTIFIED)
    with pytest.raises(InvalidInput, match="8 partitions"):
        engine.send(wrong)


def test_what_is_gone_keeps_its_project_and_name(engine):
    engine.start(ref())
    engine.report(ref(), project_id="p", name="web", mark=1)
    engine.report(ref(), Condition.DELETED)
    seen = engine.service.read_resource(ResourceRequest(ref())).snapshot
    assert (seen.exists, seen.project_id, seen.name) == (False, "p", "web")
    assert [one.project_id for one in engine.service.changes(ChangesRequest(project_id="p")).deltas] == ["p", "p"]


def test_lists_come_in_pages_and_each_partition_is_complete_once(engine):
    engine.start(*(ref(f"r{number}") for number in range(25)))
    seen, complete, after = [], [], None
    while True:
        page = engine.service.observed(ObservedRequest(A, tuple(engine.held.items()), after, limit=4))
        seen += [(partition(one.ref, P), one.ref) for one in page.refs]
        complete += [number for number, _ in page.complete]
        if page.next is None:
            break
        after = page.next
    assert len(seen) == 25 and seen == sorted(seen)
    assert complete == list(range(P))


def test_a_list_that_grows_meanwhile_is_complete_to_the_version_of_its_first_page(engine):
    """A start between two pages, before the place reached, must come by follow: so the older version counts."""
    names = [f"r{number}" for number in range(60)]
    number = partition(ref(names[0]), P)
    same = sorted(name for name in names if partition(ref(name), P) == number)
    engine.start(*(ref(name) for name in same[1:]))
    held = ((number, 1),)
    page = engine.service.observed(ObservedRequest(A, held, limit=2))
    engine.start(ref(same[0]))
    while page.next is not None:
        assert page.complete == ()
        page = engine.service.observed(ObservedRequest(A, held, page.next, limit=2))
    assert page.complete == ((number, len(same) - 1),)
    assert [one.ref for one in engine.follow(ref(same[0]), len(same) - 1).changed] == [ref(same[0])]


def test_a_list_names_what_was_lost(engine):
    engine.service.claim(ClaimRequest(B, "b", (PartitionClaim(3, ClaimReason.VANISHED),)))
    page = engine.service.observed(ObservedRequest(A, tuple(engine.held.items())))
    assert page.lost == (3,) and 3 not in dict(page.complete)


@pytest.mark.parametrize("token", ["nonsense", "[1]", '["a",1,"r","t","i"]'])
def test_a_token_that_is_none_of_ours_is_refused(engine, token):
    with pytest.raises(InvalidInput, match="of the page before"):
        engine.service.observed(ObservedRequest(A, tuple(engine.held.items()), token))


def test_the_feed_is_filtered_and_next_moves_over_what_was_left_out(engine):
    engine.start(ref("x"), ref("y"))
    engine.report(ref("x"), mark=1)
    engine.report(ref("y"), mark=1)
    page = engine.service.changes(ChangesRequest(resource_id="x"))
    assert [one.version for one in page.deltas] == [1] and page.next == 2
    assert engine.service.changes(ChangesRequest(since=page.next)).next == 2
    assert engine.service.changes(ChangesRequest(limit=1)).next == 1


@pytest.mark.parametrize("since", [-1, 3])
def test_a_version_that_the_feed_does_not_have_is_told(engine, since):
    engine.start(ref())
    engine.report(ref(), mark=1)
    with pytest.raises(FeedTruncated, match="from 0 to 1"):
        engine.service.changes(ChangesRequest(since=since))


def test_a_passed_deadline_makes_one_last_look_and_then_expires(engine):
    (one,) = engine.start(ref(), timeout=60.0)
    engine.report(ref(), Condition.PENDING, mark=1)
    engine.clock.advance(59)
    engine.run_due()
    assert engine.seen(ref()).mark is None
    engine.clock.advance(1)
    engine.run_due()
    assert engine.seen(ref()).mark == 2
    assert engine.observation(one).status is ObservationStatus.WAITING
    engine.clock.advance(15)
    engine.run_due()
    assert engine.observation(one).status is ObservationStatus.EXPIRED
    assert engine.follow(ref(), 2).changed[0].wanted == ()


def test_the_last_look_can_still_meet_the_goal(engine):
    (one,) = engine.start(ref(), timeout=60.0)
    engine.clock.advance(60)
    engine.run_due()
    engine.report(ref(), mark=engine.seen(ref()).mark)
    engine.clock.advance(15)
    engine.run_due()
    assert engine.observation(one).status is ObservationStatus.MET


def test_a_renewed_deadline_counts(engine):
    (one,) = engine.start(ref(), timeout=60.0)
    engine.clock.advance(30)
    engine.start(ref(), timeout=60.0)
    engine.clock.advance(31)
    engine.run_due()
    assert engine.seen(ref()).mark == 1
    engine.clock.advance(29)
    engine.run_due()
    engine.clock.advance(15)
    engine.run_due()
    assert engine.observation(one).status is ObservationStatus.EXPIRED
    (again,) = engine.start(ref(), timeout=60.0)
    assert (again.observation_id, again.status) == (one.observation_id, ObservationStatus.WAITING)
    assert engine.report(ref(), mark=engine.seen(ref()).mark).wanted == ()


def test_old_changes_are_forgotten_and_a_follower_that_slept_reads_its_list_again(engine):
    engine.start(ref())
    engine.clock.advance(upkeep.CHANGES_KEPT + 1)
    engine.start(ref(), project_id="p")
    engine.store.run(lambda tx: upkeep.forget(tx, "core"))
    assert engine.follow(ref(), 0).reload is True
    assert engine.follow(ref(), 1).reload is False


def test_old_deltas_are_forgotten_and_the_feed_says_so(engine):
    engine.start(ref())
    engine.report(ref(), Condition.PENDING, mark=1)
    engine.clock.advance(3601)
    engine.report(ref())
    engine.store.run(lambda tx: upkeep.forget(tx, "core"))
    assert engine.store.read(lambda tx: tx.execute(sa.select(core.delta.c.version)).scalars().all()) == [2]
    with pytest.raises(FeedTruncated):
        engine.service.changes(ChangesRequest(since=0))
    assert [one.version for one in engine.service.changes(ChangesRequest(since=1)).deltas] == [2]


def test_a_read_answers_what_there_is_when_the_time_is_over(engine):
    engine.start(ref())
    assert engine.service.read_resource(ResourceRequest(ref(), wait=0.01)).version == 0
    engine.report(ref(), Condition.PENDING, mark=1)
    found = engine.service.read_resource(ResourceRequest(ref(), wait=0.01, until=Condition.ACTIVE))
    assert found.snapshot.condition is Condition.PENDING
    engine.report(ref(), Condition.ERROR)
    found = engine.service.read_resource(ResourceRequest(ref(), wait=60.0, until=Condition.ACTIVE))
    assert found.snapshot.condition is Condition.ERROR


def test_what_a_stack_observes_is_not_stopped_by_hand(engine):
    (one,) = engine.store.run(lambda tx: watches.start(
        tx, [StartItem(ref("x"), Condition.ACTIVE)], stack_id="s", node_id="n"))
    (other,) = engine.start(ref("y"))
    with pytest.raises(Conflict, match="belongs to stack s"):
        engine.service.stop(StopRequest((other.observation_id, one.observation_id)))
    assert engine.observation(one) == one and engine.observation(other) == other
    # of another project it is not even told that there is one
    assert engine.service.stop(StopRequest((one.observation_id,), "p")).missing == (one.observation_id,)


def test_deltas_that_are_forgotten_while_the_feed_is_read_are_no_silent_gap(engine):
    engine.start(ref())
    for condition in (Condition.PENDING, Condition.ACTIVE, Condition.ERROR):
        engine.report(ref(), condition, mark=1)

    class Between:
        """A transaction before whose second statement the retention is committed."""

        def __init__(self, tx):
            self.tx, self.count = tx, 0

        def execute(self, statement):
            self.count += 1
            if self.count == 2:
                self.tx.execute(sa.delete(core.delta).where(core.delta.c.version <= 2))
                self.tx.execute(sa.update(core.feed).values(pruned_version=2))
            return self.tx.execute(statement)

    with pytest.raises(FeedTruncated):
        engine.store.run(lambda tx: changes.read_page(Between(tx), ChangesRequest(), 1))


def test_changes_that_are_forgotten_while_a_follower_reads_are_no_silent_gap(engine):
    engine.start(ref())
    number = partition(ref(), P)
    for _ in range(2):
        engine.service.mark(MarkRequest((ref(),), "test"))
    assert not engine.follow(ref(), 1).reload
    # as it looks when the retention comes between reading the partition and reading its changes
    engine.store.run(lambda tx: tx.execute(sa.delete(core.partition_change).where(
        core.partition_change.c.partition_id == number, core.partition_change.c.version <= 2)))
    assert engine.follow(ref(), 1).reload and not engine.follow(ref(), 2).reload

"""Loading, following, marking and handing over against the real engine on SQLite, without threads, in virtual time."""
import threading

import pytest

from obsvc.engine.service import EngineService
from obsvc.engine_client.observations import StartItem, StartRequest, StopRequest
from obsvc.engine_client.ownership import ClaimReason, ClaimRequest, PartitionClaim
from obsvc.engine_client.reports import MarkRequest, Report, Verdict
from obsvc.exceptions import Unavailable
from obsvc.model import Cause, Condition, Snapshot
from obsvc.observer.engine_link.reporter import Reporter
from obsvc.observer.state.values import RefStatus
from tests.support.engine_store import new_store
from tests.support.observer_member import Connected
from tests.support.observer_state import PARTITIONS, FakeDelivery, ref_in

A, B = ref_in(3), ref_in(3, 1)


@pytest.fixture
def service():
    return EngineService(new_store(partitions=PARTITIONS))


@pytest.fixture
def member(service):
    return Connected(service, service.store.clock)


def start(member, *refs):
    return member.engine.start(StartRequest(tuple(StartItem(one) for one in refs))).observations


def settled(member):
    """Look and report until nothing more is due."""
    while member.step() or member.queue.waiting:
        member.report()
        member.clock.advance(1.0)


def test_a_list_is_loaded_and_what_is_started_later_is_followed(member):
    start(member, A)
    member.claim()
    assert member.holdings.ref_status(A) is RefStatus.OBSERVED and member.step() == [Cause.STARTED]
    member.report()
    observation = start(member, B)[0]
    member.follow()
    assert member.holdings.ref_status(B) is RefStatus.OBSERVED
    member.engine.stop(StopRequest((observation.observation_id,)))
    member.follow()
    assert member.holdings.ref_status(B) is RefStatus.NOT_OBSERVED
    assert member.holdings.to_follow()[0][2] > 1


def test_a_mark_of_somebody_else_is_looked_at_and_cleared_by_the_report(member):
    start(member, A)
    member.claim()
    settled(member)
    member.engine.mark(MarkRequest((A,), "check"))
    member.follow()
    assert member.step() == [Cause.MARKED]
    member.report()
    assert member.holdings.task(A).observed.mark is None
    member.follow()
    assert member.holdings.task(A).observed.mark is None and member.step() == []


def test_an_overdue_delivery_is_marked_and_so_settled_and_the_next_report_clears_the_mark(member):
    start(member, A)
    member.claim()
    settled(member)
    delivery = member.take(A)
    assert member.marker.mark_batch() is False and delivery.settled == 0
    member.clock.advance(10)
    member.marker.mark_batch()
    assert delivery.settled == 1
    assert member.holdings.task(A).observed.mark is not None
    member.follow()
    settled(member)
    assert member.holdings.task(A).observed.mark is None


def test_with_the_engine_away_nothing_is_settled_and_what_was_hurried_is_kept(member):
    start(member, A)
    member.claim()
    settled(member)
    delivery = member.take(A)
    member.mark_requests.mark_soon([A])
    member.engine.away = True
    with pytest.raises(Unavailable):
        member.marker.mark_batch()
    assert delivery.settled == 0 and member.mark_requests.pending == 1
    member.engine.away = False
    member.marker.mark_batch()
    assert delivery.settled == 1 and member.mark_requests.pending == 0


def test_a_partition_handed_over_leaves_every_open_look_as_a_mark(member, service):
    start(member, A, B)
    member.claim()
    settled(member)
    delivery = member.take(A)
    member.give(3)
    assert delivery.settled == 1 and member.released == [(3, 1)]
    assert member.holdings.ref_status(A) is RefStatus.NOT_OWNED and member.queue.waiting == 0

    other = Connected(service, member.clock, "obs-2")
    other.claim()
    assert other.step() == [Cause.TAKEOVER] and other.fetches == [A]
    other.report()
    assert other.holdings.task(A).observed.mark is None


def test_a_notification_that_only_the_next_owner_heard_in_time_is_looked_at(member, service):
    """After the release, the old owner drops it as not its own; the new one heard it before its grant."""
    start(member, A)
    member.claim()
    settled(member)
    member.give(3)
    other = Connected(service, member.clock, "obs-2")
    assert member.take(A).settled == 1 and other.take(A).settled == 1
    other.claim()
    assert other.step() == [Cause.TAKEOVER]


def test_a_partition_that_is_lost_while_a_look_is_owed_is_marked(member, service):
    start(member, A)
    member.claim()
    settled(member)
    delivery = member.take(A)
    other = Connected(service, member.clock, "obs-2")
    other.claim(reason=ClaimReason.VANISHED)
    member.follow()
    assert member.lost == [3] and delivery.settled == 0
    member.marker.mark_batch()
    assert delivery.settled == 1
    other.follow()
    assert other.holdings.task(A).observed.mark is not None


def test_a_late_report_is_refused_and_what_it_saw_is_marked(member, service):
    start(member, A)
    member.claim()
    settled(member)
    delivery = member.take(A)
    member.step()
    other = Connected(service, member.clock, "obs-2")
    other.claim(reason=ClaimReason.VANISHED)
    member.report()
    assert member.stale == [(3, 1)] and member.marked_soon == [A] and delivery.settled == 0


def test_the_list_of_a_partition_lost_meanwhile_is_not_read_for_ever(member, service):
    other = Connected(service, member.clock, "obs-2")
    claim = ClaimRequest(member.member, "one", (PartitionClaim(3, ClaimReason.VACANT),))
    member.worker.granted(member.engine.claim(claim).grants[0])
    other.claim(reason=ClaimReason.VANISHED)
    member.loader.load(dict(member.holdings.loading()))
    assert member.lost == [3] and member.holdings.loading() == []


def test_a_settle_look_that_is_still_to_come_is_handed_over_as_a_mark(member, service):
    start(member, A)
    member.claim()
    settled(member)
    delivery = member.take(A)
    member.step()
    member.report()
    assert delivery.settled == 1 and member.holdings.awaits_look(A)
    member.give(3)
    other = Connected(service, member.clock, "obs-2")
    other.claim()
    assert other.holdings.task(A).observed.mark is not None and other.step() == [Cause.TAKEOVER]


def test_a_name_that_cannot_be_sent_holds_no_other_mark_up(member):
    start(member, A)
    member.claim()
    settled(member)
    bad = A.__class__(A.region, A.resource_type, "x\ud800")
    delivery, good = FakeDelivery(member.clock), member.take(A)
    member.deliveries.register(delivery, [bad])
    member.mark_requests.mark_soon([bad, A])
    member.marker.mark_batch()
    assert member.mark_requests.pending == 0 and good.settled == 1 and delivery.settled == 1


def test_a_report_that_cannot_be_written_as_json_holds_no_other_up(member):
    start(member, A, B)
    member.claim()
    reporter = Reporter(member.engine, member.member, clock=member.clock)
    task = member.holdings.task(A)
    told = []
    for number, name in enumerate(["x\ud800", "fine"]):
        one = (A, B)[number]
        reporter.submit(
            Report(one, task.partition, task.generation, 5 + number, Snapshot(True, Condition.ACTIVE, name=name),
                   Cause.NOTIFIED), told.append)
    member.clock.advance(1)
    for _ in range(5):
        reporter.step()
    assert [one and one.verdict for one in told] == [None, Verdict.ACCEPTED] and reporter.backlog == 0


def test_a_look_that_fails_costs_neither_its_thread_nor_the_next_look(member):
    start(member, A)
    member.claim()
    stop = threading.Event()
    real = member.fetch

    def fetch(ref):
        if len(member.fetches) == 0:
            member.fetches.append(ref)
            raise ZeroDivisionError("a bug")
        stop.set()
        return real(ref)

    member.fetch = fetch
    member.look_runner._queue.get = lambda timeout, get=member.queue.get: (member.clock.advance(1), get())[1]
    member.look_runner.run(stop)
    assert len(member.fetches) == 2 and len(member.reports) == 1


def granted_only(member, reason=ClaimReason.VACANT):
    """A grant whose list is not read yet."""
    claim = ClaimRequest(member.member, f"{member.member}-{member.clock.time()}", (PartitionClaim(3, reason),))
    for grant in member.engine.claim(claim).grants:
        member.worker.granted(grant)


def test_a_partition_handed_over_before_its_list_was_read_is_still_taken_over(member, service):
    """The first owner vanished with a look owed; the second hands over at once; the third must look."""
    start(member, A)
    member.claim()
    settled(member)
    member.take(A)  # unsettled, and then the process is gone
    second, third = Connected(service, member.clock, "obs-2"), Connected(service, member.clock, "obs-3")
    granted_only(second, ClaimReason.VANISHED)
    second.give(3)
    assert second.released
    third.claim()
    member.clock.advance(60)
    assert third.step() == [Cause.TAKEOVER] and third.fetches == [A]


def test_a_partition_is_taken_over_before_it_may_be_handed_over_as_such(member, service):
    """Between the list's end and the takeover's decision the next owner is told of the owner before, too."""
    start(member, A)
    member.claim()
    settled(member)
    second, third = Connected(service, member.clock, "obs-2"), Connected(service, member.clock, "obs-3")
    second.triggers.lists_completed = lambda completed: second.give(3)
    second.claim(reason=ClaimReason.VANISHED)
    assert second.released
    third.claim()
    member.clock.advance(60)
    assert third.step() == [Cause.TAKEOVER]


def test_a_member_that_has_not_taken_over_knows_it(member):
    granted_only(member)
    assert member.holdings.not_taken_over() == [3]
    member.loader.load(dict(member.holdings.loading()))
    assert member.holdings.not_taken_over() == []


def test_nothing_is_released_while_what_slipped_in_is_not_marked(member):
    start(member, A)
    member.claim()
    settled(member)
    delivery = FakeDelivery(member.clock)
    drop, stop = member.holdings.drop, threading.Event()

    def slip_in(number, generation=None):
        member.deliveries.register(delivery, [A])
        member.engine.away = True
        return drop(number, generation)

    member.holdings.drop = slip_in
    stop.wait = lambda seconds: setattr(member.engine, "away", False)
    member.clock.advance(1)
    member.give(3, stop)
    assert member.released == [(3, 1)] and delivery.settled == 1


def test_a_ref_observed_anew_while_it_is_forgotten_is_looked_at(member):
    """The answer "not observed" and a new start cross: one thread forgets what another has just made due."""
    [one] = start(member, A)
    member.claim()
    settled(member)
    forget = member.queue.forget

    def crossed(refs):
        member.queue.forget = forget
        start(member, A)
        member.follow()
        forget(refs)

    member.take(A)
    member.step()
    member.engine.stop(StopRequest((one.observation_id,)))
    member.queue.forget = crossed
    member.report()
    assert member.holdings.ref_status(A) is RefStatus.OBSERVED
    member.clock.advance(2)
    assert member.step() == [Cause.STARTED]


def test_a_ref_that_is_let_go_of_before_its_resync_look_is_not_waited_for(member):
    start(member, A)
    member.claim()
    settled(member)
    refs = member.holdings.refs
    member.holdings.refs = lambda region: (refs(region), member.worker.lost(3, 1, "test"))[0]
    member.catch_up.resync("RegionOne", "gap")
    assert len(member.catch_up) == 0

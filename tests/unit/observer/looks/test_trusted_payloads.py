"""Trusted payloads: taken only where nothing can be lost by it, and what is older never overwrites what is known."""
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from obsvc.engine_client.ownership import PartitionChanges
from obsvc.engine_client.reports import ReportOutcome, Verdict
from obsvc.model import Cause, Condition, PayloadState, Snapshot, Urgency
from obsvc.observer.fetching.result import FetchOutcome, FetchResult
from obsvc.observer.looks.trusted_payloads import PayloadFate, TrustedPayloads, judge
from obsvc.observer.state.look_state import LookState
from tests.support.observer_member import Member
from tests.support.observer_state import FakeDelivery, notification, observed, ref_in

A = ref_in(3)


def body(name="one", condition=Condition.ACTIVE, **fields):
    return Snapshot(True, condition, condition.value.upper(), project_id=fields.pop("project_id", "p1"), name=name,
                    settled=condition is not Condition.PENDING, attributes={"name": name}, **fields)


KNOWS = LookState(0.0, last=body(fetched_at=5.0, request_id="r", updated_at="2026-01-01T00:00:00Z"), order=5.0)


# -- the decision


@pytest.mark.parametrize(("payload", "state", "outcome"), [
    (PayloadState(body("two"), 6.0), KNOWS, PayloadFate.TAKEN),
    (PayloadState(body("two"), 4.0), KNOWS, PayloadFate.STALE),
    (PayloadState(body(updated_at="2026-01-01T00:00:00.000000"), 5.0), KNOWS, PayloadFate.KNOWN),
    (PayloadState(body("two"), 5.0), KNOWS, "same_order"),
    (PayloadState(body("two", Condition.PENDING), 6.0), KNOWS, PayloadFate.TAKEN),
    (PayloadState(body("two", Condition.ERROR), 6.0), KNOWS, PayloadFate.TAKEN),
    (PayloadState(body("two", Condition.UNKNOWN), 6.0), KNOWS, "no_condition"),
    (PayloadState(msgspec.structs.replace(body(), exists=False), 6.0), KNOWS, "no_condition"),
    (PayloadState(body("two", project_id="another"), 6.0), KNOWS, "other_project"),
    (PayloadState(lacks="mtu"), KNOWS, "incomplete"),
    (PayloadState(body("two")), KNOWS, "incomplete"),
    (PayloadState(body("two"), 6.0), LookState(0.0), "nothing_known"),
    (PayloadState(body("two"), 6.0), replace(KNOWS, order=None), "nothing_known"),
    (PayloadState(body("two"), 6.0), replace(KNOWS, absent_since=1.0), "nothing_known"),
    (PayloadState(body("two"), 6.0), replace(KNOWS, last=Snapshot(False, Condition.DELETED, project_id="p1")),
     "nothing_known"),
])
def test_what_becomes_of_a_payload(payload, state, outcome):
    assert judge(payload, state) == outcome


# -- a member


class Trusting(Member):
    """A member that takes payloads at their word; ``latest`` is what the service has, as (order, snapshot)."""

    def __init__(self):
        super().__init__()
        self.trusted_payloads = TrustedPayloads(
            policy=self.policy, queue=self.queue, holdings=self.holdings, deliveries=self.deliveries,
            reports=self.look_reports, recall=self.recall, clock=self.clock,
        )
        self.intake._payloads = self.trusted_payloads
        self.latest = (1.0, body("one"))
        self.copies = []  # the engine's copy, as each report made it

    def fetch(self, ref):
        self.fetches.append(ref)
        began = self.clock.monotonic()
        self.clock.advance(0.1)
        order, snapshot = self.latest
        return FetchResult(ref, FetchOutcome.FOUND, began, self.clock.time(), snapshot, order)

    def submit(self, report, on_outcome):
        """Keep the newest report of a ref, as the reporter does."""
        older, self.reports = self.reports, [report]
        for each in older:
            self.look_reports.answered(each, None)

    def change(self, name, condition=Condition.ACTIVE):
        """A change of the resource; the notification of it, not delivered yet."""
        self.latest = (self.latest[0] + 1, body(name, condition))
        return msgspec.structs.replace(notification(A), payload_state=PayloadState(self.latest[1], self.latest[0]))

    def hear(self, message):
        delivery = FakeDelivery(self.clock)
        self.intake.take(message, delivery)
        self.clock.advance(0.01)
        return delivery

    def answer(self, verdict=Verdict.ACCEPTED, **fields):
        self.copies += [report.snapshot.name for report in self.reports]
        super().answer(verdict, **fields)

    def settle(self):
        """Make every look that is due, now or within a settle delay, and answer all reports."""
        for _ in range(4):
            self.step()
            self.answer()
            self.clock.advance(1.1)


@pytest.fixture
def member():
    """One that has looked at A, which exists and is as it shall be."""
    made = Trusting()
    made.gain()
    made.schedule.applied(made.holdings.apply(PartitionChanges(3, 2, changed=(observed(A, mark=1, wanted=()),)), 1))
    made.settle()
    made.fetches, made.copies = [], []
    return made


def test_a_newer_payload_is_reported_without_a_fetch_and_settled_by_the_answer(member):
    delivery = member.hear(member.change("two"))
    assert member.step() == [] and member.fetches == []
    (report,) = member.reports
    assert (report.cause, report.snapshot.name, report.mark) == (Cause.PAYLOAD, "two", None)
    assert delivery.settled == 0
    member.answer()
    assert delivery.settled == 1 and member.queue.waiting == 0 and not member.queue.processing


def test_each_of_a_burst_is_told_and_the_last_answer_settles_all(member):
    deliveries = [member.hear(member.change(name)) for name in ("two", "three", "four")]
    member.answer()
    assert member.fetches == [] and member.copies == ["four"]
    assert [each.settled for each in deliveries] == [1, 1, 1]


def test_a_late_and_a_doubled_payload_leave_what_is_known(member):
    late, newest = member.change("two"), member.change("three")
    deliveries = [member.hear(each) for each in (newest, late, newest)]
    member.answer()
    assert member.fetches == [] and set(member.copies) == {"three"}
    assert [each.settled for each in deliveries] == [1, 1, 1]


@pytest.mark.parametrize("payload", [
    PayloadState(lacks="binding:host_id"), PayloadState(body("x"), 1.0),
    PayloadState(body("x", Condition.UNKNOWN), 9.0),
])
def test_what_does_not_do_for_a_snapshot_is_looked_at(member, payload):
    member.change("two")
    delivery = member.hear(msgspec.structs.replace(notification(A), payload_state=payload))
    member.settle()
    assert member.fetches and member.copies[-1] == "two" and delivery.settled == 1


def test_a_notification_of_several_is_looked_at(member):
    message = msgspec.structs.replace(member.change("two"), refs=(A, ref_in(4)))
    member.hear(message)
    assert member.reports == [] and member.step() == [Cause.NOTIFIED]


def test_while_a_look_is_due_a_payload_settles_nothing_of_it(member):
    waiting = member.hear(notification(A))
    told = member.hear(member.change("two"))
    assert member.reports == []
    member.step()
    member.answer()
    assert (waiting.settled, told.settled) == (1, 1) and member.fetches == [A]


def test_what_is_told_while_a_look_is_under_way_is_looked_at_after_it(member):
    told = []
    real = member.fetch

    def fetch(ref):
        fetched = real(ref)  # the cloud's answer is from before the change
        if not told:
            told.append(member.hear(member.change("two")))
        return fetched

    member.fetch = fetch
    member.hear(notification(A))
    member.step()
    member.answer()
    assert told[0].settled == 0
    member.settle()
    assert told[0].settled == 1 and member.copies[-1] == "two"


def test_while_a_look_s_report_is_not_answered_nothing_is_told(member):
    """The look's report names a mark and answers for deliveries; one in its place would do neither."""
    member.change("two")
    waiting = member.hear(notification(A, state="ACTIVE", look=Urgency.NOW))
    assert member.step() == [Cause.NOTIFIED] and member.queue.waiting == 0
    told = member.hear(member.change("three"))
    assert [report.cause for report in member.reports] == [Cause.NOTIFIED]
    member.settle()
    assert (waiting.settled, told.settled, member.copies[-1]) == (1, 1, "three")


def test_a_mark_waits_for_its_look(member):
    member.holdings.marked(A, 7)
    member.schedule.marked(A)
    member.hear(member.change("two"))
    assert member.reports == [] and len(member.step()) == 1
    assert [report.mark for report in member.reports] == [7]


def test_a_mark_that_comes_while_a_payload_is_reported_is_not_cleared_by_it(member):
    member.hear(member.change("two"))
    member.holdings.marked(A, 7)
    member.answer()
    member.step()
    assert [(report.cause, report.mark) for report in member.reports] == [(Cause.MARKED, 7)]


def test_the_answer_settles_no_delivery_that_waits_for_a_look(member):
    early = FakeDelivery(member.clock)
    member.clock.advance(0.01)
    told = member.hear(member.change("two"))
    member.deliveries.register(early, [A])  # another bus's thread, not further yet
    member.answer()
    assert (told.settled, early.settled) == (1, 0)


def test_the_answer_to_an_older_one_settles_none_that_came_after(member):
    first = member.hear(member.change("two"))
    sent, member.reports = member.reports, []
    second = member.hear(member.change("three"))
    member.look_reports.answered(sent[0], ReportOutcome(Verdict.ACCEPTED))
    assert (first.settled, second.settled) == (1, 0)
    member.answer()
    assert second.settled == 1


def test_a_mark_that_is_known_and_whose_look_is_not_due_yet_is_not_cleared(member):
    member.holdings.marked(A, 7)  # by another thread, which has not got to the queue
    member.hear(member.change("two"))
    assert [report.mark for report in member.reports] == [None]
    member.answer()
    assert member.step() == [Cause.MARKED]


def test_a_look_that_is_owed_since_just_now_stays_owed(member):
    instead = member.queue.replace_poll

    def late(ref):
        member.holdings.request_look(ref)  # by another thread, which has not got to the queue
        return instead(ref)

    member.queue.replace_poll = late
    member.hear(member.change("two"))
    member.answer()
    assert member.copies == ["two"] and member.holdings.awaits_look(A)


def test_a_new_owner_looks_first():
    member = Trusting()
    member.gain(observed(A, wanted=(), last=body()))
    delivery = member.hear(member.change("two"))
    member.settle()
    assert member.fetches and delivery.settled == 1 and member.copies[-1] == "two"
    fetches = len(member.fetches)
    member.hear(member.change("three"))
    member.answer()
    assert len(member.fetches) == fetches and member.copies[-1] == "three"


def test_a_partition_lost_meanwhile_is_marked(member):
    delivery = member.hear(member.change("two"))
    member.answer(Verdict.STALE_GENERATION)
    assert member.marked_soon == [A] and member.stale == [(3, 1)] and delivery.settled == 0


def test_while_something_is_under_way_polling_stands_behind_and_the_next_payload_replaces_the_poll(member):
    member.hear(member.change("two", Condition.PENDING))
    member.answer()
    assert member.step() == [] and member.queue.waiting == 1
    member.hear(member.change("two"))
    member.answer()
    assert member.queue.waiting == 0 and member.fetches == []


def test_without_the_next_payload_the_poll_finds_it(member):
    member.hear(member.change("two", Condition.PENDING))
    member.answer()
    member.change("two")
    member.clock.advance(20)
    assert member.step() == [Cause.POLLED]


def test_a_goal_not_reached_is_polled_for_as_after_a_look(member):
    member.hear(member.change("two"))
    member.answer(wanted=(Condition.DELETED,))
    member.clock.advance(20)
    assert member.step() == [Cause.POLLED]


@given(st.data(), st.integers(1, 8))
def test_in_whatever_order_and_number_they_come_the_newest_stands(data, count):
    """Any delivery of any subset that has the newest, each up to twice, with looks and answers in between."""
    member = Trusting()
    member.gain()
    member.schedule.applied(member.holdings.apply(PartitionChanges(3, 2, changed=(observed(A, mark=1, wanted=()),)), 1))
    member.settle()
    messages = [member.change(f"v{number}") for number in range(count)]
    newest = messages[-1]
    untold = [notification(A), notification(A, state="ACTIVE", look=Urgency.NOW)]
    some = data.draw(st.lists(st.sampled_from([*messages, *untold]), max_size=12))
    order = data.draw(st.permutations([*some, newest]))
    known = 1.0
    deliveries = []
    for message in order:
        deliveries.append(member.hear(message))
        step = data.draw(st.sampled_from(["nothing", "answer", "look"]))
        if step == "look":
            member.step()
        if step != "nothing":
            member.answer()
        state = member.holdings.task(A).look
        assert state.order >= known, "an older one overwrote a newer"
        known = state.order
    member.settle()
    assert member.holdings.task(A).look.last.name == newest.payload_state.snapshot.name
    assert member.copies[-1] == newest.payload_state.snapshot.name
    assert all(each.settled for each in deliveries) and not len(member.deliveries)

"""Due looks of one type that share one request: each is decided and reported by itself, and none is lost."""
from __future__ import annotations

import pytest

from obsvc.model import Cause
from obsvc.observer.fetching.result import FetchOutcome, FetchResult
from tests.support.observer_member import Member, seen
from tests.support.observer_state import ref_in, snapshot


class Lists:
    """A cloud whose lists have all but ``lacking``."""

    def __init__(self, member, lacking=()):
        self.member, self.lacking, self.asked, self.error = member, set(lacking), [], None

    def most_together(self, ref):
        return 3

    def fetch_many(self, refs):
        self.asked.append(refs)
        if self.error is not None:
            raise self.error
        began = self.member.clock.monotonic()
        self.member.clock.advance(0.1)
        return {ref: FetchResult(ref, FetchOutcome.FOUND, began, self.member.clock.time(), snapshot()) for ref in refs
                if ref not in self.lacking}


@pytest.fixture
def refs():
    return [ref_in(3, nth) for nth in range(5)]


@pytest.fixture
def member(refs):
    made = Member()
    made.lists = Lists(made)
    made.most_together, made.fetch_many = made.lists.most_together, made.lists.fetch_many
    made.gain(*(seen(each) for each in refs))
    while made.step() or made.queue.waiting:
        made.answer()
        made.clock.advance(100.0)
    made.fetches.clear(), made.reports.clear(), made.lists.asked.clear()
    return made


def due(member, refs):
    for ref in refs:
        member.queue.add(ref, Cause.MARKED)
    member.step()


def test_due_looks_go_together_and_each_is_reported_by_itself(member, refs):
    due(member, refs)
    assert [len(each) for each in member.lists.asked] == [3, 2] and member.fetches == []
    assert {report.ref for report in member.reports} == set(refs)
    numbers = [report.sequence for report in member.reports]
    assert len(set(numbers)) == 5 and member.queue.processing == frozenset()


def test_one_look_is_made_as_ever(member, refs):
    due(member, refs[:1])
    assert member.lists.asked == [] and member.fetches == refs[:1]


def test_absence_from_a_list_is_confirmed_alone_at_once(member, refs):
    member.lists.lacking = {refs[1]}
    member.answers[refs[1]] = FetchResult(refs[1], FetchOutcome.ABSENT, member.clock.monotonic(), member.clock.time())
    due(member, refs[:3])
    assert member.lists.asked == [tuple(refs[:3])] and member.fetches == [refs[1]]
    assert refs[1] not in {report.ref for report in member.reports if not report.snapshot.exists}, "404 needs a second"
    assert {report.ref for report in member.reports} >= {refs[0], refs[2]}


def test_a_ref_that_is_no_longer_ours_takes_no_part(member, refs):
    member.holdings.drop(3, 1)
    due(member, refs[:3])
    assert member.fetches == [] and member.reports == [] and member.queue.processing == frozenset()


def test_a_bug_in_lists_costs_a_look_alone_and_no_look_is_lost(member, refs):
    member.lists.error = RuntimeError("bug")
    due(member, refs[:3])
    assert sorted(member.fetches) == sorted(refs[:3]) and len(member.reports) == 3

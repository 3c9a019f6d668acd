"""The changes feed as an API process shares it, over a real engine (SQLite in memory)."""
from __future__ import annotations

import threading

import pytest

from obsvc.api.access.policy import OPERATOR, Caller
from obsvc.api.streaming import feed as feeds
from obsvc.api.streaming.feed import Feed, Filter
from obsvc.engine_client.observations import StartItem, StartRequest
from obsvc.exceptions import FeedTruncated, Unavailable
from obsvc.model import Condition, Ref
from tests.unit.api.test_api import House

ANY = Filter(OPERATOR)
ONE, TWO = (Ref("RegionOne", "compute.server", each) for each in ("one", "two"))


class Asked:
    """An engine that counts what it is asked, and can be away."""

    def __init__(self, engine):
        self._engine, self.changes_asked, self.away = engine, [], False

    def changes(self, request):
        if self.away:
            raise Unavailable("the engine is away")
        self.changes_asked.append(request)
        return self._engine.changes(request)


@pytest.fixture
def house():
    made = House()
    made.own()
    made.engine.start(StartRequest((StartItem(ONE), StartItem(TWO))))
    made.asked = Asked(made.engine)
    made.feed = Feed(made.asked, kept=4)
    yield made
    made.feed.stop()
    made.service.shutdown()


def change(house, ref=ONE, project_id="p1"):
    """One change of ``ref``; its version."""
    condition = Condition.ACTIVE if house.sequence % 2 else Condition.PENDING
    return house.see(ref, condition, project_id=project_id).version


def versions(page):
    return [each.delta.version for each in page.entries]


def followed(house, upto):
    """Wait until the feed has it in memory."""
    with house.feed.signal() as signal:
        while house.feed._newest is None or house.feed._newest < upto:
            signal.wait(10)


def test_a_page_is_read_from_memory_where_that_has_it_and_from_the_engine_where_not(house):
    change(house)
    with house.feed.signal() as signal:
        while house.feed._newest is None:
            signal.wait(10)
        upto = [change(house) for _ in range(12)][-1]
        followed(house, upto)
        house.asked.changes_asked.clear()
        assert versions(house.feed.page(ANY, 10, 500)) == [11, 12, 13]
        assert house.feed.page(ANY, 13, 500) == ([], 13)
        assert versions(house.feed.page(ANY, 10, 2)) == [11, 12] and house.feed.page(ANY, 10, 2).next == 12
        assert [each for each in house.asked.changes_asked if not each.wait] == []
        assert versions(house.feed.page(ANY, 0, 500)) == list(range(1, 14))
        assert [each.since for each in house.asked.changes_asked if not each.wait] == [0]
        assert len(house.feed._entries) <= 8
        with pytest.raises(FeedTruncated):
            house.feed.page(ANY, 99, 500)


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_filter_leaves_out_and_moves_on(house, in_memory):
    with house.feed.signal() if in_memory else threading.Lock():
        if in_memory:
            followed(house, 0)
        change(house, ONE, "p1")
        change(house, TWO, "p2")
        change(house, TWO, "p2")
        if in_memory:
            followed(house, 3)
        page = house.feed.page
        assert versions(page(Filter(OPERATOR, resource_id="one"), 0, 500)) == [1]
        assert page(Filter(OPERATOR, resource_id="one"), 0, 500).next == 3
        assert page(Filter(OPERATOR, resource_id="one"), 0, 1).next == 1
        assert versions(page(Filter(OPERATOR, project_id="p2"), 0, 500)) == [2, 3]
        assert versions(page(Filter(OPERATOR, region="Two"), 0, 500)) == []
        assert versions(page(Filter(OPERATOR, resource_type="network.port"), 0, 500)) == []
        ann = Caller("ann", "p1", ("member",))
        assert page(Filter(ann), 0, 500)._replace(entries=[]) == ([], 3) and versions(page(Filter(ann), 0, 500)) == [1]
        assert versions(page(Filter(ann, project_id="p2"), 0, 500)) == []


def test_pages_of_which_nothing_passes_are_passed_over(house):
    for _ in range(3):
        change(house, TWO)
    change(house, ONE)
    house.engine.start(StartRequest((StartItem(Ref("Two", "compute.server", "one")),)))
    change(house, Ref("Two", "compute.server", "one"))
    assert versions(house.feed.page(Filter(OPERATOR, region="Two"), 0, 1)) == [5]
    assert house.feed.page(Filter(OPERATOR, region="Three"), 0, 1) == ([], 5)


def test_what_is_asked_for_by_its_label_is_not_taken_from_memory(house):
    with house.feed.signal():
        followed(house, 0)
        house.engine.start(StartRequest((StartItem(TWO, labels={"a": "b"}),)))
        change(house, ONE)
        upto = change(house, TWO)
        followed(house, upto)
        assert versions(house.feed.page(Filter(OPERATOR, label=("a", "b")), 0, 500)) == [upto]


def test_who_waits_for_a_resource_is_woken_by_its_change_alone(house):
    with house.feed.signal(ONE) as one, house.feed.signal(TWO) as two:
        followed(house, 0)
        for signal in (one, two):
            signal._event.clear()
        change(house, TWO)
        followed(house, 1)
        assert two._event.is_set() and not one._event.is_set()
        house.feed.tell(ONE)
        assert one._event.is_set()
    assert house.feed.waiting == 0


def test_nobody_waits_and_the_feed_is_let_go(house, monkeypatch):
    monkeypatch.setattr(feeds, "LINGER", 0.0)
    monkeypatch.setattr(feeds, "POLL", 0.0)
    followed(house, 0)
    for _ in range(1000):
        if house.feed._newest is None:
            break
        threading.Event().wait(0.01)
    assert house.feed._newest is None and not house.feed._somebody.is_set()
    change(house)
    followed(house, 1)
    assert house.feed.page(ANY, 1, 500) == ([], 1)


def test_an_engine_that_is_away_for_a_while_costs_no_change(house, monkeypatch):
    monkeypatch.setattr(feeds, "PAUSE", 0.01)
    monkeypatch.setattr(feeds, "POLL", 0.01)
    with house.feed.signal():
        followed(house, 0)
        house.asked.away = True
        change(house)
        change(house)
        house.asked.away = False
        followed(house, 2)
        assert versions(house.feed.page(ANY, 0, 500)) == [1, 2]


def test_another_feed_at_the_engine_is_followed_anew_and_wakes_everybody(house, monkeypatch):
    monkeypatch.setattr(feeds, "POLL", 0.01)
    with house.feed.signal(ONE) as one:
        change(house)
        followed(house, 1)
        house.feed._newest = 7  # as after a restored database: the engine knows no such version
        one._event.clear()
        assert one._event.wait(10)
        followed(house, 1)
        assert house.feed._newest == 1
        with pytest.raises(FeedTruncated):
            house.feed.page(ANY, 7, 500)


def test_the_end_of_the_process_wakes_for_good(house):
    with house.feed.signal(ONE) as signal:
        threading.Timer(0.05, house.feed.stop).start()
        for _ in range(2):
            with pytest.raises(Unavailable):
                while True:
                    signal.wait(60)

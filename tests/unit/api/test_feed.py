"""The changes feed as an API process shares it, over a real engine (SQLite in memory)."""
from __future__ import annotations

import threading

import pytest

from obsvc.api.caller import OPERATOR, Caller
from obsvc.api.streaming import feed as feeds
from obsvc.api.streaming.feed import Feed, Filter
from obsvc.engine_client.observations import StartItem, StartRequest
from obsvc.exceptions import FeedTruncated, Unavailable
from obsvc.model import Condition, Ref
from tests.support.in_memory_api import InMemoryApi

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
def api():
    made = InMemoryApi()
    made.own()
    made.engine.start(StartRequest((StartItem(ONE), StartItem(TWO))))
    made.asked = Asked(made.engine)
    made.feed = Feed(made.asked, kept=4)
    yield made
    made.feed.stop()
    made.service.shutdown()


def change(api, ref=ONE, project_id="p1"):
    """One change of ``ref``; its version."""
    condition = Condition.ACTIVE if api.sequence % 2 else Condition.PENDING
    return api.see(ref, condition, project_id=project_id).version


def versions(page):
    return [each.delta.version for each in page.entries]


def followed(api, upto):
    """Wait until the feed has it in memory."""
    with api.feed.signal() as signal:
        while api.feed._newest is None or api.feed._newest < upto:
            signal.wait(10)


def test_a_page_is_read_from_memory_where_that_has_it_and_from_the_engine_where_not(api):
    change(api)
    with api.feed.signal() as signal:
        while api.feed._newest is None:
            signal.wait(10)
        upto = [change(api) for _ in range(12)][-1]
        followed(api, upto)
        api.asked.changes_asked.clear()
        assert versions(api.feed.page(ANY, 10, 500)) == [11, 12, 13]
        assert api.feed.page(ANY, 13, 500) == ([], 13)
        assert versions(api.feed.page(ANY, 10, 2)) == [11, 12] and api.feed.page(ANY, 10, 2).next == 12
        assert [each for each in api.asked.changes_asked if not each.wait] == []
        assert versions(api.feed.page(ANY, 0, 500)) == list(range(1, 14))
        assert [each.since for each in api.asked.changes_asked if not each.wait] == [0]
        assert len(api.feed._entries) <= 8
        with pytest.raises(FeedTruncated):
            api.feed.page(ANY, 99, 500)


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_filter_leaves_out_and_moves_on(api, in_memory):
    with api.feed.signal() if in_memory else threading.Lock():
        if in_memory:
            followed(api, 0)
        change(api, ONE, "p1")
        change(api, TWO, "p2")
        change(api, TWO, "p2")
        if in_memory:
            followed(api, 3)
        page = api.feed.page
        assert versions(page(Filter(OPERATOR, resource_id="one"), 0, 500)) == [1]
        assert page(Filter(OPERATOR, resource_id="one"), 0, 500).next == 3
        assert page(Filter(OPERATOR, resource_id="one"), 0, 1).next == 1
        assert versions(page(Filter(OPERATOR, project_id="p2"), 0, 500)) == [2, 3]
        assert versions(page(Filter(OPERATOR, region="Two"), 0, 500)) == []
        assert versions(page(Filter(OPERATOR, resource_type="network.port"), 0, 500)) == []
        ann = Caller("ann", "p1", ("member",))
        assert page(Filter(ann), 0, 500)._replace(entries=[]) == ([], 3) and versions(page(Filter(ann), 0, 500)) == [1]
        assert versions(page(Filter(ann, project_id="p2"), 0, 500)) == []


def test_pages_of_which_nothing_passes_are_passed_over(api):
    for _ in range(3):
        change(api, TWO)
    change(api, ONE)
    api.engine.start(StartRequest((StartItem(Ref("Two", "compute.server", "one")),)))
    change(api, Ref("Two", "compute.server", "one"))
    assert versions(api.feed.page(Filter(OPERATOR, region="Two"), 0, 1)) == [5]
    assert api.feed.page(Filter(OPERATOR, region="Three"), 0, 1) == ([], 5)


def test_what_is_asked_for_by_its_label_is_not_taken_from_memory(api):
    with api.feed.signal():
        followed(api, 0)
        api.engine.start(StartRequest((StartItem(TWO, labels={"a": "b"}),)))
        change(api, ONE)
        upto = change(api, TWO)
        followed(api, upto)
        assert versions(api.feed.page(Filter(OPERATOR, label=("a", "b")), 0, 500)) == [upto]


def test_who_waits_for_a_resource_is_woken_by_its_change_alone(api):
    with api.feed.signal(ONE) as one, api.feed.signal(TWO) as two:
        followed(api, 0)
        for signal in (one, two):
            signal._event.clear()
        change(api, TWO)
        followed(api, 1)
        assert two._event.is_set() and not one._event.is_set()
        api.feed.tell(ONE)
        assert one._event.is_set()
    assert api.feed.waiters() == 0


def test_nobody_waits_and_the_feed_is_let_go(api, monkeypatch):
    monkeypatch.setattr(feeds, "LINGER", 0.0)
    monkeypatch.setattr(feeds, "POLL", 0.0)
    followed(api, 0)
    for _ in range(1000):
        if api.feed._newest is None:
            break
        threading.Event().wait(0.01)
    assert api.feed._newest is None and not api.feed._somebody.is_set()
    change(api)
    followed(api, 1)
    assert api.feed.page(ANY, 1, 500) == ([], 1)


def test_an_engine_that_is_away_for_a_while_costs_no_change(api, monkeypatch):
    monkeypatch.setattr(feeds, "PAUSE", 0.01)
    monkeypatch.setattr(feeds, "POLL", 0.01)
    with api.feed.signal():
        followed(api, 0)
        api.asked.away = True
        change(api)
        change(api)
        api.asked.away = False
        followed(api, 2)
        assert versions(api.feed.page(ANY, 0, 500)) == [1, 2]


def test_another_feed_at_the_engine_is_followed_anew_and_wakes_everybody(api, monkeypatch):
    monkeypatch.setattr(feeds, "POLL", 0.01)
    with api.feed.signal(ONE) as one:
        change(api)
        followed(api, 1)
        api.feed._newest = 7  # as after a restored database: the engine knows no such version
        one._event.clear()
        assert one._event.wait(10)
        followed(api, 1)
        assert api.feed._newest == 1
        with pytest.raises(FeedTruncated):
            api.feed.page(ANY, 7, 500)


def test_the_end_of_the_process_wakes_for_good(api):
    with api.feed.signal(ONE) as signal:
        threading.Timer(0.05, api.feed.stop).start()
        for _ in range(2):
            with pytest.raises(Unavailable):
                while True:
                    signal.wait(60)

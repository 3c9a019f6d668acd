"""An ask that a member was told lately is no news to it."""
from __future__ import annotations

from obsvc.engine.ownership import recent_asks
from obsvc.engine.ownership.recent_asks import TOLD_AGAIN, RecentAsks
from obsvc.model import MemberId, PartitionId

MEMBER, OTHER = MemberId("obs-1", "a"), MemberId("obs-2", "b")
ONE, TWO = PartitionId(1), PartitionId(2)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_an_ask_is_news_until_it_is_told_and_again_when_the_answer_may_be_lost():
    clock = Clock()
    asks = RecentAsks(clock)
    assert asks.any_new(MEMBER, (ONE,))
    asks.told(MEMBER, (ONE,))
    assert not asks.any_new(MEMBER, (ONE,)) and not asks.any_new(MEMBER, ())
    clock.now += TOLD_AGAIN
    assert asks.any_new(MEMBER, (ONE,))


def test_one_ask_among_told_ones_is_news_and_each_member_is_told_for_itself():
    asks = RecentAsks(Clock())
    asks.told(MEMBER, (ONE,))
    assert asks.any_new(MEMBER, (ONE, TWO)) and asks.any_new(OTHER, (ONE,))


def test_what_was_told_long_ago_is_not_kept_for_ever(monkeypatch):
    monkeypatch.setattr(recent_asks, "REMEMBERED", 1)
    clock = Clock()
    asks = RecentAsks(clock)
    asks.told(MEMBER, (ONE, TWO))
    clock.now += TOLD_AGAIN
    asks.told(OTHER, (ONE,))
    assert asks.remembered == 1 and not asks.any_new(OTHER, (ONE,))

"""Dead letters: the newest are kept, and one that was read again says when."""
from __future__ import annotations

import pytest

from obsvc.engine.observations import dead_letters
from obsvc.engine_client.reports import DEAD_LETTER_BODY_MAX, DeadLetter, DeadLettersRequest, ReplayRequest
from obsvc.exceptions import InvalidInput, NotFound
from obsvc.model import Ref
from tests.support.engine_store import new_store


def letter(**fields) -> DeadLetter:
    return DeadLetter(**{
        "bus": "nova", "reason": "not_json", "detail": "line 1", "received_at": 1.0, "excerpt": "{", "size": 1,
        "member": "obs-1/a", "body": "{", **fields})


@pytest.fixture
def store():
    return new_store()


def bury(store, *letters: DeadLetter) -> None:
    store.run(lambda tx: dead_letters.bury(tx, letters))


def ids(store, **fields) -> list[int]:
    page = store.read(lambda tx: dead_letters.page(tx, DeadLettersRequest(**fields)))
    return [one.letter_id for one in page.letters]


def test_the_newest_are_kept_and_listed_in_pages_newest_first(store, monkeypatch):
    monkeypatch.setattr(dead_letters, "KEPT", 3)
    bury(store, *[letter() for _ in range(5)])
    assert ids(store, limit=2) == [5, 4] and ids(store, limit=2, before=4) == [3]
    with pytest.raises(NotFound, match="no dead letter 2"):
        store.read(lambda tx: dead_letters.read(tx, 2))


def test_a_body_comes_with_its_letter_alone_and_not_at_all_where_it_is_too_long(store):
    bury(store, letter(), letter(body="x" * (DEAD_LETTER_BODY_MAX + 1)))
    page = store.read(lambda tx: dead_letters.page(tx, DeadLettersRequest(limit=2)))
    assert [one.body for one in page.letters] == ["", ""]
    assert [store.read(lambda tx, number=number: dead_letters.read(tx, number)).body for number in (1, 2)] == ["{", ""]


def test_what_is_longer_than_its_column_is_cut(store):
    bury(store, letter(bus="b" * 300, region="r" * 300, excerpt="e" * 9000))
    kept = store.read(lambda tx: dead_letters.read(tx, 1))
    assert (len(kept.bus), len(kept.region), len(kept.excerpt)) == (255, 255, dead_letters.EXCERPT_MAX)


def test_a_letter_that_is_read_again_says_when_and_one_that_is_gone_marks_nothing(store):
    bury(store, letter())
    reply = store.run(lambda tx: dead_letters.replayed(tx, ReplayRequest(1, ())))
    assert store.read(lambda tx: dead_letters.read(tx, 1)).replayed_at == reply.replayed_at == store.clock.time()
    with pytest.raises(NotFound):
        store.run(lambda tx: dead_letters.replayed(tx, ReplayRequest(2, ())))
    too_many = ReplayRequest(1, (Ref("R", "t", "i"),) * (dead_letters.REFS_MAX + 1))
    with pytest.raises(InvalidInput, match="at most"):
        store.run(lambda tx: dead_letters.replayed(tx, too_many))


@pytest.mark.parametrize("limit", [0, dead_letters.KEPT + 1])
def test_a_page_has_its_bounds(store, limit):
    with pytest.raises(InvalidInput, match="limit"):
        ids(store, limit=limit)

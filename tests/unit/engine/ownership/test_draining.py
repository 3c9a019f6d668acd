"""A drained name stays drained until an operator says otherwise."""
from __future__ import annotations

import pytest
import sqlalchemy as sa

from obsvc.engine.ownership import draining
from obsvc.engine.schema import core
from obsvc.engine_client.ownership import DrainReply, DrainRequest
from obsvc.exceptions import NotFound
from tests.support.engine_store import new_store


@pytest.fixture
def store():
    store = new_store()
    store.run(lambda tx: tx.execute(sa.insert(core.member).values(
        name="obs-1", incarnation="a", beat="{}", state="active", caught_up=False, first_beat_at=0.0,
        last_beat_at=0.0)))
    return store


def drain(store, name: str, *, drained: bool = True) -> DrainReply:
    return store.run(lambda tx: draining.set_drained(tx, DrainRequest(name, drained)))


def test_draining_twice_keeps_when_it_began_and_undraining_twice_changes_nothing(store):
    since = drain(store, "obs-1").drained_at
    store.clock.advance(5)
    assert drain(store, "obs-1").drained_at == since == store.read(draining.drained_since)["obs-1"]
    assert store.read(lambda tx: draining.is_drained(tx, "obs-1"))
    assert [drain(store, "obs-1", drained=False).drained_at for _ in range(2)] == [None, None]
    assert not store.read(lambda tx: draining.is_drained(tx, "obs-1"))


def test_a_name_that_no_member_has_is_not_found_and_those_there_are_are_named(store):
    with pytest.raises(NotFound, match="obs-1"):
        drain(store, "obs-2")


def test_a_drained_name_can_be_undrained_when_its_member_is_forgotten(store):
    drain(store, "obs-1")
    store.run(lambda tx: tx.execute(sa.delete(core.member)))
    assert drain(store, "obs-1", drained=False).drained_at is None

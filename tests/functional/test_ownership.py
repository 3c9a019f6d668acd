"""Ownership as it runs: several members with all their threads, a real etcd, a real engine over HTTP."""
from __future__ import annotations

import contextlib

import pytest

from tests.support.processes.engine_process import EngineProcess
from tests.support.processes.ownership_member import BOUND, Member, settled
from tests.support.processes.servers import wait_until


@pytest.fixture
def engine(tmp_path):
    with EngineProcess(f"sqlite:///{tmp_path / 'obsvc.sqlite'}", member_timeout=3.0, drain_timeout=20.0) as process:
        yield process


@pytest.fixture
def start(engine, etcd):
    with contextlib.ExitStack() as stack:
        def make(name: str, incarnation: str = "1") -> Member:
            member = Member(name, engine.url, etcd.tooz_url, incarnation)
            stack.callback(member.stop)
            return member.start()

        yield make


def test_members_join_drain_and_vanish(engine, start):
    a = start("a")
    settled(engine, a)
    b, c = start("b"), start("c")
    settled(engine, a, b, c)
    assert a.ends == b.ends == c.ends == [], "a planned move is handed over, never taken"
    assert all(grant.released for grant in b.holding.values() if grant.previous is not None)

    assert c.ownership.drain(BOUND)
    assert c.holding == {} and c.ends == []
    c.stop()
    settled(engine, a, b)

    b.vanish()
    settled(engine, a)
    from_b = [grant for grant in a.holding.values() if grant.previous == b.id]
    assert from_b and not any(grant.released for grant in from_b)
    assert a.ends == []


def test_a_restart_within_the_lease_takes_its_own_partitions_back(engine, start):
    a, b = start("a"), start("b")
    settled(engine, a, b)
    b.vanish()
    again = start("b", "2")
    settled(engine, a, again)
    assert a.ends == []


def test_a_bounce_of_etcd_or_of_the_engine_moves_nothing(engine, etcd, start):
    a, b = start("a"), start("b")
    settled(engine, a, b)
    before = {**a.ownership.held(), **b.ownership.held()}
    etcd.kill()
    wait_until(lambda: a.membership.last_error and b.membership.last_error, bound=BOUND, what="etcd is missed")
    assert a.ownership.last_error
    etcd.start()
    wait_until(lambda: a.membership.connected and b.membership.connected, bound=BOUND, what="etcd is back")
    engine.kill()
    wait_until(lambda: a.ownership.last_error and b.ownership.last_error, bound=BOUND, what="the engine is missed")
    engine.start()
    wait_until(lambda: not a.ownership.last_error and not b.ownership.last_error, bound=BOUND, what="it is back")
    settled(engine, a, b)
    assert {**a.ownership.held(), **b.ownership.held()} == before
    assert a.ends == b.ends == []

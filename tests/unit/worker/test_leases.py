"""The leases that a worker holds, by its own clock."""
from __future__ import annotations

from obsvc.process.clock import ManualClock
from obsvc.worker.leases import Leases
from tests.support.worker_jobs import job


def test_leases_are_due_held_lost_and_lapse_by_the_local_clock():
    clock = ManualClock()
    leases = Leases(clock)
    mine = job()
    leases.take(mine, clock.monotonic())
    assert leases.holds(mine) and leases.due() == []
    clock.advance(20)
    assert leases.due() == [mine]
    leases.renewed(mine, clock.monotonic())
    assert leases.due() == []
    clock.advance(60)
    assert not leases.holds(mine) and not leases.lost(mine)
    leases.renewed(mine, clock.monotonic())
    assert leases.holds(mine)
    leases.lose(job(token="another"))
    assert leases.holds(mine)
    leases.lose(mine)
    assert leases.lost(mine) and not leases.holds(mine) and leases.due() == []
    leases.drop(mine)
    assert len(leases) == 0

"""Updates of stacks on the three databases."""
from __future__ import annotations

import pytest

from obsvc.process.clock import ManualClock, SystemClock
from tests.support.engine_store import new_store
from tests.support.stack_goals import BASE, Cloud, changed
from tests.support.stack_reality import Reality, random_goal


@pytest.fixture
def cloud(database_url):
    made = Cloud(store=new_store(clock=SystemClock(), url=database_url))
    yield made
    made.store.close()


@pytest.mark.parametrize("seed", [1, 6, 23])
def test_a_life_in_which_anything_goes_wrong(database_url, seed):
    reality = Reality(seed, store=new_store(clock=ManualClock(), url=database_url))
    reality.want(random_goal(reality.rng, 8))
    for _ in range(3):
        reality.go_on(12)
        reality.want(random_goal(reality.rng, 8), disable_rollback=bool(seed % 2))
    reality.go_on(12)
    reality.interrupt()
    reality.calm()
    reality.check()
    reality.store.close()


def test_a_life_of_updates(cloud):
    cloud.reach(BASE)
    cloud.reach(changed("port", p=2))
    cloud.reach(changed("net", **{"!q": 2}))
    cloud.reach({"net": ({"!q": 3}, ("disk",)), "disk": ({"p": 1}, ())})
    cloud.reach({"disk": ({"!p": 1}, ("net",)), "net": ({"!q": 3}, ())})
    cloud.delete()
    cloud.run()
    assert cloud.there == {} and cloud.stack().status == "DELETE_COMPLETE" and cloud.observed() == 0

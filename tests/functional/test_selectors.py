"""Selectors over whole deployments: what they list equals the cloud, with notifications and without."""
from __future__ import annotations

import random
import statistics
import threading
import time

import pytest

from obsvc.client import Client, types
from tests.support.processes.deployment import Deployment, SimulatedCloud
from tests.support.processes.servers import wait_until
from tests.support.processes.watching import Watching

QUICK = {"enabled": True, "fast_interval": 1, "slow_interval": 2, "full_every": 3, "grace": 5}

#: Seconds in which a sweep finds everything: full_every runs, and the looks that follow.  Where many are gone at once
#: observers doubt that for a minute.
SWEPT = 150.0


@pytest.fixture
def cloud(tmp_path, shared_rabbitmq):
    bus = shared_rabbitmq.create_vhost(f"select-{tmp_path.name}")
    made = SimulatedCloud(tmp_path, bus, "--build-time", "uniform:0.5,2").start()
    made.bus = bus
    yield made
    made.process.kill()


@pytest.fixture
def deploy(tmp_path, cloud, shared_etcd, postgresql_url):
    def make(observers: int, **sweep: object) -> Deployment:
        return Deployment(
            tmp_path / "obsvc", database=postgresql_url, coordination=shared_etcd.tooz_url, bus=cloud.bus, cloud=cloud,
            observers=observers, workers=0,
            options={"coordination": {"group": tmp_path.name}, "sweep": {**QUICK, **sweep}},
        )

    return make


def in_cloud(cloud) -> dict[str, str]:
    """Status of each server that there is."""
    return {each["id"]: each["status"] for each in cloud.truth() if each["type"] == "compute.server" and each["exists"]}


def listed(client: Client) -> dict[str, str]:
    """Status of each server that the selector has."""
    return {each.resource_id: each.snapshot.status for each in client.listing(resource_type="compute.server").resources
            if each.snapshot is not None and each.snapshot.exists}


def wait_equal(client: Client, cloud, bound: float) -> float:
    """Wait until the list equals the cloud's; how many seconds that took."""
    began = time.monotonic()

    def equal() -> bool:
        ours, theirs = listed(client), in_cloud(cloud)
        different = {each for each in ours.keys() | theirs.keys() if ours.get(each) != theirs.get(each)}
        assert not different, [(each, ours.get(each), theirs.get(each)) for each in sorted(different)[:3]]
        return True

    wait_until(equal, bound=bound, what="the list equals the cloud's", interval=0.3)
    return time.monotonic() - began


def delays(cloud, changes) -> list[float]:
    """Seconds from what happened in the cloud to its place in the feed: of each server that was built or deleted."""
    heard: dict[tuple[str, bool], float] = {}
    for each in changes:
        if each.status == "ACTIVE" or each.condition == "deleted":
            heard.setdefault((each.resource_id, each.condition == "deleted"), each.at)
    found = []
    for each in cloud.truth():
        for change in each["revisions"]:
            key = (each["id"], not change.get("exists", True) or change["status"] == "DELETED")
            if change["status"] in ("ACTIVE", "DELETED") and key in heard:
                found.append(heard.pop(key) - change["visible_at"])
    return sorted(found)


def told(took: list[float]) -> str:
    return f"{len(took)} changes, median {statistics.median(took):.2f} s, p99 {took[int(0.99 * (len(took) - 1))]:.2f} s"


def live(watching: Watching, cloud, seconds: float, *, notify: bool, seed: int, pace: float,
         deleted: float = 0.5) -> int:
    """Servers are created, and deleted (a share of ``deleted``) behind us, at random; how many of both."""
    chance, end, done = random.Random(seed), time.monotonic() + seconds, 0
    there = [each for each, status in in_cloud(cloud).items() if status == "ACTIVE"]  # asked once: it is a long answer
    while time.monotonic() < end:
        if chance.random() < deleted and there:
            watching.delete([there.pop(chance.randrange(len(there)))], notify=notify)
        else:
            watching.create_servers(1)
        done += 1
        time.sleep(pace * chance.random())
    return done


def test_servers_appear_and_vanish_by_themselves(deploy, cloud):
    with deploy(2, enabled=False) as deployment:
        client, watching = Client(deployment.api_url), Watching(deployment, cloud)
        selector = client.start_selector("compute.server")
        assert client.start_selector("compute.server") == selector and list(client.selectors()) == [selector]
        assert deployment.run_json("selector", "list")[0]["selector_id"] == selector.selector_id
        changes: list[types.Delta] = []
        watch = client.watch(since=client.listing().version, resource_type="compute.server")
        threading.Thread(target=lambda: changes.extend(watch), daemon=True).start()
        watching.create_servers(20)
        wait_equal(client, cloud, 60)
        live(watching, cloud, 8, notify=True, seed=1, pace=0.2)
        wait_equal(client, cloud, 60)
        watching.wait_built(60)
        wait_equal(client, cloud, 60)
        watch.close()
        took = delays(cloud, changes)
        print(told(took))
        assert len(took) >= 20
        deployment.run("selector", "stop", selector.selector_id)
        assert listed(client) == {} and list(client.observations()) == [] and list(client.selectors()) == []


def test_without_any_notification_a_sweep_finds_them(deploy, cloud):
    cloud.dial(lost_share=1.0)
    with deploy(2) as deployment:
        client, watching = Client(deployment.api_url), Watching(deployment, cloud)
        watching.create_servers(30)
        client.start_selector("compute.server")
        took = [wait_equal(client, cloud, SWEPT)]
        live(watching, cloud, 5, notify=False, seed=2, pace=0.4, deleted=0.2)
        watching.wait_built(60)
        took.append(wait_equal(client, cloud, SWEPT))
        print(f"equal after {took[0]:.1f} and {took[1]:.1f} s")


@pytest.mark.long
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("notify", [True, False])
def test_two_thousand_servers(deploy, cloud, notify):
    with deploy(3) as deployment:
        client, watching = Client(deployment.api_url), Watching(deployment, cloud)
        watching.create_servers(2000)
        client.start_selector("compute.server")
        print(f"2,000 that were there: {wait_equal(client, cloud, 300):.1f} s")
        cloud.dial(lost_share=0.0 if notify else 1.0)
        wait_until(lambda: cloud.get("stats")["notifications"]["waiting"] == 0, bound=300, what="all that was emitted")
        since = client.listing(resource_type="compute.server").version
        count = live(watching, cloud, 60, notify=notify, seed=3, pace=0.3)
        print(f"{count} created and deleted: equal after {wait_equal(client, cloud, SWEPT):.1f} s")
        watching.wait_built(60)
        print(f"all built: equal after {wait_equal(client, cloud, SWEPT):.1f} s")
        changes = []
        while page := client.changes(since, resource_type="compute.server").changes:
            changes += page
            since = page[-1].version
        took = delays(cloud, changes)
        print(told(took))

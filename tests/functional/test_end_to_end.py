"""The main job on real parts: every process of its own, real RabbitMQ, etcd, PostgreSQL and MariaDB."""
from __future__ import annotations

import itertools
import os
import signal
import time

import pytest

from obsvc.model import partition_of_id
from tests.support.processes.deployment import Deployment, SimulatedCloud, http_json
from tests.support.processes.servers import wait_until
from tests.support.shared_data import TIERS_TEMPLATE

#: Nodes of that template.
RESOURCES = 43

_numbers = itertools.count(1)


@pytest.fixture
def bus_url(shared_rabbitmq) -> str:
    return shared_rabbitmq.create_vhost(f"test{os.getpid()}-{next(_numbers)}")


@pytest.fixture
def cloud(tmp_path, bus_url):
    made = SimulatedCloud(tmp_path, bus_url, "--build-time", "uniform:1,3").start()
    yield made
    made.process.kill()


@pytest.fixture
def deploy(tmp_path, shared_etcd, bus_url, cloud):
    """``deploy(database_url)``: a deployment of 3 observers, 2 engines, 2 workers and 1 API, not started yet."""

    def make(database: str, **options) -> Deployment:
        return Deployment(
            tmp_path, database=database, coordination=shared_etcd.tooz_url, bus=bus_url, cloud=cloud, engines=2,
            observers=3, workers=2, quick_steps=True, options={"coordination": {"group": tmp_path.name}}, **options,
        )

    return make


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_stack_completes_and_each_change_is_fetched_by_one_observer(kind, request, deploy, cloud):
    with deploy(request.getfixturevalue(f"{kind}_url")) as deployment:
        deployment.create_stack("tiers", TIERS_TEMPLATE)
        stack = deployment.wait_stack("tiers")
        assert stack["nodes"] == {"complete": RESOURCES}
        assert deployment.doubles() == []
        deployment.wait_alike("tiers")
        _no_worker_waited(deployment, cloud)
        looks = cloud.looks()
        by_observer = {name: sum(look.caller == f"observer {name}" for look in looks)
                       for name in deployment.of_kind("observer")}
        assert all(by_observer.values()), by_observer
        print(f"{kind}: GETs by observer {by_observer}, {len(looks) / RESOURCES:.2f} fetches per resource")
        _commands_tell_the_truth(deployment)


def _no_worker_waited(deployment: Deployment, cloud: SimulatedCloud) -> None:
    """No worker read a resource of the stack back: waiting for a status is the observers' work."""
    made = {node["resource_id"] for node in deployment.nodes("tiers")}
    read = [call for call in cloud.calls() if call["caller"].startswith("worker ") and call["method"] == "GET"
            and call["resource_id"] in made]
    servers_read = [call for call in read if "/servers/" in call["path"]]
    assert servers_read == []
    assert len(read) <= len({(call["caller"], call["resource_id"]) for call in read}), "a worker asked twice"


def _commands_tell_the_truth(deployment: Deployment) -> None:
    owners = {}
    for each in deployment.run_json("partition", "list"):
        owners[each["partition"]] = each
    granted = {each["partition"]: each for each in deployment.api("/v1/partitions")["partitions"]}
    assert set(owners) == set(range(deployment.partitions)) == set(granted)
    assert all(owners[number]["owner"] == granted[number]["owner"]["name"] for number in owners)
    held = {name: int(deployment.metrics(name)["obsvc_partitions_held"]) for name in deployment.of_kind("observer")}
    counted = {name: sum(each["owner"] == name for each in owners.values()) for name in held}
    assert counted == held

    members = {each["name"]: each for each in deployment.run_json("member", "list")}
    assert set(members) == set(held)
    assert {name: each["granted"] for name, each in members.items()} == held
    status = deployment.run_json("status")
    assert status["ok"] and status["verdict"] == (
        f"{len(held)} members agree on one view; all {deployment.partitions} partitions owned")

    server = next(node for node in deployment.nodes("tiers") if node["resource_type"] == "compute.server")
    who = deployment.run_json("who", "compute.server", server["resource_id"])
    number = partition_of_id(server["resource_id"], deployment.partitions)
    assert who["partition"] == number and who["granted_owner"] == granted[number]["owner"]["name"]
    looked = {look.caller for look in deployment.cloud.looks() if look.resource_id == server["resource_id"]}
    assert f"observer {who['granted_owner']}" in looked
    table = deployment.run("who", "compute.server", server["resource_id"]).stdout
    assert who["granted_owner"] in table and str(number) in table
    for words in (("member", "list"), ("partition", "list")):
        assert all(name in deployment.run(*words).stdout for name in held)


def test_a_killed_observer_is_taken_over(deploy, postgresql_url, cloud):
    with deploy(postgresql_url) as deployment:
        deployment.create_stack("tiers", TIERS_TEMPLATE)
        wait_until(lambda: deployment.api("/v1/stacks/tiers")["nodes"].get("complete", 0) > 10, bound=60,
                   what="a part of the stack complete")
        deployment.processes["observer-2"].kill()
        deployment.wait_stack("tiers")
        deployment.wait_owned(["observer-1", "observer-3"])
        deployment.wait_alike("tiers")
        assert deployment.doubles() == []


def test_a_sleeper_is_fenced_and_joins_again(deploy, postgresql_url, cloud):
    """SIGSTOP for longer than the lease, then SIGCONT: the late write is refused, and the member comes back by itself.

    The engine that it writes to is stopped first, so that it falls asleep with a write on its way: after waking it
    sends that write again, as it was, to the other engine.
    """
    with deploy(postgresql_url) as deployment:
        deployment.create_stack("tiers", TIERS_TEMPLATE)
        deployment.wait_stack("tiers")
        sleeper = deployment.processes["observer-2"]
        refs = _refs_of(deployment, "observer-2")
        assert refs
        stopped, other = _stop_its_engine(deployment, cloud, refs)
        sleeper.send_signal(signal.SIGSTOP)
        deployment.wait_owned(["observer-1", "observer-3"])
        sleeper.send_signal(signal.SIGCONT)
        stale = 'obsvc_verdicts_total{verdict="stale_generation"}'
        wait_until(lambda: deployment.metrics(other).get(stale, 0) > 0, bound=30, what="the late write refused")
        deployment.processes[stopped].send_signal(signal.SIGCONT)
        deployment.wait_owned(["observer-1", "observer-2", "observer-3"])
        deployment.wait_alike("tiers")


def _stop_its_engine(deployment: Deployment, cloud: SimulatedCloud, refs: list[str]) -> tuple[str, str]:
    """Stop the engine that observer-2 writes to, which either may be, with a write on its way: (it, the other)."""
    for stopped, other in (("engine-1", "engine-2"), ("engine-2", "engine-1")):
        deployment.processes[stopped].send_signal(signal.SIGSTOP)
        for resource_id in refs:
            http_json(f"{cloud.url}/sim/v1/behind", method="POST",
                      body={"action": "change", "id": resource_id, "body": {"name": f"with {other}"}, "notify": True})
        since: list[float] = []

        def stuck(since: list[float] = since) -> bool:
            if deployment.metrics("observer-2")["obsvc_report_requests_under_way"] == 0:
                since.clear()
                return False
            since.append(time.monotonic())
            return since[-1] - since[0] > 0.7

        try:
            wait_until(stuck, bound=8, what="a write that stays on its way")
            return stopped, other
        except AssertionError:
            deployment.processes[stopped].send_signal(signal.SIGCONT)
    raise AssertionError("no write of observer-2 stayed on its way to either engine")


def _refs_of(deployment: Deployment, observer: str) -> list[str]:
    """Ids of what the stack has in that observer's partitions."""
    owned = {each["partition"] for each in deployment.api("/v1/partitions")["partitions"]
             if each["owner"]["name"] == observer}
    return [node["resource_id"] for node in deployment.nodes("tiers")
            if partition_of_id(node["resource_id"], deployment.partitions) in owned]

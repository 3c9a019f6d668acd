"""``obsvc member drain`` and ``undrain`` on a whole deployment: nothing is lost, nobody takes part who is drained."""
from __future__ import annotations

import os

import pytest

from tests.support.processes.deployment import Deployment, SimulatedCloud
from tests.support.processes.servers import wait_until
from tests.support.processes.watching import Watching

BOUND = 60.0


@pytest.fixture
def watching(tmp_path, shared_rabbitmq, shared_etcd, postgresql_url):
    bus = shared_rabbitmq.create_vhost(f"drain{os.getpid()}-{tmp_path.name}")
    cloud = SimulatedCloud(tmp_path, bus, "--build-time", "0.2").start()
    try:
        with Deployment(
            tmp_path, database=postgresql_url, coordination=shared_etcd.tooz_url, bus=bus, cloud=cloud, observers=2,
            workers=0, options={"coordination": {"group": tmp_path.name}, "observer": {"poll_initial": 300,
                                                                                      "poll_max": 600}},
        ) as deployment:
            yield Watching(deployment, cloud)
    finally:
        cloud.process.kill()


def listed(deployment: Deployment, name: str) -> dict:
    return next(each for each in deployment.run_json("member", "list") if each["name"] == name)


def test_a_member_is_drained_restarted_and_undrained(watching):
    deployment = watching.deployment
    done = deployment.run_json("member", "drain", "observer-1")
    assert done["name"] == "observer-1" and done["drained_at"] > 0
    deployment.wait_owned(["observer-2"])
    member = listed(deployment, "observer-1")
    assert (member["state"], member["granted"], member["in_ring"], member["alive"]) == ("draining", 0, False, True)
    assert deployment.metrics("observer-2").get('obsvc_claims_total{outcome="granted"}') >= deployment.partitions
    assert all(each["granted_why"] in ("vacant", "planned") for each in deployment.api("/v1/partitions")["partitions"])

    deployment.processes["observer-1"].stop()
    deployment.processes["observer-1"].start()
    deployment.wait_ready("observer-1")
    wait_until(lambda: listed(deployment, "observer-1")["state"] == "draining", bound=BOUND, what="it beats again")
    deployment.wait_owned(["observer-2"])
    assert deployment.run("member", "drain", "observer-9", check=False).returncode != 0

    assert deployment.run_json("member", "undrain", "observer-1")["drained_at"] is None
    deployment.wait_owned(["observer-1", "observer-2"])
    assert listed(deployment, "observer-1")["drained_at"] is None

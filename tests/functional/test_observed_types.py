"""Routers, floating IPs and snapshots of volumes are observed by notifications, on a whole deployment."""
from __future__ import annotations

import os

import pytest

from tests.support.processes.deployment import Deployment, SimulatedCloud
from tests.support.processes.servers import wait_until
from tests.support.processes.watching import Watching


@pytest.fixture
def watching(tmp_path, shared_rabbitmq, shared_etcd, postgresql_url):
    """One observer that polls so seldom that what it knows, it knows by notifications."""
    bus = shared_rabbitmq.create_vhost(f"types{os.getpid()}")
    cloud = SimulatedCloud(tmp_path, bus, "--build-time", "1").start()
    try:
        with Deployment(tmp_path, database=postgresql_url, coordination=shared_etcd.tooz_url, bus=bus, cloud=cloud,
                        options={"coordination": {"group": tmp_path.name},
                                 "observer": {"poll_initial": 600, "poll_max": 600}}) as deployment:
            yield Watching(deployment, cloud)
    finally:
        cloud.process.kill()


def _status(watching: Watching, resource_id: str) -> str:
    return next(each["status"] for each in watching.cloud.truth() if each["id"] == resource_id)


def test_a_router_a_floating_ip_and_a_snapshot_are_followed(watching):
    network, storage = watching.service("network"), watching.service("block-storage")

    def make(collection: str, key: str, **fields: object) -> str:
        return network.post(f"/v2.0/{collection}", json={key: fields}).json()[key]["id"]

    outside = make("networks", "network", name="outside", **{"router:external": True})
    make("subnets", "subnet", network_id=outside, cidr="203.0.113.0/24", ip_version=4)
    volume = storage.post("/volumes", json={"volume": {"size": 1}}).json()["volume"]["id"]
    wait_until(lambda: _status(watching, volume) == "available", bound=30, what="a volume")
    router = make("routers", "router", name="edge", external_gateway_info={"network_id": outside})
    address = make("floatingips", "floatingip", floating_network_id=outside)
    snapshot = storage.post("/snapshots", json={"snapshot": {"volume_id": volume, "name": "s"}}).json()["snapshot"]
    for resource_type, each in (("network.router", router), ("network.floating_ip", address),
                                ("block_storage.snapshot", snapshot["id"])):
        watching.observe(resource_type, [each], goal=None)
    wait_until(lambda: _status(watching, snapshot["id"]) == "available", bound=30, what="the snapshot is built")
    watching.wait_nothing_missing(30, "three creations")

    network.put(f"/v2.0/routers/{router}", json={"router": {"name": "border"}})
    storage.put(f"/snapshots/{snapshot['id']}", json={"snapshot": {"name": "t"}})
    watching.wait_nothing_missing(30, "two changes")
    names = {kind: watching.deployment.api(f"/v1/resources/{kind}/{each}")["snapshot"]["name"]
             for kind, each in watching.refs}
    assert (names["network.router"], names["block_storage.snapshot"]) == ("border", "t")
    assert names["network.floating_ip"].startswith("203.0.113.")

    for path in (f"/v2.0/floatingips/{address}", f"/v2.0/routers/{router}"):
        network.delete(path)
    storage.delete(f"/snapshots/{snapshot['id']}")
    wait_until(lambda: _status(watching, snapshot["id"]) == "DELETED", bound=30, what="the snapshot is gone")
    watching.wait_nothing_missing(30, "three deletions")

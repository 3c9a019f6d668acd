"""Broker, etcd and database killed and started again in the middle of a stack: no process has to be restarted."""
from __future__ import annotations

import pytest

from tests.support.processes.deployment import Deployment, SimulatedCloud
from tests.support.processes.servers import wait_until
from tests.support.shared_data import TIERS_TEMPLATE


@pytest.mark.timeout(400)
@pytest.mark.parametrize("killed", ["rabbitmq", "etcd", "postgresql", "mariadb"])
def test_a_stack_completes_over_the_restart_of_a_server(killed, tmp_path, request):
    server = request.getfixturevalue(killed)
    etcd = server if killed == "etcd" else request.getfixturevalue("shared_etcd")
    database = server if killed in ("postgresql", "mariadb") else request.getfixturevalue("shared_postgresql")
    broker = server if killed == "rabbitmq" else request.getfixturevalue("shared_rabbitmq")
    bus = broker.create_vhost(f"faults-{killed}")
    cloud = SimulatedCloud(tmp_path, bus, "--build-time", "uniform:2,5").start()
    try:
        deployment = Deployment(
            tmp_path, database=database.create_database(f"faults_{killed}"), coordination=etcd.tooz_url,
            bus=bus, cloud=cloud, engines=2, observers=3, workers=2, quick_steps=True,
            options={"coordination": {"group": tmp_path.name}},
        )
        with deployment:
            pids = {name: process.pid for name, process in deployment.processes.items()}
            deployment.create_stack("tiers", TIERS_TEMPLATE)
            wait_until(lambda: deployment.api("/v1/stacks/tiers")["nodes"].get("complete", 0) > 5, bound=60,
                       what="a part of the stack complete")
            server.kill()
            server.start()
            deployment.wait_stack("tiers", bound=200)
            deployment.wait_owned(["observer-1", "observer-2", "observer-3"])
            deployment.wait_alike("tiers", bound=60)
            assert all(process.running for process in deployment.processes.values()), deployment.tail()
            assert {name: process.pid for name, process in deployment.processes.items()} == pids
    finally:
        cloud.process.kill()

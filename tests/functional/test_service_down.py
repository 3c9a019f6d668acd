"""A service that is down delays nobody else, and its refs are settled by marks until it is back."""
from __future__ import annotations

import itertools
import time

import pytest

from tests.support.processes.deployment import Deployment, SimulatedCloud, http_json
from tests.support.processes.servers import wait_until

TEMPLATE = """
heat_template_version: 2021-04-16
resources:
  volume:
    type: OS::Cinder::Volume
    properties: {name: kept, size: 1}
"""

NETWORK = """
heat_template_version: 2021-04-16
resources:
  network:
    type: OS::Neutron::Net
    properties: {name: quick}
"""


@pytest.mark.timeout(400)
@pytest.mark.parametrize("seconds", [5, pytest.param(120, marks=pytest.mark.long)])
def test_a_dead_service_holds_nobody_back(seconds, tmp_path, shared_rabbitmq, shared_etcd, postgresql_url):
    """Networks are built one after the other all the while that volumes answer 503."""
    bus = shared_rabbitmq.create_vhost(f"down-{tmp_path.name}")
    cloud = SimulatedCloud(tmp_path, bus, "--build-time", "0.2").start()
    try:
        deployment = Deployment(
            tmp_path, database=postgresql_url, coordination=shared_etcd.tooz_url, bus=bus, cloud=cloud, observers=2,
            workers=1, options={"coordination": {"group": tmp_path.name}},
        )
        with deployment:
            deployment.create_stack("volume", TEMPLATE)
            deployment.wait_stack("volume")
            volume = deployment.nodes("volume")[0]["resource_id"]
            path = f"/v1/resources/block_storage.volume/{volume}"
            version = deployment.api(path)["version"]

            cloud.dial(down_services=["volume"])
            _change(cloud, volume)
            back_at = time.monotonic() + seconds
            for number in itertools.count(1):
                deployment.create_stack(f"quick{number}", NETWORK)
                deployment.wait_stack(f"quick{number}", bound=30)
                if time.monotonic() > back_at:
                    break
            print(f"{number} stacks were built while the volume service was down for {seconds} s")
            marked = wait_until(lambda: deployment.api(path).get("mark"), bound=30, what="the volume's look mark")
            assert deployment.api(path)["version"] == version
            wait_until(lambda: deployment.gauge("observer", "obsvc_unsettled_deliveries") == 0, bound=15,
                       what=f"every notification settled, the volume's by mark {marked}")

            cloud.dial(down_services=[])
            found = wait_until(lambda: (now := deployment.api(path))["version"] > version and now, bound=90,
                               what="the volume fetched when its service is back")
            assert found["snapshot"]["status"] == "in-use" and not found.get("mark")
    finally:
        cloud.process.kill()


def _change(cloud: SimulatedCloud, volume: str) -> None:
    http_json(f"{cloud.url}/sim/v1/behind", method="POST",
              body={"action": "change", "id": volume, "body": {"status": "in-use"}, "notify": True})

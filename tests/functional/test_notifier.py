"""oslo.messaging's own Notifier publishes nova's notifications, and the observers act on them.

The simulated cloud publishes nothing here: what the engine learns, it learns by what the Notifier sent.
"""
from __future__ import annotations

import json
import subprocess
import sys

import kombu
import pytest
from keystoneauth1 import session
from keystoneauth1.identity import v3

from tests.support.processes.deployment import PASSWORD, Deployment, SimulatedCloud, http_json
from tests.support.processes.servers import wait_until

#: A nova service in miniature: url, configuration file, topic, event type, JSON payload.
SERVICE = """
import json, sys
from oslo_config import cfg
import oslo_messaging
url, file, topic, event_type, payload = sys.argv[1:]
conf = cfg.ConfigOpts()
conf(["--config-file", file], project="nova")
oslo_messaging.set_transport_defaults("nova")
transport = oslo_messaging.get_notification_transport(conf, url=url)
notifier = oslo_messaging.Notifier(transport, "nova-compute:host", driver="messagingv2", topics=[topic], retry=3)
notifier.info({"project_id": "p"}, event_type, json.loads(payload))
transport.cleanup()
"""


def _payloads(server: str, state: str) -> dict[str, tuple[str, str, str]]:
    """Family → topic, event type and payload of a power-off that ended, as nova has them."""
    versioned = {"nova_object.name": "InstanceActionPayload", "nova_object.namespace": "nova",
                 "nova_object.version": "1.8",
                 "nova_object.data": {"uuid": server, "tenant_id": "p", "state": state, "task_state": None}}
    plain = {"instance_id": server, "tenant_id": "p", "state": state, "state_description": ""}
    return {
        "unversioned": ("notifications", "compute.instance.power_off.end", json.dumps(plain)),
        "versioned": ("versioned_notifications", "instance.power_off.end", json.dumps(versioned)),
    }


def _server(cloud: SimulatedCloud) -> str:
    auth = v3.Password(f"{cloud.url}/identity/v3", username="admin", password=PASSWORD, project_name="admin",
                       user_domain_id="default", project_domain_id="default")
    admin = session.Session(auth)
    images = admin.get("/v2/images", endpoint_filter={"service_type": "image", "interface": "public"}).json()["images"]
    made = admin.post("/servers", endpoint_filter={"service_type": "compute", "interface": "public"},
                      json={"server": {"name": "one", "flavorRef": "m1.tiny", "imageRef": images[0]["id"]}})
    return made.json()["server"]["id"]


#: The API's status → what the notifications call it.
STATES = {"SHUTOFF": "stopped", "PAUSED": "paused"}


@pytest.mark.parametrize("durable", [True, False], ids=["durable", "not-durable"])
def test_observers_act_on_what_oslo_messaging_sends(durable, tmp_path, shared_rabbitmq, shared_etcd, postgresql_url):
    bus = shared_rabbitmq.create_vhost(f"notifier-{tmp_path.name}")
    with kombu.Connection(bus) as connection:
        connection.default_channel.exchange_declare("nova", "topic", durable=durable, auto_delete=False)
    config = tmp_path / "nova.conf"
    config.write_text(f"[oslo_messaging_rabbit]\namqp_durable_queues = {durable}\n")
    cloud = SimulatedCloud(tmp_path, None, "--build-time", "0.2").start()
    try:
        deployment = Deployment(
            tmp_path, database=postgresql_url, coordination=shared_etcd.tooz_url, bus=bus, cloud=cloud, observers=2,
            options={"coordination": {"group": tmp_path.name}},
        )
        with deployment:
            server = _server(cloud)
            deployment.run("observation", "start", "compute.server", server)
            _wait_status(deployment, server, "ACTIVE")
            for family, status in (("unversioned", "SHUTOFF"), ("versioned", "PAUSED")):
                _change_silently(cloud, server, status)
                before = deployment.count("observer", "obsvc_notifications_total", family=family)
                topic, event_type, payload = _payloads(server, STATES[status])[family]
                done = subprocess.run(
                    [sys.executable, "-c", SERVICE, bus.replace("amqp://", "rabbit://"), str(config), topic, event_type,
                     payload], capture_output=True, text=True, timeout=60, check=False)
                assert done.returncode == 0, done.stderr[-2000:]
                _wait_status(deployment, server, status)
                assert deployment.count("observer", "obsvc_notifications_total", family=family) == before + 2
            assert len({look.caller for look in cloud.looks() if look.resource_id == server}) == 1
    finally:
        cloud.process.kill()


def _wait_status(deployment: Deployment, server: str, status: str) -> None:
    def known() -> bool:
        found = deployment.api(f"/v1/resources/compute.server/{server}")["snapshot"]
        return bool(found) and found["status"] == status

    wait_until(known, bound=30, what=f"the server {status} in the engine")


def _change_silently(cloud: SimulatedCloud, server: str, status: str) -> None:
    """As nova's compute service would change it, but nothing is notified by the cloud itself."""
    http_json(f"{cloud.url}/sim/v1/behind", method="POST",
              body={"action": "change", "id": server, "notify": False,
                    "body": {"status": status, "OS-EXT-STS:vm_state": STATES[status], "OS-EXT-STS:task_state": None}})

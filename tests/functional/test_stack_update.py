"""An update of a stack by a deployment of real processes, and the simulated cloud compared with the goal after it."""
from __future__ import annotations

import itertools
import json
import os

import pytest

from tests.support.processes.deployment import Deployment, SimulatedCloud

_numbers = itertools.count(1)

TEMPLATE = """
heat_template_version: 2018-08-31
parameters:
  size: {type: number}
  kind: {type: string, default: flat}
resources:
  net: {type: "Sim::Resource", properties: {"!kind": {get_param: kind}, size: {get_param: size}}}
  port: {type: "Sim::Resource", properties: {network: {get_resource: net}, label: {get_attr: [net, name]}}}
  %s: {type: "Sim::Resource", properties: {port: {get_resource: port}}}
outputs:
  net: {value: {get_resource: net}}
"""


@pytest.fixture
def deployment(tmp_path, shared_rabbitmq, shared_etcd, postgresql_url):
    bus = shared_rabbitmq.create_vhost(f"update{os.getpid()}-{next(_numbers)}")
    cloud = SimulatedCloud(tmp_path, bus, "--build-time", "uniform:0.2,0.6").start()
    made = Deployment(
        tmp_path, database=postgresql_url, coordination=shared_etcd.tooz_url, bus=bus, cloud=cloud, workers=2,
        quick_steps=True,
        options={"coordination": {"group": tmp_path.name}})
    try:
        with made:
            yield made
    finally:
        cloud.process.kill()


def command(deployment, verb: str, name: str, *parameters: str) -> dict:
    words = [word for parameter in parameters for word in ("-P", parameter)]
    done = deployment.run("stack", verb, "web", "-t", "-", *words, "--wait", "-f", "json", stdin=TEMPLATE % name)
    return json.loads(done.stdout)


def live(deployment) -> dict[str, dict]:
    """What there is in the cloud of the stack's type."""
    return {one["id"]: one for one in deployment.cloud.truth()
            if one["exists"] and one["type"] == "sim.resource"}


def ids(deployment) -> dict[str, str]:
    return {node["name"]: node["resource_id"] for node in deployment.nodes("web")}


def test_a_stack_is_brought_to_each_goal_that_it_is_given(deployment):
    assert command(deployment, "create", "server", "size=1")["status"] == "CREATE_COMPLETE"
    first = ids(deployment)
    assert command(deployment, "update", "server", "size=2")["status"] == "UPDATE_COMPLETE"
    assert ids(deployment) == first and live(deployment).keys() == set(first.values())

    stack = command(deployment, "update", "disk", "size=2", "kind=deep")
    second = ids(deployment)
    assert stack["status"] == "UPDATE_COMPLETE" and stack["goal"] == 3 and stack["outputs"] == {"net": second["net"]}
    assert second.keys() == {"net", "port", "disk"}
    assert second["port"] == first["port"] and second["net"] != first["net"]
    assert live(deployment).keys() == set(second.values())
    port = deployment.api(f"/v1/resources/sim.resource/{second['port']}")["snapshot"]
    assert port["attributes"]["properties"]["network"] == second["net"]
    deployment.wait_alike("web")

    deployment.run("stack", "delete", "web", "--wait")
    assert live(deployment) == {}

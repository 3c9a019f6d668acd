"""``obsvc standalone`` pointed at a cloud in two options, and ``obsvc demo``, as a stranger would run them."""
from __future__ import annotations

import json
import os
import subprocess

import psutil
import pytest

from obsvc.cmd.demo_processes import free_ports
from tests.support.processes.deployment import PASSWORD, Process, SimulatedCloud, http_json, obsvc
from tests.support.processes.servers import descendants, wait_until

TEMPLATE = """
heat_template_version: 2021-04-16
resources:
  network:
    type: OS::Neutron::Net
  subnet:
    type: OS::Neutron::Subnet
    properties: {network: {get_resource: network}, cidr: 10.0.0.0/24}
  port:
    type: OS::Neutron::Port
    depends_on: subnet
    properties: {network: {get_resource: network}}
  server:
    type: OS::Nova::Server
    properties: {image: cirros, flavor: m1.tiny, networks: [{port: {get_resource: port}}]}
outputs:
  server: {value: {get_resource: server}}
"""


@pytest.fixture
def standalone(tmp_path, shared_rabbitmq):
    """A running standalone with its simulated cloud: (process, environment of the commands)."""
    bus = shared_rabbitmq.create_vhost(f"standalone-{tmp_path.name}")
    cloud = SimulatedCloud(tmp_path, bus, "--build-time", "0.5").start()
    clouds = tmp_path / "clouds.yaml"
    clouds.write_text(json.dumps({"clouds": {"simulated": {
        "region_name": "RegionOne", "auth": {
            "auth_url": f"{cloud.url}/identity/v3", "username": "obsvc", "password": PASSWORD, "project_name": "demo",
            "user_domain_id": "default", "project_domain_id": "default"}}}}))
    engine, api, *_ = free_ports(2)
    first = max(free_ports(8))
    process = Process("standalone", obsvc(
        "standalone", "--bus", bus, "--os-cloud", "simulated", "--state-path", str(tmp_path / "state"), "--engine-port",
        str(engine), "--api-port", str(api), "--health-ports", str(first), "--observers", "2",
    ), tmp_path, {"OS_CLIENT_CONFIG_FILE": str(clouds)}).start()
    environment = {"OBSVC_API_URL": f"http://127.0.0.1:{api}"}
    try:
        wait_until(lambda: http_json(f"{environment['OBSVC_API_URL']}/readyz"), bound=60, what="the API")
        yield process, environment
    finally:
        process.kill()
        cloud.process.kill()


def _run(environment: dict[str, str], *words: str) -> str:
    done = subprocess.run(obsvc(*words), capture_output=True, text=True, timeout=120, check=False,
                          env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr
    return done.stdout


def _running(pid: int) -> str | None:
    """The command line of a process; None when it has ended, whether or not init has waited for it."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else " ".join(process.cmdline()) or "?"
    except psutil.NoSuchProcess:
        return None


def test_standalone_builds_a_stack_and_ends_whole(standalone, tmp_path):
    process, environment = standalone
    template = tmp_path / "stack.yaml"
    template.write_text(TEMPLATE)
    _run(environment, "stack", "create", "small", "-t", str(template), "--wait")
    shown = json.loads(_run(environment, "stack", "show", "small", "-f", "json"))
    assert shown["status"] == "CREATE_COMPLETE" and shown["outputs"]["server"]

    def owner() -> str | None:  # none for the moment in which a partition moves to the observer that came second
        return json.loads(_run(environment, "who", "compute.server", shown["outputs"]["server"], "-f", "json"))[
            "granted_owner"]

    assert wait_until(owner, bound=30, what="an owner") in ("observer-1", "observer-2")
    _run(environment, "stack", "delete", "small", "--wait")
    children = descendants(process.pid)
    assert len(children) >= 5
    assert process.stop(bound=60) == 0, process.output()[-3000:]
    left = {pid: command for pid in children if (command := _running(pid))}
    assert not left


def test_standalone_killed_takes_its_children_with_it(standalone):
    process, _ = standalone
    children = descendants(process.pid)
    assert len(children) >= 5
    os.kill(process.pid, 9)

    def ended() -> bool:
        left = {pid: command for pid in children if (command := _running(pid))}
        assert not left, f"{left}\n{process.output()[-5000:]}"
        return True

    wait_until(ended, bound=60, what="its children ended")


def test_the_demo_comes_true(tmp_path):
    done = subprocess.run(obsvc("demo", "--json", "--folder", str(tmp_path / "demo")), capture_output=True, text=True,
                          timeout=180, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["ok"] and summary["resources"] == summary["resources_complete"] >= 40
    assert summary["lost"] == [] and summary["fetched_by_two_observers"] == []
    assert summary["notifications_seen"] > 300 and summary["notifications_discarded"] > 0
    assert summary["drift"]["drift"] and summary["takeover_seconds"] > 0
    assert 0 < summary["fetches"] < summary["notifications_seen"]

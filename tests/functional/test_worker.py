"""The worker and its plugins against the simulated cloud's real paths and shapes, over HTTP."""
from __future__ import annotations

import time

import pytest

from obsvc import conf as obsvc_conf
from obsvc.cloud.calls import CallFailed
from obsvc.cloud.sessions import CloudSessions
from obsvc.cmd import settings_file
from obsvc.engine.service import EngineService
from obsvc.engine.settings import EngineSettings
from obsvc.engine_client.jobs import Action, Job
from obsvc.engine_client.local import LocalEngine
from obsvc.engine_client.stacks import StackCreate, StackEventsRequest, StackRequest
from obsvc.exceptions import Unavailable
from obsvc.process.clock import SystemClock
from obsvc.worker.app import load_plugins
from obsvc.worker.clients import CloudClients
from obsvc.worker.loop import Worker
from obsvc.worker.plugins.base import ActionFailed, Created, Deleting, Gone
from tests.support.engine_store import new_store
from tests.support.processes.deployment import SimulatedCloud
from tests.support.processes.servers import wait_until

TEMPLATE = """
heat_template_version: 2021-04-16
resources:
  one: {type: Sim::Resource, properties: {size: 1}}
  two: {type: OS::Neutron::Net, properties: {name: blue}}
"""


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    made = SimulatedCloud(tmp_path_factory.mktemp("cloud"), None, "--build-time", "0.2").start()
    yield made
    made.process.kill()


@pytest.fixture
def clients(cloud, tmp_path):
    path = settings_file.write(tmp_path / "cloud.conf", {"cloud": cloud.auth_options("obsvc")})
    conf = obsvc_conf.load([], config_files=[str(path)])
    return CloudClients(CloudSessions.from_conf(conf, f"obsvc/0 (worker {tmp_path.name})"))


def job(type_, properties, *, number="n1", attempt=1, action=Action.CREATE, resource_id=None) -> Job:
    return Job("j", "t", 60.0, action, type_, number, number, "s", "shop", attempt, f"obsvc:{number}:1", properties,
               resource_id)


def test_every_plugin_creates_adopts_updates_and_deletes(cloud, clients):
    plugins = load_plugins()
    assert set(plugins) == {"OS::Nova::Server", "OS::Neutron::Net", "OS::Neutron::Subnet", "OS::Neutron::Port",
                            "OS::Neutron::Router", "OS::Neutron::FloatingIP", "OS::Cinder::Volume",
                            "OS::Cinder::Snapshot", "Sim::Resource"}
    image = clients.call("RegionOne", "image", "GET", "/images").body["images"][0]
    flavor = clients.call("RegionOne", "compute", "GET", "/flavors").body["flavors"][0]
    before = {each["id"] for each in cloud.truth()}
    made: dict[str, str] = {}

    def create(type_, properties, number):
        first = plugins[type_].handle_create(job(type_, properties, number=number), clients, lambda: None)
        again = plugins[type_].handle_create(job(type_, properties, number=number, attempt=2), clients, pytest.fail)
        assert again == Created(first.ref, adopted=True)
        made[number] = first.ref.resource_id
        return first.ref.resource_id

    network = create("OS::Neutron::Net", {"name": "blue"}, "net")
    subnet = create("OS::Neutron::Subnet", {"network": "blue", "cidr": "10.1.0.0/24"}, "subnet")
    port = create("OS::Neutron::Port", {"network": network, "fixed_ips": [{"subnet": subnet}]}, "port")
    outside = _external_network(clients)
    router = create("OS::Neutron::Router", {"external_gateway_info": {"network": "outside"}}, "router")
    floating = create("OS::Neutron::FloatingIP", {"floating_network": outside}, "floating")
    volume = create("OS::Cinder::Volume", {"size": 1, "metadata": {"a": "b"}}, "volume")
    wait_until(lambda: clients.call("RegionOne", "block-storage", "GET", f"/volumes/{volume}").body["volume"]["status"]
               == "available", bound=30, what="a volume to take a snapshot of")
    snapshot = create("OS::Cinder::Snapshot", {"volume_id": volume}, "snapshot")
    server = create("OS::Nova::Server", {
        "name": "web", "flavor": flavor["name"], "image": image["name"], "networks": [{"port": port}],
        "metadata": {"role": "web"}, "user_data": "#!/bin/sh\n",
    }, "server")
    plain = create("Sim::Resource", {"!fixed": 1, "free": 2}, "plain")
    assert {each["id"] for each in cloud.truth()} - before >= set(made.values())
    wait_until(lambda: all(each["status"] in ("ACTIVE", "available", "DOWN", None) for each in cloud.truth()
                           if each["id"] in made.values()), bound=30, what="everything built")

    update = job("Sim::Resource", {"!fixed": 1, "free": 3}, number="plain", action=Action.UPDATE, resource_id=plain)
    assert plugins["Sim::Resource"].handle_update(update, clients).ref.resource_id == plain
    rename = job("OS::Nova::Server", {"name": "new", "flavor": flavor["id"], "image": image["id"],
                                      "metadata": {"x": "y"}}, number="server", action=Action.UPDATE,
                 resource_id=server)
    plugins["OS::Nova::Server"].handle_update(rename, clients)

    unplug = job("OS::Neutron::Router", {"name": "edge"}, number="router", action=Action.UPDATE, resource_id=router)
    plugins["OS::Neutron::Router"].handle_update(unplug, clients)
    body = clients.call("RegionOne", "network", "GET", f"/routers/{router}").body["router"]
    assert (body["name"], body["external_gateway_info"]) == ("edge", None)

    for type_, number, resource_id in (
        ("OS::Neutron::FloatingIP", "floating", floating), ("OS::Neutron::Router", "router", router),
        ("OS::Cinder::Snapshot", "snapshot", snapshot),
        ("OS::Nova::Server", "server", server), ("OS::Cinder::Volume", "volume", volume),
        ("OS::Neutron::Port", "port", port), ("OS::Neutron::Subnet", "subnet", subnet),
        ("OS::Neutron::Net", "net", network), ("Sim::Resource", "plain", plain),
    ):
        delete = job(type_, {}, number=number, action=Action.DELETE, resource_id=resource_id)

        def deleted(plugin=plugins[type_], wanted=delete):
            try:
                return plugin.handle_delete(wanted, clients)
            except CallFailed as error:  # still in use by what is just being deleted
                assert error.status == 409 and error.retriable
                return None

        assert isinstance(wait_until(deleted, bound=20, what=f"{number} taken for deletion"), Deleting | Gone)
        wait_until(lambda check=deleted: isinstance(check(), Gone), bound=20, what=f"{number} gone")


def _external_network(clients: CloudClients) -> str:
    made = clients.call("RegionOne", "network", "POST", "/networks",
                        json={"network": {"name": "outside", "router:external": True}}).body["network"]["id"]
    clients.call("RegionOne", "network", "POST", "/subnets",
                 json={"subnet": {"network_id": made, "cidr": "203.0.113.0/24", "ip_version": 4}})
    return made


def test_what_the_cloud_refuses_is_final_or_retriable(cloud, clients):
    plugins = load_plugins()
    with pytest.raises(ActionFailed, match="none was found") as caught:
        plugins["OS::Neutron::Subnet"].handle_create(
            job("OS::Neutron::Subnet", {"network": "no-such", "cidr": "10.1.0.0/24"}), clients, lambda: None)
    assert not caught.value.retriable
    with pytest.raises(CallFailed) as refused:
        plugins["OS::Neutron::Subnet"].handle_create(
            job("OS::Neutron::Subnet", {"network": "00000000-0000-0000-0000-000000000000", "cidr": "10.1.0.0/24"}),
            clients, lambda: None)
    assert not refused.value.retriable and refused.value.request_id
    cloud.dial(down_services=["volume"])
    try:
        with pytest.raises(CallFailed) as down:
            plugins["OS::Cinder::Volume"].handle_create(job("OS::Cinder::Volume", {"size": 1}), clients, lambda: None)
        assert down.value.status == 503 and down.value.retriable
    finally:
        cloud.dial(down_services=[])


class Shaky(LocalEngine):
    """Loses what is said to it while ``away``."""

    away = False
    asked = 0

    def call(self, operation, request):
        if operation.name in ("complete_job", "fail_job", "renew_job") and self.away:
            self.asked += operation.name == "complete_job"
            raise Unavailable("cut off")
        return super().call(operation, request)


@pytest.fixture
def engine(tmp_path):
    store = new_store(url=f"sqlite:///{tmp_path / 'obsvc.sqlite'}", clock=SystemClock())
    store.settings = EngineSettings(job_lease=2.0, job_retry_initial=0.1)
    service = EngineService(store)
    yield Shaky(service)
    service.shutdown()


def works(engine, clients, name="w1") -> Worker:
    worker = Worker(engine, load_plugins(), clients, name=name, threads=2, drain_timeout=20.0)
    worker.start()
    return worker


def nodes(engine, stack):
    return {node.name: node for node in engine.stack_nodes(StackRequest(stack)).nodes}


def test_a_worker_starts_what_the_stack_wants_and_waits_for_nothing(cloud, clients, engine):
    engine.create_stack(StackCreate("a", TEMPLATE, region="RegionOne"))
    worker = works(engine, clients)
    wait_until(lambda: all(node.status == "observing" for node in nodes(engine, "a").values()), bound=20,
               what="both nodes started")
    assert worker.ready() is None and worker.stop()
    made = {node.resource_id for node in nodes(engine, "a").values()}
    touched = [call for call in cloud.calls() if call["method"] == "GET" and call["resource_id"] in made]
    assert touched == []


def test_a_worker_that_could_not_tell_leaves_one_resource_and_the_next_adopts_it(cloud, clients, engine):
    before = len(cloud.truth())
    engine.away = True
    engine.create_stack(StackCreate("b", TEMPLATE, region="RegionOne"))
    worker = works(engine, clients)
    wait_until(lambda: engine.asked >= 2, bound=20, what="results that nobody took")
    worker._giving_up.set()  # as a SIGKILL: the results are never sent again
    assert worker.stop()
    assert len(cloud.truth()) == before + 2
    engine.away = False
    second = works(engine, clients, "w2")
    wait_until(lambda: all(node.status == "observing" for node in nodes(engine, "b").values()), bound=30,
               what="both nodes adopted")
    assert second.stop()
    assert len(cloud.truth()) == before + 2
    assert all(node.attempts >= 2 for node in nodes(engine, "b").values())


def test_a_service_that_is_down_is_tried_again(cloud, clients, engine):
    cloud.dial(down_services=["network"])
    engine.create_stack(StackCreate("c", TEMPLATE, region="RegionOne"))
    worker = works(engine, clients)
    try:
        wait_until(lambda: any("503" in event.reason for event in
                               engine.stack_events(StackEventsRequest("c")).events) or
                   nodes(engine, "c")["two"].attempts >= 2, bound=20, what="a failed attempt")
    finally:
        cloud.dial(down_services=[])
    wait_until(lambda: nodes(engine, "c")["two"].status == "observing", bound=30, what="the network, started")
    started = time.monotonic()
    assert worker.stop() and time.monotonic() - started < 20

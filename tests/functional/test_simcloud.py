"""``obsvc simcloud`` as a real process: keystoneauth and openstacksdk against it, unmodified, and a real broker."""
from __future__ import annotations

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading

import keystoneauth1.exceptions
import openstack
import pytest
import requests
from keystoneauth1.adapter import Adapter
from keystoneauth1.identity import v3
from keystoneauth1.session import Session

from obsvc.messaging import Broker, wire
from tests.support.processes.servers import free_port, wait_until
from tests.support.shared_data import SHARED

OBSVC = str(pathlib.Path(sys.executable).with_name("obsvc"))
SERVICES = ("identity", "compute", "network", "block-storage", "volumev3", "image", "sim")


class Simcloud:
    """The process; url once it has said that it serves."""

    def __init__(self, *options: str) -> None:
        self.process = subprocess.Popen([OBSVC, "simcloud", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True, start_new_session=True)
        line = self.process.stdout.readline()
        assert line.startswith("simulated cloud: http://"), (line, self.process.stderr.read())
        self.url = line.split()[2]

    def get(self, path: str):
        return requests.get(f"{self.url}/sim/v1/{path}", timeout=10).json()

    def session(self, **options) -> Session:
        auth = v3.Password(**{
            "auth_url": f"{self.url}/identity/v3", "username": "obsvc", "password": "simulated",
            "project_name": "demo", "user_domain_id": "default", "project_domain_id": "default", **options})
        return Session(auth, user_agent="obsvc/0.1.0 (observer obs-1)")

    def stop(self) -> tuple[int, str]:
        """SIGTERM; the exit code and what it wrote to standard error."""
        self.process.send_signal(signal.SIGTERM)
        _, errors = self.process.communicate(timeout=10)
        return self.process.returncode, errors


@pytest.fixture
def start():
    running: list[Simcloud] = []

    def begin(*options: str) -> Simcloud:
        running.append(Simcloud(*options))
        return running[-1]

    yield begin
    for each in running:
        if each.process.poll() is None:
            each.stop()
        each.process.stdout.close()
        each.process.stderr.close()


@pytest.fixture(scope="module")
def cloud():
    made = Simcloud("--build-time", "0.3", "--seed", "1", "--region", "RegionOne", "--region", "RegionTwo")
    yield made
    made.stop()


def test_keystoneauth_finds_every_service_and_its_version(cloud):
    session = cloud.session()
    for service in SERVICES:
        for interface in ("public", "internal", "admin"):
            for region in ("RegionOne", "RegionTwo"):
                adapter = Adapter(session, service_type=service, interface=interface, region_name=region)
                assert adapter.get_endpoint().startswith(cloud.url)
        assert adapter.get_api_major_version() is not None, service


def test_application_credentials_work(cloud):
    auth = v3.ApplicationCredential(auth_url=f"{cloud.url}/identity/v3", application_credential_id="obsvc",
                                    application_credential_secret="simulated")
    adapter = Adapter(Session(auth), service_type="compute")
    assert adapter.get("/servers/detail").json()["servers"] == []


def test_a_wrong_password_is_unauthorized(cloud):
    with pytest.raises(keystoneauth1.exceptions.Unauthorized):
        cloud.session(password="wrong").get_token()


def test_keystoneauth_gets_a_new_token_when_the_old_one_is_refused(cloud):
    adapter = Adapter(cloud.session(), service_type="sim")
    adapter.get("/resources")
    assert requests.delete(f"{cloud.url}/sim/v1/tokens", timeout=10).json()["revoked"] >= 1
    assert adapter.get("/resources").status_code == 200


@pytest.fixture
def sdk(cloud, tmp_path, monkeypatch):
    """openstacksdk, by ``clouds.yaml``."""
    settings = {"clouds": {"sim": {"region_name": "RegionOne", "auth": {
        "auth_url": f"{cloud.url}/identity", "username": "admin", "password": "simulated", "project_name": "demo",
        "user_domain_id": "default", "project_domain_id": "default"}}}}
    (tmp_path / "clouds.yaml").write_text(json.dumps(settings))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    with openstack.connect(cloud="sim") as connection:
        yield connection


def test_openstacksdk_runs_a_whole_life(sdk):
    network = sdk.network.create_network(name="net")
    sdk.network.create_subnet(network_id=network.id, cidr="10.0.0.0/24", ip_version=4)
    port = sdk.network.create_port(network_id=network.id)
    group = sdk.network.create_security_group(name="group")
    volume = sdk.block_storage.create_volume(size=1, name="volume")
    image = sdk.image.find_image("cirros", ignore_missing=False)
    flavor = sdk.compute.find_flavor("m1.tiny", ignore_missing=False)
    server = sdk.compute.create_server(name="server", image_id=image.id, flavor_id=flavor.id,
                                       networks=[{"port": port.id}], metadata={"marker": "m"})
    server = sdk.compute.wait_for_server(server, interval=0.1, wait=30)
    assert server.addresses["net"][0]["addr"] == port.fixed_ips[0]["ip_address"]
    sdk.block_storage.wait_for_status(volume, "available", interval=0.1, wait=30)
    with pytest.raises(openstack.exceptions.ConflictException, match="in use"):
        sdk.network.delete_network(network)
    sdk.compute.stop_server(server)
    sdk.compute.wait_for_server(server, status="SHUTOFF", interval=0.1, wait=30)
    assert [each.name for each in sdk.compute.servers()] == ["server"]
    sdk.compute.delete_server(server)
    sdk.compute.wait_for_delete(server, interval=0.1, wait=30)
    sdk.block_storage.delete_volume(volume)
    sdk.block_storage.wait_for_delete(volume, interval=0.1, wait=30)
    sdk.network.delete_security_group(group)
    sdk.network.delete_port(port)
    for subnet in sdk.network.subnets(network_id=network.id):
        sdk.network.delete_subnet(subnet)
    sdk.network.delete_network(network)
    assert list(sdk.network.networks()) == []
    with pytest.raises(openstack.exceptions.NotFoundException):
        sdk.compute.get_server(server.id)


def test_openstacksdk_leads_a_floating_ip_through_a_router(sdk):
    outside = sdk.network.create_network(name="outside", is_router_external=True)
    sdk.network.create_subnet(network_id=outside.id, cidr="203.0.113.0/24", ip_version=4)
    inside = sdk.network.create_network(name="inside")
    subnet = sdk.network.create_subnet(network_id=inside.id, cidr="10.9.0.0/24", ip_version=4)
    port = sdk.network.create_port(network_id=inside.id)
    router = sdk.network.create_router(name="edge", external_gateway_info={"network_id": outside.id})
    sdk.network.add_interface_to_router(router, subnet.id)
    address = sdk.network.create_ip(floating_network_id=outside.id, port_id=port.id)
    assert (address.router_id, address.fixed_ip_address) == (router.id, port.fixed_ips[0]["ip_address"])
    wait_until(lambda: sdk.network.get_ip(address.id).status == "ACTIVE", bound=30, what="the agent's work")
    with pytest.raises(openstack.exceptions.ConflictException, match="still has ports"):
        sdk.network.delete_router(router)
    sdk.network.delete_ip(address)
    sdk.network.remove_interface_from_router(router, subnet.id)
    sdk.network.delete_router(router)
    assert [each.id for each in sdk.network.ports()] == [port.id]
    sdk.network.delete_port(port)
    for network in (inside, outside):
        for each in sdk.network.subnets(network_id=network.id):
            sdk.network.delete_subnet(each)
        sdk.network.delete_network(network)


def test_openstacksdk_takes_a_snapshot_and_makes_a_volume_of_it(sdk):
    volume = sdk.block_storage.create_volume(size=2, name="volume")
    sdk.block_storage.wait_for_status(volume, "available", interval=0.1, wait=30)
    snapshot = sdk.block_storage.create_snapshot(volume_id=volume.id, name="snapshot")
    snapshot = sdk.block_storage.wait_for_status(snapshot, "available", interval=0.1, wait=30)
    assert [each.id for each in sdk.block_storage.snapshots()] == [snapshot.id]
    copy = sdk.block_storage.create_volume(snapshot_id=snapshot.id, name="copy")
    assert (copy.size, copy.snapshot_id) == (2, snapshot.id)
    with pytest.raises(openstack.exceptions.BadRequestException, match="have snapshots"):
        sdk.block_storage.delete_volume(volume)
    sdk.block_storage.delete_snapshot(snapshot)
    sdk.block_storage.wait_for_delete(snapshot, interval=0.1, wait=30)
    for each in (volume, copy):
        sdk.block_storage.wait_for_status(each, "available", interval=0.1, wait=30)
        sdk.block_storage.delete_volume(each)


def test_calls_are_counted_by_the_name_in_the_user_agent(cloud):
    requests.delete(f"{cloud.url}/sim/v1/stats", timeout=10)
    adapter = Adapter(cloud.session(), service_type="sim")
    made = adapter.post("/resources", json={"resource": {"name": "counted"}}).json()["resource"]
    threads = [threading.Thread(target=lambda: [adapter.get(f"/resources/{made['id']}") for _ in range(10)])
               for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    stats = cloud.get("stats")
    assert stats["gets_by_resource"][made["id"]] == {"observer obs-1": 80}
    assert stats["by_caller_route"]["observer obs-1"]["GET /sim/v1/resources/{id}"] == 80
    assert cloud.get("fetches")["gets"] == 80


class Bus(threading.Thread):
    """Reads a queue of its own that is bound to everything, until stopped."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.received: list[tuple[str, str, bytes]] = []
        self._connection = Broker(url).connect()
        self._end = threading.Event()
        channel = self._connection.channel()
        name, *_ = channel.queue_declare(queue="capture", exclusive=True)
        for exchange in ("nova", "neutron", "openstack", "glance", "keystone", "sim"):
            channel.exchange_declare(exchange=exchange, type="topic", durable=False, auto_delete=False)
            channel.queue_bind(queue=name, exchange=exchange, routing_key="#")
        channel.basic_consume(queue=name, no_ack=True, callback=self._take, consumer_tag="capture")
        self.start()

    def _take(self, message) -> None:
        info = message.delivery_info
        body = message.body if isinstance(message.body, bytes) else message.body.encode()
        self.received.append((info["exchange"], info["routing_key"], body))

    def run(self) -> None:
        while not self._end.is_set():
            try:
                self._connection.drain_events(timeout=0.2)
            except TimeoutError:
                continue
        self._connection.release()

    def stop(self) -> None:
        self._end.set()
        self.join(10)

    def events(self) -> list[str]:
        return [wire.unpack(body)["event_type"] for _, _, body in list(self.received)]


@pytest.fixture
def bus(shared_rabbitmq):
    url = shared_rabbitmq.create_vhost(f"simcloud{os.getpid()}-{free_port()}")
    made = Bus(url)
    made.url = url
    yield made
    made.stop()


def test_a_servers_build_goes_out_on_rabbitmq(start, bus):
    cloud = start("--build-time", "0.5", "--bus", bus.url)
    adapter = Adapter(cloud.session(), service_type="compute")
    image = Adapter(cloud.session(), service_type="image").get("/v2/images").json()["images"][0]["id"]
    body = {"server": {"name": "s", "flavorRef": "m1.nano", "imageRef": image}}
    answer = adapter.post("/servers", json=body)
    assert answer.headers["x-openstack-request-id"].startswith("req-")
    wait_until(lambda: len(bus.received) >= 22, bound=30, what="22 notifications")
    assert {exchange for exchange, _, _ in bus.received} == {"nova"}
    assert {key for _, key, _ in bus.received} == {"notifications.info", "versioned_notifications.info"}
    assert bus.events()[0] == "scheduler.select_destinations.start"
    wait_until(lambda: cloud.get("stats")["notifications"]["waiting"] == 0, bound=10, what="an empty buffer")


def test_the_api_goes_on_while_the_broker_is_away(start, rabbitmq):
    cloud = start("--build-time", "0.1", "--bus", rabbitmq.url)
    adapter = Adapter(cloud.session(), service_type="network")
    adapter.post("/v2.0/networks", json={"network": {"name": "before"}})
    wait_until(lambda: cloud.get("stats")["notifications"]["published"] == 2, bound=30, what="two published")
    rabbitmq.kill()
    for number in range(5):
        assert adapter.post("/v2.0/networks", json={"network": {"name": f"during-{number}"}}).status_code == 201
    wait_until(lambda: cloud.get("stats")["notifications"]["failures"] > 0, bound=30, what="a failed send")
    rabbitmq.start()
    wait_until(lambda: cloud.get("stats")["notifications"]["published"] == 12, bound=60, what="all twelve published")


def test_the_filesystem_bus(start, tmp_path):
    url = f"filesystem://{tmp_path}/bus"
    bus = Bus(url)
    try:
        cloud = start("--build-time", "0.1", "--bus", url)
        made = Adapter(cloud.session(), service_type="sim").post("/resources", json={"resource": {"name": "r"}}).json()
        wait_until(lambda: bus.events() == ["sim.resource.create.start", "sim.resource.create.end"], bound=30,
                   what="both notifications")
        assert wire.unpack(bus.received[1][2])["payload"]["resource"]["id"] == made["resource"]["id"]
    finally:
        bus.stop()


if SHARED is not None:
    def test_the_recorded_life_is_replayed_byte_for_byte(start, bus):
        cloud = start("--bus", bus.url)
        record = SHARED / "captured"
        asked = {"notifications_path": str(record / "nova-server-life.jsonl"), "speed": 20,
                 "bodies_path": str(record / "api/nova-server-life.bodies.jsonl"),
                 "timeline_path": str(record / "api/nova-server-life.timeline.jsonl")}
        begun = requests.post(f"{cloud.url}/sim/v1/replay", json=asked, timeout=10).json()
        adapter = Adapter(cloud.session(), service_type="compute")
        first = adapter.get(f"/servers/{begun['server_id']}", headers={"OpenStack-API-Version": "compute 2.96"}).json()
        lines = [json.loads(line) for line in (record / "nova-server-life.jsonl").read_text().splitlines()]
        bodies = (record / "api/nova-server-life.bodies.jsonl").read_text().splitlines()
        assert first["server"] == json.loads(bodies[0])["server"]
        wait_until(lambda: cloud.get(f"replay/{begun['id']}")["finished"], bound=60, what="the end of the replay")
        wait_until(lambda: len(bus.received) == len(lines), bound=20, what="all 154 notifications")
        assert bus.received == [(line["exchange"], line["routing_key"], line["body"].encode()) for line in lines]
        with pytest.raises(keystoneauth1.exceptions.NotFound):
            adapter.get(f"/servers/{begun['server_id']}")


# starting and stopping


def _run(*options: str) -> subprocess.CompletedProcess:
    return subprocess.run([OBSVC, "simcloud", *options], capture_output=True, text=True, timeout=60, check=False)


def test_options_are_the_dials_that_the_control_interface_turns(start):
    cloud = start("--throttled-share", "1", "--retry-after", "7", "--silent", "neutron", "--reordered-share", "0.25")
    dials = cloud.get("dials")
    assert (dials["throttled_share"], dials["silent_exchanges"], dials["reordered_share"]) == (1.0, ["neutron"], 0.25)
    adapter = Adapter(cloud.session(), service_type="network")
    answer = adapter.get("/v2.0/networks", raise_exc=False)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    turn = {"throttled_share": 0, "unavailable_share": 1}
    assert requests.put(f"{cloud.url}/sim/v1/dials", json=turn, timeout=10).json()["unavailable_share"] == 1.0
    assert adapter.get("/v2.0/networks", raise_exc=False).status_code == 503
    requests.put(f"{cloud.url}/sim/v1/dials", json={"unavailable_share": 0}, timeout=10)
    assert adapter.post("/v2.0/networks", json={"network": {"name": "unheard"}}).status_code == 201
    counts = cloud.get("stats")["notifications"]
    assert (counts["emitted"], counts["lost"]) == (2, 2)


@pytest.mark.parametrize(("options", "words"), [
    (("--bus", "nonsense://x"), "nonsense"),
    (("--build-time", "uniform:4,1"), "uniform:LEAST,MOST"),
    (("--lost-share", "1.5"), "lost_share"),
    (("--port", "99999"), "99999"),
    (("--throttled", "nova"), "'nova'"),
    (("--build-time-of", "server"), "TYPE=TIME"),
])
def test_a_wrong_option_ends_in_one_line(options, words):
    done = _run(*options)
    assert done.returncode != 0
    assert len(done.stderr.strip().splitlines()) == 1 and words in done.stderr, done.stderr


def test_a_port_in_use_ends_in_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = _run("--port", str(port))
    assert done.returncode != 0
    assert len(done.stderr.strip().splitlines()) == 1 and str(port) in done.stderr, done.stderr


def test_sigterm_ends_it_without_a_word(start):
    cloud = start()
    adapter = Adapter(cloud.session(), service_type="compute")
    adapter.get("/servers/detail")
    assert cloud.stop() == (0, "")


def test_it_does_not_outlive_its_parent_process(start):
    """gunicorn's arbiter killed: the worker that holds the cloud goes too, and frees the port."""
    cloud = start()
    cloud.process.kill()
    cloud.process.wait(10)
    port = int(cloud.url.rsplit(":", 1)[1])

    def is_free() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) != 0

    wait_until(is_free, bound=20, what="the port to be free")

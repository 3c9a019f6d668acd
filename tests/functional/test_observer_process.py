"""One observer process against real RabbitMQ and etcd, an engine process on SQLite and the simulated cloud."""
from __future__ import annotations

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid

import msgspec
import pytest
from keystoneauth1 import session
from keystoneauth1.identity import v3

from obsvc.cmd import settings_file
from obsvc.engine_client.contract import CONTRACT_VERSION, CONTRACT_VERSION_MIN, Empty, EngineInfo
from obsvc.engine_client.http import HttpEngine
from obsvc.engine_client.observations import PartitionsRequest, ResourceRequest, StartItem, StartRequest
from obsvc.model import Condition, Ref
from tests.support.processes.servers import free_port, wait_until

BOUND = 60.0
PASSWORD = "secret"


class Processes:
    """Processes of obsvc on one configuration, each with its log."""

    def __init__(self, folder) -> None:
        self.folder = folder
        self.running: dict[str, subprocess.Popen] = {}

    def start(self, name: str, *words: str) -> subprocess.Popen:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", "obsvc", *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )
        return self.running[name]

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def end(self) -> None:
        for process in reversed(self.running.values()):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(30)


def fetch(url: str, *, method: str = "GET", body: object = None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        text = answer.read().decode()
    try:
        return json.loads(text)
    except ValueError:
        return text


class Place:
    """Everything that the test stands on: addresses, the engine's client, the cloud's client."""

    def __init__(self, folder, rabbitmq, etcd) -> None:
        self.processes = Processes(folder)
        self.bus = rabbitmq.create_vhost(uuid.uuid4().hex)
        self.cloud_port, self.engine_port, self.health_port = free_port(), free_port(), free_port()
        self.cloud = f"http://127.0.0.1:{self.cloud_port}"
        self.config = settings_file.write(folder / "obsvc.conf", {
            "DEFAULT": {"state_path": folder},
            "database": {"url": f"sqlite:///{folder}/obsvc.sqlite"},
            "coordination": {"backend_urls": etcd.tooz_url, "group": uuid.uuid4().hex, "lease": 4,
                             "beat_interval": 0.5},
            "engine": {"bind_port": self.engine_port, "member_timeout": 4},
            "engine_client": {"endpoints": f"http://127.0.0.1:{self.engine_port}"},
            "observer": {"name": "obs-1", "health_port": self.health_port, "poll_initial": 600, "poll_max": 600},
            "buses": {"names": "cloud"},
            "bus:cloud": {"url": self.bus, "exchanges": "nova,neutron,openstack,cinder,glance,keystone,sim"},
            "cloud": {"auth_type": "password", "auth_url": f"{self.cloud}/identity/v3", "username": "obsvc",
                      "password": PASSWORD, "project_name": "demo", "user_domain_id": "default",
                      "project_domain_id": "default", "interface": "public"},
        })
        self.engine = HttpEngine([f"http://127.0.0.1:{self.engine_port}"])

    def start(self, *, observer: bool = True) -> None:
        run = self.processes.start
        assert run("upgrade", *self.words("db", "upgrade", "--partitions", "32")).wait(BOUND) == 0
        run("simcloud", "simcloud", "--port", str(self.cloud_port), "--password", PASSWORD, "--bus", self.bus,
            "--build-time", "1")
        run("engine", *self.words("engine"))
        wait_until(lambda: fetch(f"{self.cloud}/healthz"), bound=BOUND, what="the simulated cloud")
        wait_until(lambda: self.engine.info(Empty()), bound=BOUND, what="the engine")
        if observer:
            self.start_observer()

    def start_observer(self) -> None:
        self.processes.start("observer", *self.words("observer"))
        wait_until(self.all_owned, bound=BOUND, what="obs-1 owns every partition")

    def start_another(self, name: str) -> int:
        """One more member; returns its health port."""
        port = free_port()
        own = settings_file.write(
            self.processes.folder / f"{name}.conf", {"observer": {"name": name, "health_port": port}}
        )
        self.processes.start(name, *self.words("--config-file", str(own), "observer"))
        return port

    def owners(self) -> dict[str | None, int]:
        """How many partitions each member owns."""
        found = self.engine.partitions(PartitionsRequest()).partitions
        names = [None if one.owner is None else one.owner.name for one in found]
        return {name: names.count(name) for name in names}

    def words(self, *words: str) -> list[str]:
        return ["--config-file", str(self.config), *words]

    def all_owned(self) -> bool:
        process = self.processes.running["observer"]
        assert process.poll() is None, self.processes.log("observer")
        fetch(f"http://127.0.0.1:{self.health_port}/readyz")
        found = self.engine.partitions(PartitionsRequest()).partitions
        return all(one.owner is not None and one.owner.name == "obs-1" for one in found)

    def user(self) -> session.Session:
        """Some user of the cloud."""
        auth = v3.Password(
            f"{self.cloud}/identity/v3", username="somebody", password=PASSWORD, project_name="demo",
            user_domain_id="default", project_domain_id="default",
        )
        return session.Session(auth=auth)

    def create_server(self, name: str) -> str:
        cloud, compute = self.user(), {"service_type": "compute", "interface": "public"}
        image = cloud.get("/v2/images", endpoint_filter={"service_type": "image", "interface": "public"})
        flavor = cloud.get("/flavors", endpoint_filter=compute)
        asked = {"name": name, "networks": "none", "imageRef": image.json()["images"][0]["id"],
                 "flavorRef": flavor.json()["flavors"][0]["id"]}
        answer = cloud.post("/servers", endpoint_filter=compute, json={"server": asked})
        return answer.json()["server"]["id"]

    def delete_server(self, server_id: str) -> None:
        self.user().delete(
            f"/servers/{server_id}", endpoint_filter={"service_type": "compute", "interface": "public"}
        )

    def metric(self, name: str, *, port: int | None = None, **labels: str) -> float:
        found = 0.0
        for line in fetch(f"http://127.0.0.1:{port or self.health_port}/metrics").splitlines():
            if line.startswith(name) and all(f'{key}="{value}"' in line for key, value in labels.items()):
                found += float(line.rsplit(" ", 1)[1])
        return found

    def looks(self) -> list[dict]:
        """The observer's GETs of single resources."""
        return [
            call for call in fetch(f"{self.cloud}/sim/v1/calls")["calls"]
            if call["method"] == "GET" and call["resource_id"] and call["caller"].startswith("observer ")
        ]


@pytest.fixture
def place(tmp_path, shared_rabbitmq, shared_etcd):
    found = Place(tmp_path, shared_rabbitmq, shared_etcd)
    try:
        yield found
    finally:
        found.processes.end()


def server(resource_id: str) -> Ref:
    return Ref("RegionOne", "compute.server", resource_id)


def condition(place: Place, ref: Ref) -> Condition | None:
    snapshot = place.engine.read_resource(ResourceRequest(ref)).snapshot
    return None if snapshot is None else snapshot.condition


def test_a_server_goes_active_by_notifications_and_nobody_elses_is_fetched(place):
    place.start()
    watched, unwatched = place.create_server("watched"), place.create_server("unwatched")
    ref = server(watched)
    place.engine.start(StartRequest((StartItem(ref, goal=Condition.ACTIVE, timeout=300.0),)))
    wait_until(lambda: condition(place, ref) is Condition.ACTIVE, bound=BOUND, what="the server is active")

    seen = lambda: place.metric("obsvc_notifications_fate_total", fate="not_observed")  # noqa: E731
    wait_until(lambda: seen() > 0, bound=BOUND, what="the other server's notifications")
    assert place.metric("obsvc_looks_total", cause="notified") + place.metric("obsvc_looks_total", cause="settle") > 0
    assert place.metric("obsvc_looks_total", cause="polled") == 0  # polls are ten minutes away: it was told
    assert {call["resource_id"] for call in place.looks()} == {watched} != {unwatched}

    place.delete_server(watched)
    wait_until(lambda: condition(place, ref) is Condition.DELETED, bound=BOUND, what="the server is deleted")
    wait_until(lambda: place.metric("obsvc_unsettled_deliveries") == 0, bound=BOUND, what="everything is settled")


def test_a_signal_hands_everything_over_and_ends(place):
    place.start()
    process = place.processes.running["observer"]
    process.send_signal(signal.SIGTERM)
    assert process.wait(BOUND) == 0, place.processes.log("observer")
    found = place.engine.partitions(PartitionsRequest()).partitions
    assert {(one.owner, one.why) for one in found} == {(None, "released")}


def test_it_waits_for_the_engine_with_one_line(place):
    place.processes.start("observer", *place.words("observer"))
    wait_until(lambda: "waiting for the engine" in place.processes.log("observer"), bound=BOUND, what="it says so")
    place.start(observer=False)
    wait_until(place.all_owned, bound=BOUND, what="obs-1 owns every partition")
    assert place.processes.log("observer").count("waiting for the engine") == 1
    assert "Traceback" not in place.processes.log("observer")


def test_it_ends_when_told_though_the_engine_went_while_it_started(place):
    """The engine answers one question, and is never seen again."""
    answered = threading.Event()

    class Once(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = msgspec.json.encode(EngineInfo(
                CONTRACT_VERSION, CONTRACT_VERSION_MIN, database_id=uuid.uuid4().hex, partitions=32,
                engine_time=time.time(), drain_timeout=30.0, member_timeout=4.0))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            answered.set()

    with http.server.HTTPServer(("127.0.0.1", place.engine_port), Once) as engine:
        place.processes.start("observer", *place.words("observer"))
        engine.handle_request()
    assert answered.is_set()

    def begins() -> bool:
        try:
            fetch(f"http://127.0.0.1:{place.health_port}/readyz")
        except urllib.error.HTTPError as error:
            return b"waits for the engine" not in error.read()
        return False

    wait_until(begins, bound=BOUND, what="the observer's start")
    process = place.processes.running["observer"]
    process.send_signal(signal.SIGTERM)
    assert process.wait(BOUND) in (0, 1), place.processes.log("observer")
    assert "Traceback" not in place.processes.log("observer")


def test_a_second_process_of_the_name_waits_with_one_line(place):
    place.start()
    second = settings_file.write(place.processes.folder / "second.conf", {"observer": {"health_port": free_port()}})
    place.processes.start("second", *place.words("--config-file", str(second), "observer"))
    wait_until(lambda: "consumed by another process" in place.processes.log("second"), bound=BOUND, what="it says so")
    place.processes.running["observer"].send_signal(signal.SIGTERM)
    assert place.processes.running["observer"].wait(BOUND) == 0
    wait_until(
        lambda: all(one.owner is not None for one in place.engine.partitions(PartitionsRequest()).partitions),
        bound=BOUND, what="the second one owns every partition",
    )
    lines = [line for line in place.processes.log("second").splitlines() if "consumed by another process" in line]
    assert len(lines) == 1


def test_partitions_move_to_a_new_member_and_come_back_when_it_is_killed(place):
    place.start()
    servers = [place.create_server(f"server-{number}") for number in range(6)]
    refs = [server(one) for one in servers]
    place.engine.start(StartRequest(tuple(StartItem(ref, goal=Condition.ACTIVE) for ref in refs)))
    wait_until(
        lambda: all(condition(place, ref) is Condition.ACTIVE for ref in refs), bound=BOUND, what="all are active"
    )
    place.start_another("obs-2")
    wait_until(
        lambda: place.owners().get("obs-2", 0) >= 14 and None not in place.owners(), bound=BOUND,
        what="each has its share",
    )

    place.processes.running["obs-2"].kill()
    place.delete_server(servers[0])
    place.delete_server(servers[1])
    wait_until(lambda: place.owners() == {"obs-1": 32}, bound=BOUND, what="obs-1 has taken over")
    wait_until(
        lambda: all(condition(place, ref) is Condition.DELETED for ref in refs[:2]), bound=BOUND,
        what="what was deleted while nobody owned it is seen",
    )
    assert all(condition(place, ref) is Condition.ACTIVE for ref in refs[2:])
    assert "Traceback" not in place.processes.log("observer") + place.processes.log("obs-2")

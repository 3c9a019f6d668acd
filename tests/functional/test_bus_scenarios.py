"""What a broker can do to us, to a whole deployment: after each, nothing that happened in the cloud is missing.

One deployment serves most of the module: two observers on two buses of two brokers, ``cloud`` (TLS with a client
certificate, quorum queues) and ``second`` (classic, queues of 1,000).  Polls are ten minutes away, so what a
notification can't tell any more must be found by gap detection.  Each test leaves everything healed.

Bounds: ``TOLD`` seconds where a notification tells it, ``HEALED`` where a gap must be found first (a look at our queue
every 10 s, a reconnect after at most 22 s, a resync spread over 5 s).
"""
from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import uuid

import pytest

from obsvc.messaging import Publisher, topology, wire
from tests.support.broker import delete_queue
from tests.support.processes.deployment import Deployment, SimulatedCloud, http_json
from tests.support.processes.listening import connected
from tests.support.processes.servers import RabbitMQ, free_port, own, wait_until
from tests.support.processes.watching import Watching

#: One deployment for all: one worker.
pytestmark = pytest.mark.xdist_group("bus_scenarios")

TOLD = 15.0
HEALED = 60.0


class TlsRabbitMQ(RabbitMQ):
    """A broker that also serves TLS, to those alone who show a certificate of its authority."""

    def __init__(self) -> None:
        super().__init__()
        self.tls_port = free_port()
        self.extra_config = [
            f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}", f"ssl_options.cacertfile = {self.folder}/ca.pem",
            f"ssl_options.certfile = {self.folder}/server.pem", f"ssl_options.keyfile = {self.folder}/server.key",
            "ssl_options.verify = verify_peer", "ssl_options.fail_if_no_peer_cert = true",
        ]

    def prepare(self) -> None:
        super().prepare()
        self._openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=authority",
                      "-keyout", "ca.key", "-out", "ca.pem")
        for name in ("server", "client"):
            (self.folder / f"{name}.ext").write_text("subjectAltName=IP:127.0.0.1\n")
            self._openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key",
                          "-out", f"{name}.csr")
            self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                          "-CAcreateserial", "-days", "2", "-extfile", f"{name}.ext", "-out", f"{name}.pem")
            for suffix in ("key", "pem"):
                own(self.folder / f"{name}.{suffix}", self.user)

    def _openssl(self, *words: str) -> None:
        subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=60, cwd=self.folder)

    @property
    def tls_url(self) -> str:
        return f"amqps://guest:guest@127.0.0.1:{self.tls_port}//"

    def tls_options(self) -> dict[str, str]:
        """What goes into ``[bus:…]``."""
        return {"url": self.tls_url, "cafile": f"{self.folder}/ca.pem", "certfile": f"{self.folder}/client.pem",
                "keyfile": f"{self.folder}/client.key"}

    def kill_and_empty(self) -> None:
        """When it comes back it has no queue, exchange or message."""
        self.kill()
        shutil.rmtree(self.folder / "mnesia")
        (self.folder / "mnesia").mkdir()
        own(self.folder / "mnesia", self.user)


class Scene:
    """The deployment, its brokers and resources."""

    def __init__(self, first: TlsRabbitMQ, second: RabbitMQ, deployment: Deployment, cloud: SimulatedCloud) -> None:
        self.first, self.second = first, second
        self.deployment, self.cloud = deployment, cloud
        self.watching = Watching(deployment, cloud)
        self.servers: list[str] = []
        self.networks: list[str] = []
        self.plain: list[str] = []

    def populate(self) -> None:
        watching = self.watching
        self.servers, self.networks = watching.create_servers(4), watching.create_networks(4)
        self.plain = watching.create_plain(24)
        for resource_type, ids in (("compute.server", self.servers), ("network.network", self.networks),
                                   ("sim.resource", self.plain)):
            watching.observe(resource_type, ids)

    def queues(self, bus: str) -> list[str]:
        return [topology.queue_name(name, bus) for name in self.deployment.of_kind("observer")]

    def owners(self) -> dict[int, tuple]:
        return {each["partition"]: (each["owner"]["name"], each["generation"])
                for each in self.deployment.api("/v1/partitions")["partitions"]}

    def gaps(self, bus: str, reason: str | None = None) -> int:
        labels = {"bus": bus} | ({"reason": reason} if reason else {})
        return self.deployment.count("observer", "obsvc_bus_gaps_total", **labels)

    def wait_connected(self, bus: str, connected: bool = True) -> None:
        members = self.deployment.of_kind("observer")
        wait_until(lambda: all(self.deployment.metrics(name)[f'obsvc_bus_connected{{bus="{bus}"}}'] == connected
                               for name in members), bound=HEALED, what=f"bus {bus} connected: {connected}")

    def change_told_on_second(self, ids: list[str], times: int = 1) -> None:
        """The cloud changes, and another publisher tells it on the second bus."""
        publisher = Publisher(self.second.url, "sim")
        for _ in range(times):
            self.watching.change(ids, notify=False)
            truth = {each["id"]: each for each in self.cloud.truth()}
            for each in ids:
                publisher.publish("notifications.info", plain_update(each, truth[each]["name"]))
        publisher.close()

    def wait_whole(self, bound: float, what: str) -> None:
        self.watching.wait_nothing_missing(bound, what)
        wait_until(lambda: self.deployment.gauge("observer", "obsvc_unsettled_deliveries") == 0, bound=TOLD,
                   what="everything settled")


def plain_update(resource_id: str, name: str) -> bytes:
    return wire.pack({
        "message_id": str(uuid.uuid4()), "publisher_id": "sim.api-2", "event_type": "sim.resource.update.end",
        "priority": "INFO", "timestamp": "2026-01-01 00:00:00.000000",
        "payload": {"resource": {"id": resource_id, "status": "ACTIVE", "name": name}},
    })


@pytest.fixture(scope="module")
def scene(tmp_path_factory, shared_etcd, shared_postgresql):
    folder = tmp_path_factory.mktemp("scenes")
    with TlsRabbitMQ() as first, RabbitMQ() as second, contextlib.ExitStack() as stack:
        with connected(first.url) as connection:  # as three services may have left theirs
            connection.default_channel.exchange_declare("nova", "topic", durable=True, auto_delete=False)
            connection.default_channel.exchange_declare("sim", "topic", durable=False, auto_delete=False)
        cloud = SimulatedCloud(folder, first.url, "--build-time", "1")
        stack.callback(cloud.process.kill)
        cloud.start()
        deployment = Deployment(
            folder, database=shared_postgresql.create_database(f"scenes{uuid.uuid4().hex[:8]}"),
            coordination=shared_etcd.tooz_url, bus=first.url, cloud=cloud, observers=2, partitions=16,
            options={
                "coordination": {"group": folder.name},
                "observer": {"poll_initial": 600, "poll_max": 600, "backlog_limit": 100},
                "buses": {"names": "cloud,second"},
                "bus:cloud": {**first.tls_options(), "queue_type": "quorum"},
                "bus:second": {"url": second.url, "exchanges": "sim", "queue_max_length": 1000},
            },
        )
        with deployment:
            made = Scene(first, second, deployment, cloud)
            made.populate()
            made.watching.wait_built(HEALED)  # else the end of a build may be told on a bus that is just killed
            made.watching.wait_nothing_missing(HEALED, "the creation")
            yield made


def test_exchanges_found_durable_not_durable_and_absent_over_tls_into_quorum_queues(scene):
    with connected(scene.first.url) as connection:
        for exchange, durable in (("nova", True), ("sim", False), ("neutron", False)):
            connection.default_channel.exchange_declare(exchange, "topic", durable=durable, auto_delete=False)
    listed = scene.first.ctl("list_queues", "name", "type", "durable").split("\n")
    assert all(any(line.split() == [queue, "quorum", "true"] for line in listed) for queue in scene.queues("cloud"))
    peers = scene.first.ctl("list_connections", "ssl", "peer_cert_subject").strip().split("\n")
    assert sum("CN=client" in line for line in peers) == 2, peers
    scene.watching.change(scene.servers + scene.networks + scene.plain)
    scene.wait_whole(TOLD, "a change of everything")
    assert scene.gaps("cloud") == scene.gaps("second") == 0


def test_without_a_client_certificate_the_broker_refuses(scene):
    process = scene.deployment.add_member("observer", "observer-bare")
    own_config = scene.deployment.folder / "observer-bare.conf"
    own_config.write_text(own_config.read_text() + "\n[bus:cloud]\ncertfile =\nkeyfile =\n")
    before = scene.owners()
    process.start()
    try:
        wait_until(lambda: "could not connect to amqps://" in process.output(), bound=HEALED, what="it is refused")
        assert "guest:guest" not in process.output()
        with pytest.raises(Exception, match="503"):
            http_json(f"http://127.0.0.1:{scene.deployment.health_ports['observer-bare']}/readyz")
        assert scene.owners() == before
    finally:
        process.kill()
        del scene.deployment.processes["observer-bare"]
    with connected(scene.second.url) as connection:
        delete_queue(connection, topology.queue_name("observer-bare", "second"))


def test_a_bus_dies_and_returns_and_the_other_is_undisturbed(scene):
    before, told_by_second = scene.owners(), scene.plain[:6]
    scene.first.kill()
    scene.wait_connected("cloud", False)
    scene.change_told_on_second(told_by_second)
    scene.wait_whole(TOLD, "changes told on the bus that lives")
    assert scene.gaps("second") == 0
    # What nobody tells any more: changes of before the broker's return.
    scene.watching.change(scene.plain[6:12] + scene.servers[:1], notify=False)
    scene.first.start()
    scene.wait_connected("cloud")
    scene.watching.change(scene.networks)
    scene.wait_whole(HEALED, "the bus's return")
    assert scene.owners() == before and scene.gaps("cloud") >= 2 and scene.gaps("second") == 0


def test_broker_restarted_with_its_queues_lost(scene):
    vanished = scene.gaps("cloud", "queue_vanished")
    scene.watching.change(scene.plain[:3])
    scene.first.kill_and_empty()
    scene.wait_connected("cloud", False)
    scene.watching.change(scene.plain[3:9] + scene.servers, notify=False)
    scene.first.start()
    scene.wait_connected("cloud")
    scene.watching.delete(scene.plain[-1:])
    scene.wait_whole(HEALED, "the loss of all queues")
    assert scene.gaps("cloud", "queue_vanished") >= vanished + 2


def test_our_queues_deleted_under_the_consumer(scene):
    vanished = scene.gaps("cloud", "queue_vanished")
    with connected(scene.first.url) as connection:
        for queue in scene.queues("cloud"):
            scene.watching.change(scene.plain[:5])
            delete_queue(connection, queue)
            scene.watching.change(scene.plain[5:10] + scene.networks[:2])
    scene.wait_whole(HEALED, "the queues' deletion")
    assert scene.gaps("cloud", "queue_vanished") == vanished + 2


def test_publisher_blocked_by_the_brokers_memory_alarm(scene):
    scene.first.ctl("set_vm_memory_high_watermark", "absolute", "1MB")
    try:
        scene.watching.change(scene.plain[:8] + scene.servers)
        wait_until(lambda: scene.cloud.get("stats")["notifications"]["waiting"] > 0, bound=TOLD,
                   what="the publisher is held back")
        scene.change_told_on_second(scene.plain[8:12])
    finally:
        scene.first.ctl("set_vm_memory_high_watermark", "0.6")
    scene.wait_whole(HEALED, "the alarm")


def test_with_the_engine_away_messages_stay_in_the_broker_and_overflow_is_made_good(scene):
    """The intake stops at 100 unsettled, the queue of 1,000 runs over, and what fell out is found by a resync."""
    engine = scene.deployment.processes["engine-1"]
    told, lost = scene.plain[:14], scene.plain[14:22]
    publisher = Publisher(scene.second.url, "sim")
    engine.send_signal(signal.SIGSTOP)
    try:
        scene.watching.change(told + lost, notify=False)
        with connected(scene.second.url) as connection:

            def intakes_wait() -> bool:
                """One more round: each observer owns some of them."""
                for each in told:
                    publisher.publish("notifications.info", plain_update(each, "whatever"))
                return all(connection.default_channel.queue_declare(queue, passive=True).consumer_count == 0
                           for queue in scene.queues("second"))

            wait_until(intakes_wait, bound=HEALED, what="the intakes wait")
            for each in lost:
                publisher.publish("notifications.info", plain_update(each, "whatever"))
            for _ in range(1200):
                publisher.publish("notifications.info", plain_update(told[0], "whatever"))
            waiting = [topology.queue_length(connection, queue) for queue in scene.queues("second")]
        assert waiting == [1000, 1000]
        unsettled = [scene.deployment.metrics(name)["obsvc_unsettled_deliveries"]
                     for name in scene.deployment.of_kind("observer")]
        assert max(unsettled) <= 100 + 300  # backlog_limit, and the prefetch that was under way
    finally:
        engine.send_signal(signal.SIGCONT)
        publisher.close()
    scene.wait_whole(HEALED, "the overflow")
    assert scene.gaps("second") > 0

"""Fetching over real HTTP: the simulated cloud, and servers that misbehave."""
from __future__ import annotations

import concurrent.futures
import json
import socket
import threading

import pytest
from keystoneauth1 import session as ks_session
from keystoneauth1 import token_endpoint

from obsvc import catalog
from obsvc import conf as obsvc_conf
from obsvc.cloud.sessions import CloudSessions
from obsvc.cmd import settings_file
from obsvc.exceptions import ConfigError, NotFound
from obsvc.model import Condition, Ref
from obsvc.observer.fetching.fetcher import Fetcher
from obsvc.observer.fetching.result import FetchOutcome
from tests.support.processes.deployment import SimulatedCloud, http_json
from tests.support.processes.servers import free_port

AGENT = "obsvc/0.1.0 (observer obs-1)"
CATALOG = catalog.load()


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    simulated = SimulatedCloud(tmp_path_factory.mktemp("cloud"), None, "--build-time", "0").start()
    yield simulated
    simulated.process.kill()


@pytest.fixture
def conf(cloud, tmp_path):
    options = {**cloud.auth_options("obsvc-observer"), "request_timeout": 5}
    path = settings_file.write(tmp_path / "obsvc.conf", {"cloud": options})
    return obsvc_conf.load([], config_files=[str(path)])


@pytest.fixture
def sessions(conf):
    return CloudSessions.from_conf(conf, AGENT)


@pytest.fixture
def fetcher(sessions):
    return Fetcher(CATALOG, sessions)


@pytest.fixture
def network(sessions):
    """A network that exists; a ref of it."""
    adapter = sessions.adapter("RegionOne", "network")
    url = f"{adapter.endpoint_override.rstrip('/')}/v2.0/networks"
    answer = adapter.post(url, endpoint_override=url, json={"network": {"name": "one"}})
    assert answer.status_code == 201, answer.text
    return Ref("RegionOne", "network.network", answer.json()["network"]["id"])


def test_several_are_fetched_by_one_list_of_their_ids(fetcher, network, cloud):
    missing = Ref("RegionOne", "network.network", "00000000-0000-0000-0000-000000000000")
    alone = fetcher.fetch(network).snapshot
    found = fetcher.fetch_many((missing, network))
    assert set(found) == {network} and found[network].outcome is FetchOutcome.FOUND
    assert found[network].snapshot.attributes == alone.attributes and found[network].snapshot.status == alone.status
    assert [call["resource_ids"] for call in cloud.calls() if "resource_ids" in call and call["resource_ids"]] == [
        [network.resource_id]]


def test_a_resource_is_found_and_one_that_is_not_there_is_absent(fetcher, network, cloud):
    fetched = fetcher.fetch(network)
    assert fetched.outcome is FetchOutcome.FOUND, fetched.error
    assert (fetched.snapshot.condition, fetched.snapshot.name) == (Condition.ACTIVE, "one")
    assert fetched.request_id and fetched.request_id.startswith("req-")
    for name in CATALOG.types:
        if CATALOG.service_of(name).service in ("nova", "neutron", "cinder", "glance") and name in (
                "compute.server", "network.port", "network.subnet", "block_storage.volume", "image.image"):
            absent = fetcher.fetch(Ref("RegionOne", name, "00000000-0000-0000-0000-000000000000"))
            assert absent.outcome is FetchOutcome.ABSENT, (name, absent.error)
    assert {call["caller"] for call in cloud.calls() if call["resource_id"] == network.resource_id} == {
        "observer obs-1"}


def test_many_threads_share_one_token(fetcher, network, cloud):
    before = _tokens(cloud)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        outcomes = {fetched.outcome for fetched in pool.map(fetcher.fetch, [network] * 64)}
    assert outcomes == {FetchOutcome.FOUND}
    assert _tokens(cloud) - before <= 1


def test_a_token_that_is_no_longer_good_is_renewed(fetcher, network, cloud):
    assert fetcher.fetch(network).outcome is FetchOutcome.FOUND
    http_json(f"{cloud.url}/sim/v1/tokens", method="DELETE")
    assert fetcher.fetch(network).outcome is FetchOutcome.FOUND


def test_many_threads_renew_a_token_together(fetcher, network, cloud):
    assert fetcher.fetch(network).outcome is FetchOutcome.FOUND
    http_json(f"{cloud.url}/sim/v1/tokens", method="DELETE")
    before, together = _tokens(cloud), threading.Barrier(16)

    def fetch(_: int) -> FetchOutcome:
        together.wait(30)
        return fetcher.fetch(network).outcome

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        outcomes = set(pool.map(fetch, range(16)))
    assert outcomes == {FetchOutcome.FOUND}
    assert _tokens(cloud) - before == 1


def test_a_service_or_one_resource_that_is_down_fails(fetcher, network, cloud):
    fetcher.fetch(network)
    for dial in ({"down_services": ["network"]}, {"down_resources": [network.resource_id]}):
        cloud.dial(**dial)
        fetched = fetcher.fetch(network)
        cloud.dial(down_services=[], down_resources=[])
        assert (fetched.outcome, fetched.reason) == (FetchOutcome.FAILED, "http_503")
    assert fetcher.fetch(network).outcome is FetchOutcome.FOUND


def test_a_throttled_service_says_for_how_long(fetcher, network, cloud):
    fetcher.fetch(network)
    cloud.dial(throttled_services=["network"], retry_after=7)
    fetched = fetcher.fetch(network)
    cloud.dial(throttled_services=[], retry_after=1)
    assert (fetched.outcome, fetched.reason, fetched.retry_after) == (FetchOutcome.FAILED, "http_429", 7.0)


def test_regions_come_from_the_catalogue(sessions):
    assert sessions.regions() == ("RegionOne",)


def test_a_service_or_region_that_the_cloud_has_not_is_said_so(sessions, fetcher):
    with pytest.raises(NotFound, match="public endpoint of nonsense in region RegionOne"):
        sessions.adapter("RegionOne", "nonsense")
    fetched = fetcher.fetch(Ref("Elsewhere", "network.network", "x"))
    assert (fetched.outcome, fetched.reason) == (FetchOutcome.FAILED, "no_endpoint")
    assert "Elsewhere" in fetched.error


def test_a_cloud_of_clouds_yaml(cloud, tmp_path, monkeypatch, network):
    options = cloud.auth_options("obsvc-observer")
    auth = {name: options[name] for name in
            ("auth_url", "username", "password", "project_name", "user_domain_id", "project_domain_id")}
    clouds = tmp_path / "clouds.yaml"
    clouds.write_text(json.dumps({"clouds": {"mine": {"auth": auth, "region_name": "RegionOne"}}}))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(clouds))
    path = tmp_path / "mine.conf"
    path.write_text("[cloud]\nos_cloud = mine\n")
    sessions = CloudSessions.from_conf(obsvc_conf.load([], config_files=[str(path)]), AGENT)
    assert sessions.regions() == ("RegionOne",)
    assert Fetcher(CATALOG, sessions).fetch(network).outcome is FetchOutcome.FOUND


def test_keystone_that_cannot_be_reached_is_a_failed_fetch(tmp_path):
    path = tmp_path / "obsvc.conf"
    path.write_text(f"[cloud]\nauth_type = password\nauth_url = http://127.0.0.1:{free_port()}/v3\nusername = u\n"
                    "password = secret-word\nproject_name = p\nuser_domain_id = default\nproject_domain_id = default\n")
    sessions = CloudSessions.from_conf(obsvc_conf.load([], config_files=[str(path)]), AGENT)
    fetched = Fetcher(CATALOG, sessions).fetch(Ref("RegionOne", "compute.server", "x"))
    assert (fetched.outcome, fetched.reason) == (FetchOutcome.FAILED, "authentication")
    assert "Keystone" in fetched.error and "secret-word" not in fetched.error


def test_options_that_do_not_fit_are_one_line(tmp_path):
    path = tmp_path / "obsvc.conf"
    path.write_text("[cloud]\nauth_type = password\nusername = u\n")
    with pytest.raises(ConfigError, match="auth_url"):
        CloudSessions.from_conf(obsvc_conf.load([], config_files=[str(path)]), AGENT)


def _tokens(cloud) -> int:
    return sum(call["method"] == "POST" and call["path"].endswith("/auth/tokens") for call in cloud.calls())


# -- servers that misbehave


@pytest.fixture
def misbehaving():
    """``misbehaving(raw)``: a fetcher for a server that answers ``raw`` to everything; None: never answers."""
    closers = []

    def start(raw: bytes | None, *, timeout: float = 0.5) -> Fetcher:
        listener = socket.create_server(("127.0.0.1", 0))
        kept = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                kept.append(connection)
                if raw is not None:
                    connection.recv(65536)
                    connection.sendall(raw)
                    connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()

        def close() -> None:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join(10)
            for connection in kept:
                connection.close()

        closers.append(close)
        session = ks_session.Session(auth=token_endpoint.Token(
            f"http://127.0.0.1:{listener.getsockname()[1]}", "token"))
        return Fetcher(CATALOG, CloudSessions(session, timeout=timeout))

    yield start
    for close in closers:
        close()


@pytest.mark.parametrize("raw,reason", [
    (None, "timeout"),
    (b"", "unreachable"),
    (b"nonsense\r\n\r\n", "unreachable"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", None),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}", "unreadable"),
    (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", None),
])
def test_a_server_that_misbehaves_is_a_failed_fetch(misbehaving, raw, reason):
    fetched = misbehaving(raw).fetch(Ref("RegionOne", "compute.server", "x"))
    assert fetched.outcome is FetchOutcome.FAILED and fetched.error
    assert reason is None or fetched.reason == reason

"""The parts of the cloud's sessions that need no cloud."""
from __future__ import annotations

import pytest
import requests
from keystoneauth1 import exceptions as ks_exceptions
from keystoneauth1 import plugin
from keystoneauth1 import session as ks_session

from obsvc import conf as obsvc_conf
from obsvc.clock import ManualClock
from obsvc.cloud import sessions as cloud_sessions
from obsvc.cloud.sessions import CloudSessions, versioned
from obsvc.exceptions import ConfigError, NotFound, Unavailable


@pytest.mark.parametrize("endpoint,prefix,answer", [
    ("http://h:9696", "/v2.0", "http://h:9696/v2.0"),
    ("http://h:9696/", "/v2.0", "http://h:9696/v2.0"),
    ("http://h/network/v2.0/", "/v2.0", "http://h/network/v2.0"),
    ("http://h/identity", "/v3", "http://h/identity/v3"),
    ("http://h/volume/v3/a1b2", "/v3", "http://h/volume/v3/a1b2"),
    ("http://v2.example/image", "/v2", "http://v2.example/image/v2"),
    ("http://h/compute/v2.1", "", "http://h/compute/v2.1"),
])
def test_a_version_is_put_behind_an_endpoint_that_has_none(endpoint, prefix, answer):
    assert versioned(endpoint, prefix) == answer


@pytest.mark.parametrize("value,seconds", [
    (None, None), ("7", 7.0), ("Thu, 01 Jan 1970 00:16:50 GMT", 10.0), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
    ("soon", None), ("-3", None),
])
def test_retry_after_in_both_forms(value, seconds):
    assert cloud_sessions._seconds(value, 1000.0) == seconds


class Auth(plugin.BaseAuthPlugin):
    """Keystone that fails as long as ``error`` is set."""

    auth_ref = None

    def __init__(self, error=None, endpoints=()):
        super().__init__()
        self.error, self.asked, self.endpoints = error, 0, dict(endpoints)

    def get_token(self, session, **kwargs):
        self.asked += 1
        if self.error is not None:
            raise self.error
        return "token"

    def get_endpoint(self, session, service_type=None, interface=None, region_name=None, **kwargs):
        return self.endpoints.get((region_name, service_type, interface))


def made(auth, clock=None):
    return CloudSessions(ks_session.Session(auth=auth), interface="internal", clock=clock or ManualClock())


def test_after_a_failure_all_are_told_at_once_for_a_while():
    clock, auth = ManualClock(), Auth(ks_exceptions.ConnectFailure("refused"))
    sessions = made(auth, clock)
    for _ in range(5):
        with pytest.raises(Unavailable, match="no token from Keystone: refused"):
            sessions.authenticate()
    assert auth.asked == 1
    clock.advance(cloud_sessions.AUTH_PAUSE)
    auth.error = None
    sessions.authenticate()
    assert auth.asked == 2


def test_endpoints_are_looked_up_by_aliases_and_kept_until_forgotten():
    auth = Auth(endpoints={("R", "volumev3", "internal"): "http://old/v3/50%25/"})
    sessions = made(auth)
    adapter = sessions.adapter("R", "block-storage", ("volumev3",))
    assert adapter.endpoint_override == "http://old/v3/50%%25"
    auth.endpoints = {("R", "block-storage", "internal"): "http://new/v3"}
    assert sessions.adapter("R", "block-storage", ("volumev3",)) is adapter
    sessions.forget("R", "block-storage")
    assert sessions.adapter("R", "block-storage", ("volumev3",)).endpoint_override == "http://new/v3"


def test_headers_reach_the_service_beside_the_usual_ones(monkeypatch):
    sent = []

    def request(self, method, url, headers=None, **_):
        sent.append((method, url, dict(headers)))
        answer = requests.Response()
        answer.status_code = 200
        return answer

    monkeypatch.setattr(requests.Session, "request", request)
    sessions = made(Auth(endpoints={("R", "dns", "internal"): "http://dns"}))
    sessions.get("R", "dns", "/zones/z", version_prefix="/v2", headers={"X-Auth-All-Projects": "true"})
    ((method, url, headers),) = sent
    assert (method, url) == ("GET", "http://dns/v2/zones/z")
    assert headers["X-Auth-All-Projects"] == "true" and headers["Accept"] == "application/json"


def test_a_service_that_the_cloud_has_not_is_one_clear_line():
    with pytest.raises(NotFound, match="internal endpoint of block-storage or volumev3 in region R"):
        made(Auth()).adapter("R", "block-storage", ("volumev3",))


def load(tmp_path, text):
    path = tmp_path / "obsvc.conf"
    path.write_text(text)
    return obsvc_conf.load([], config_files=[str(path)])


def test_no_way_to_authenticate_is_said_so(tmp_path):
    with pytest.raises(ConfigError, match="os_cloud, or auth_type"):
        CloudSessions.from_conf(load(tmp_path, ""), "obsvc/0 (test)")


def test_an_unknown_plugin_is_said_so(tmp_path):
    with pytest.raises(ConfigError, match="nonsense"):
        CloudSessions.from_conf(load(tmp_path, "[cloud]\nauth_type = nonsense\n"), "obsvc/0 (test)")


def test_an_unknown_cloud_is_said_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "none.yaml"))
    with pytest.raises(ConfigError, match="nowhere"):
        CloudSessions.from_conf(load(tmp_path, "[cloud]\nos_cloud = nowhere\n"), "obsvc/0 (test)")

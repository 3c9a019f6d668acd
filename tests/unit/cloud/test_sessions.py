"""The parts of the cloud's sessions that need no cloud."""
from __future__ import annotations

from types import SimpleNamespace
from typing import NamedTuple

import pytest
import requests
from keystoneauth1 import exceptions as ks_exceptions
from keystoneauth1 import token_endpoint

from obsvc import conf as obsvc_conf
from obsvc.cloud import retry_after
from obsvc.cloud import sessions as cloud_sessions
from obsvc.cloud.sessions import CloudSessions, RequestFailed, versioned
from obsvc.exceptions import ConfigError, NotFound, Unavailable
from obsvc.process.clock import ManualClock
from tests.support.cloud_sessions import Auth, sessions_with


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
    assert retry_after.seconds(value, 1000.0) == seconds


def test_after_a_failure_all_are_told_at_once_for_a_while():
    clock, auth = ManualClock(), Auth(ks_exceptions.ConnectFailure("refused"))
    sessions = sessions_with(auth, clock)
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
    sessions = sessions_with(auth)
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
    sessions = sessions_with(Auth(endpoints={("R", "dns", "internal"): "http://dns"}))
    sessions.get("R", "dns", "/zones/z", version_prefix="/v2", headers={"X-Auth-All-Projects": "true"})
    ((method, url, headers),) = sent
    assert (method, url) == ("GET", "http://dns/v2/zones/z")
    assert headers["X-Auth-All-Projects"] == "true" and headers["Accept"] == "application/json"


class Keystone(Auth):
    """Gives ``token-1``, ``token-2`` and so on."""

    class Access(NamedTuple):
        auth_token: str

        def will_expire_soon(self, _margin):
            return False

    def get_token(self, session, **kwargs):
        if self.auth_ref is None:
            self.auth_ref = self.get_auth_ref(session)
        return self.auth_ref.auth_token

    def get_auth_ref(self, session):
        Auth.get_token(self, session)
        return self.Access(f"token-{self.asked}")


@pytest.fixture
def service(monkeypatch):
    """A service that takes only the tokens in ``good``; ``seen`` are those that came."""
    seen, good = [], set()

    def request(self, method, url, headers=None, **_):
        seen.append(headers["X-Auth-Token"])
        answer = requests.Response()
        answer.status_code = 200 if seen[-1] in good else 401
        answer.request = requests.Request(method, url, headers=headers).prepare()
        return answer

    monkeypatch.setattr(requests.Session, "request", request)
    return SimpleNamespace(seen=seen, good=good)


def test_a_token_that_is_refused_is_renewed_once(service):
    sessions = sessions_with(Keystone(endpoints={("R", "dns", "internal"): "http://dns"}))
    service.good.add("token-2")
    assert [sessions.get("R", "dns", "/z").status for _ in range(2)] == [200, 200]
    assert service.seen == ["token-1", "token-2", "token-2"]


def test_a_service_that_takes_no_token_costs_keystone_one_a_request(service):
    auth = Keystone(endpoints={("R", "dns", "internal"): "http://dns"})
    assert sessions_with(auth).get("R", "dns", "/z").status == 401
    assert service.seen == ["token-1", "token-2"] and auth.asked == 2


def test_a_token_that_another_thread_has_renewed_is_used(service):
    auth = Keystone(endpoints={("R", "dns", "internal"): "http://dns"})
    sessions = sessions_with(auth)
    service.good.add("token-1")
    sessions.get("R", "dns", "/z")
    assert sessions._renew("token-0") and auth.asked == 1


def test_while_keystone_gives_no_new_token_the_old_one_stays_and_all_are_told_at_once(service):
    auth = Keystone(endpoints={("R", "dns", "internal"): "http://dns"})
    sessions = sessions_with(auth)
    sessions.authenticate()
    auth.error = ks_exceptions.ConnectFailure("refused")
    for _ in range(3):
        with pytest.raises(RequestFailed, match="no token from Keystone: refused") as failed:
            sessions.get("R", "dns", "/z")
        assert failed.value.reason == "authentication"
    assert auth.asked == 2 and auth.auth_ref.auth_token == "token-1"


def test_a_plugin_without_tokens_of_keystone_is_not_asked_again(service):
    auth = token_endpoint.Token("http://dns", "token")
    assert sessions_with(auth).get("R", "dns", "/z").status == 401
    assert service.seen == ["token"]


def test_a_service_that_the_cloud_has_not_is_one_clear_line():
    with pytest.raises(NotFound, match="internal endpoint of block-storage or volumev3 in region R"):
        sessions_with(Auth()).adapter("R", "block-storage", ("volumev3",))


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

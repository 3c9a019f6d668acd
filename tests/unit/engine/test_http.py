"""The engine's HTTP API and what obsvc.web gives every process, through falcon's test client (no sockets)."""
from __future__ import annotations

import base64

import bcrypt
import falcon
import falcon.testing
import msgspec
import pytest

from obsvc.engine import http
from obsvc.engine.service import EngineService
from obsvc.engine_client.contract import OPERATIONS, EngineInfo, ErrorReply
from obsvc.engine_client.observations import StartItem, StartReply, StartRequest
from obsvc.exceptions import ConfigError, Unavailable
from obsvc.model import Condition, Ref
from obsvc.web import basic_auth
from obsvc.web.basic_auth import BasicAuth, check_user_file
from obsvc.web.sockets import check_bind
from tests.support.engine_store import new_store


@pytest.fixture
def service() -> EngineService:
    return EngineService(new_store())


@pytest.fixture
def client(service) -> falcon.testing.TestClient:
    return falcon.testing.TestClient(http.make_app(service))


def error_of(result) -> tuple[int, str, str]:
    error = msgspec.json.decode(result.content, type=ErrorReply).error
    return result.status_code, error.code, error.message


def test_every_operation_of_the_contract_has_its_path(client):
    for name in OPERATIONS:
        assert client.simulate_get(f"/v1/{name}").status_code == 405, name


def test_a_request_goes_in_and_a_reply_comes_out(client):
    info = msgspec.json.decode(client.simulate_post("/v1/info").content, type=EngineInfo)
    assert info.partitions == 8
    body = msgspec.json.encode(StartRequest((StartItem(Ref("r", "t.x", "i"), Condition.ACTIVE),)))
    reply = msgspec.json.decode(client.simulate_post("/v1/start", body=body).content, type=StartReply)
    assert reply.observations[0].goal is Condition.ACTIVE


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"items": 3}', b'{"items": [{"ref": ["r", "t"]}]}', b'{"items": [{"ref": "x"}]}', b"\xff"]
)
def test_what_cannot_be_read_is_the_callers_mistake_in_the_one_shape(client, body):
    status, code, message = error_of(client.simulate_post("/v1/start", body=body))
    assert (status, code) == (400, "invalid_input") and "start can't be read" in message


@pytest.mark.parametrize("wait", ["-1", "1e127"])
def test_a_wait_without_end_is_refused(client, wait):
    status, code, message = error_of(client.simulate_post("/v1/changes", body=f'{{"wait": {wait}}}'))
    assert (status, code) == (400, "invalid_input") and "wait" in message


def test_errors_carry_their_code_and_status(client, service, monkeypatch):
    body = b'{"ref": ["r", "t.x", "i"]}'
    assert error_of(client.simulate_post("/v1/read_resource", body=body))[:2] == (404, "not_found")
    assert error_of(client.simulate_post("/v1/nothing"))[:2] == (404, "not_found")

    def away(*_):
        raise Unavailable("the database is away")

    monkeypatch.setattr(service.store, "read", away)
    result = client.simulate_post("/v1/read_resource", body=body)
    assert error_of(result) == (503, "unavailable", "the database is away")
    assert result.headers["retry-after"] == "1"


def test_an_error_that_nobody_expected_shows_no_traceback(client, service, monkeypatch, caplog):
    monkeypatch.setattr(service.store, "read", lambda fn: 1 / 0)
    status, code, message = error_of(client.simulate_post("/v1/read_resource", body=b'{"ref": ["r", "t.x", "i"]}'))
    assert (status, code) == (500, "internal") and "Traceback" not in message
    assert "ZeroDivisionError" in caplog.text


def test_health(client, service, monkeypatch):
    assert client.simulate_get("/healthz").status_code == 200
    assert client.simulate_get("/metrics").text.startswith("# HELP")
    not_ready = client.simulate_get("/readyz")
    assert not_ready.status_code == 503 and "obsvc db upgrade" in not_ready.json["reason"]
    monkeypatch.setattr("obsvc.engine.service.check_schema", lambda store: None)
    assert client.simulate_get("/readyz").json == {"ready": True}


@pytest.fixture
def user_file(tmp_path):
    path = tmp_path / "htpasswd"
    path.write_text("obs:" + bcrypt.hashpw(b"geheim", bcrypt.gensalt(4)).decode() + "\n")
    return path


def _basic(text: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


def test_basic_authentication(service, user_file):
    client = falcon.testing.TestClient(BasicAuth(http.make_app(service), str(user_file)))
    assert client.simulate_get("/healthz").status_code == 200
    assert error_of(client.simulate_post("/v1/info"))[:2] == (401, "unauthorized")
    assert error_of(client.simulate_post("/v1/info", headers=_basic("obs:wrong")))[:2] == (401, "unauthorized")
    for _ in range(2):
        assert client.simulate_post("/v1/info", headers=_basic("obs:geheim")).status_code == 200
    for refused in (None, {"Authorization": ""}, {"Authorization": "Basic"}, _basic("obs:wrong"), _basic("obs:")):
        assert client.simulate_post("/v1/info", headers=refused).status_code == 401


def test_a_right_password_is_checked_once_in_a_while(service, user_file, monkeypatch):
    client = falcon.testing.TestClient(BasicAuth(http.make_app(service), str(user_file)))
    assert client.simulate_post("/v1/info", headers=_basic("obs:geheim")).status_code == 200
    monkeypatch.setattr(basic_auth.basic_auth, "authenticate", None)  # who comes to it now is refused
    assert client.simulate_post("/v1/info", headers=_basic("obs:geheim")).status_code == 200
    assert client.simulate_post("/v1/info", headers=_basic("obs:wrong")).status_code == 401


def test_a_remembered_password_is_forgotten_when_the_file_changes(service, user_file):
    import os

    client = falcon.testing.TestClient(BasicAuth(http.make_app(service), str(user_file)))
    assert client.simulate_post("/v1/info", headers=_basic("obs:geheim")).status_code == 200
    user_file.write_text("obs:" + bcrypt.hashpw(b"anders", bcrypt.gensalt(4)).decode() + "\n")
    os.utime(user_file, (1, 1))
    assert client.simulate_post("/v1/info", headers=_basic("obs:geheim")).status_code == 401


@pytest.mark.parametrize("content", [None, "", "obs:{SHA}abc\n"])
def test_a_user_file_that_cannot_be_used_is_one_clear_line(tmp_path, content):
    path = tmp_path / "users"
    if content is not None:
        path.write_text(content)
    if content == "":
        check_user_file(str(path))  # nobody may come in, and that is allowed
        return
    with pytest.raises(ConfigError, match="htpasswd -B") as caught:
        check_user_file(str(path))
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])
def test_noauth_is_for_loopback_only(host):
    with pytest.raises(ConfigError, match="loopback"):
        check_bind("noauth", host)
    check_bind("http_basic", host)
    check_bind("noauth", "127.0.0.1")
    check_bind("noauth", "::1")

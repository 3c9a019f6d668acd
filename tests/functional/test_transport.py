"""The short way of a GET against the long one of ``requests``: nobody on the wire can tell which it was."""
from __future__ import annotations

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from keystoneauth1 import session as ks_session
from keystoneauth1.identity import base as ks_identity

from obsvc.cloud.transport import Transport
from tests.support.processes.servers import free_port

HEADERS = {"User-Agent": "obsvc/0 (test)", "Accept": "application/json", "X-Auth-Token": "t" * 180,
           "OpenStack-API-Version": "compute 2.79"}


class Handler(BaseHTTPRequestHandler):
    """Remembers each request as it came; answers by the first word of its path."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.seen.append((self.requestline, self.headers.items(), self.client_address))  # type: ignore[attr-defined]
        kind = self.path.strip("/").partition("/")[0]
        status, headers, body = self.server.answers.get(kind, (200, {}, b"{}"))  # type: ignore[attr-defined]
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def server():
    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.daemon_threads = True
    made.seen, made.answers = [], {}
    made.url = f"http://127.0.0.1:{made.server_port}"
    thread = threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join(10)


@pytest.fixture
def long_way():
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.fixture
def short_way(monkeypatch):
    """A transport whose long way is closed."""
    with Transport(4) as transport:
        monkeypatch.setattr(requests.Session, "prepare_request", None)
        yield transport


def get(session, url, **how):
    return session.request("GET", url, headers=HEADERS, **how)


#: As keystoneauth asks.
HOW = {"timeout": (5.0, 5.0), "verify": True, "allow_redirects": False}


@pytest.mark.parametrize("path", [
    "/v2.1/servers/3f2b0d0e-8a51-4c0e-9d7c-0c2a5c9a7f11", "/v2.0/ports?id=a&id=b%20c&fields=x/y", "/", "/a//b;c=d@e",
    "", "/v2/../secret", "/v2/.", "/with space", "/gr\u00fc\u00df", "/lower%2fcase", "/odd%zz", "/a#fragment",
    "?only=query",
])
def test_both_ways_send_the_same_bytes(server, long_way, path):
    with Transport(4) as transport:
        answers = [get(each, server.url + path, **HOW) for each in (long_way, transport)]
    (line, headers, _), (line_of_ours, headers_of_ours, _) = server.seen
    assert (line_of_ours, headers_of_ours) == (line, headers)
    assert answers[0].content == answers[1].content == b"{}"


def test_a_fetch_goes_the_short_way_on_one_connection(server, short_way):
    for _ in range(3):
        assert get(short_way, f"{server.url}/v2.1/servers/x?a=b", **HOW).json() == {}
    assert len({address for _, _, address in server.seen}) == 1


def test_all_else_goes_the_long_way(server, short_way):
    for method, how in (("GET", {"params": {"a": "b"}}), ("GET", {"auth": ("u", "p")}), ("GET", {"data": b"x"}),
                        ("GET", {"allow_redirects": True}), ("POST", {})):
        with pytest.raises(TypeError, match="NoneType"):
            short_way.request(method, f"{server.url}/x", **{**HOW, **how})
    assert server.seen == []


def test_compressed_answers_are_read(server, short_way):
    server.answers["zip"] = (200, {"Content-Encoding": "gzip"}, gzip.compress(b'{"a": 1}'))
    assert get(short_way, f"{server.url}/zip", **HOW).json() == {"a": 1}


def test_cookies_are_kept_and_sent(server, short_way):
    server.answers["sticky"] = (200, {"Set-Cookie": "backend=two; Path=/"}, b"{}")
    get(short_way, f"{server.url}/sticky", **HOW)
    get(short_way, f"{server.url}/other", **HOW)
    assert [dict(headers).get("Cookie") for _, headers, _ in server.seen] == [None, "backend=two"]


@pytest.mark.parametrize("url,how", [
    ("http://127.0.0.1:{closed}/x", HOW), ("https://127.0.0.1:{port}/x", {**HOW, "timeout": 0.2}),
    ("http://127.0.0.1:{port}/x", {**HOW, "headers": {"X-Auth-Token": "two\nlines"}}),
    ("https://127.0.0.1:{port}/x", {**HOW, "verify": "/nowhere/ca.pem"}),
    ("https://127.0.0.1:{port}/x", {**HOW, "cert": "/nowhere/cert.pem"}),
    ("http://..:{port}/x", HOW),
])
def test_both_ways_fail_alike(server, long_way, url, how):
    url = url.format(closed=free_port(), port=server.server_port)
    kinds = []
    with Transport(4) as transport:
        for session in (long_way, transport):
            try:
                session.request("GET", url, **how)
            except (requests.RequestException, OSError) as error:
                kinds.append(type(error))
    assert len(kinds) == 2 and kinds[0] is kinds[1]


class Auth(ks_identity.BaseIdentityPlugin):
    """A Keystone that gives ``token-1``, ``token-2`` and so on."""

    given = 0

    def get_auth_ref(self, session, **_):
        self.given += 1
        return _Access(f"token-{self.given}")

    def get_cache_id_elements(self):
        return {}


class _Access:
    def __init__(self, token: str) -> None:
        self.auth_token = token

    def will_expire_soon(self, *_args: object, **_kwargs: object) -> bool:
        return False


def test_keystoneauth_still_renews_a_token_and_follows_a_redirect(server, short_way):
    session = ks_session.Session(auth=Auth(), session=short_way, user_agent="obsvc/0 (test)")
    server.answers["refused"] = (401, {}, b"")
    assert session.get(f"{server.url}/refused/x", raise_exc=False, log=False).status_code == 401
    server.answers["moved"] = (302, {"Location": f"{server.url}/here"}, b"")
    assert session.get(f"{server.url}/moved/x", log=False).status_code == 200
    assert [(line.split()[1], dict(headers)["X-Auth-Token"]) for line, headers, _ in server.seen] == [
        ("/refused/x", "token-1"), ("/refused/x", "token-2"), ("/moved/x", "token-2"), ("/here", "token-2")]


@pytest.mark.parametrize("how", [{}, {"params": {"long": "way"}}])
def test_the_environment_says_nothing(server, monkeypatch, tmp_path, how):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login u password p\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    with Transport(4) as transport:
        assert get(transport, f"{server.url}/x", **HOW, **how).status_code == 200
    assert "Authorization" not in dict(server.seen[0][1])

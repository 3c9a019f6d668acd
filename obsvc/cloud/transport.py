"""The connections below keystoneauth: a pool as large as the threads, and a short way for a plain GET.

keystoneauth decides everything that matters (tokens, endpoints, headers, TLS, redirects) and hands each request to a
:class:`requests.Session`.  What that does before and after sending (merging seven settings, looking for netrc, proxies,
hooks and redirects, quoting) costs as much as sending.  A fetch needs none of it.

Any thread may call.  Nothing is taken from the environment: neither proxies nor netrc nor a CA bundle.
"""
from __future__ import annotations

import re
from typing import Any

import requests
from keystoneauth1 import session as ks_session
from requests.cookies import extract_cookies_to_jar

#: Hosts (endpoints) whose connections are kept.
HOSTS = 16

#: What keystoneauth passes for a GET without a body, without a query beside its URL, and without a requests-auth.
_PLAIN = frozenset({"headers", "timeout", "verify", "cert", "allow_redirects"})

#: A URL that ``requests`` would send unchanged: everything is quoted that must be, and no segment is ``..`` or the
#: like.
_CHARACTER = r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-F]{2})"
_LABEL = r"[a-z0-9\-_]{1,63}"
_QUOTED = re.compile(rf"https?://(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:]+\])(?::\d+)?(?:/(?!\.){_CHARACTER}*)+"
                     rf"(?:\?(?:{_CHARACTER}|[/?])*)?")


class Transport(requests.Session):
    """What keystoneauth sends with.  pool: connections kept to each host; as many as there are threads."""

    def __init__(self, pool: int) -> None:
        super().__init__()
        self.trust_env = False
        for scheme in ("http://", "https://"):
            self.mount(scheme, ks_session.TCPKeepAliveAdapter(pool_connections=HOSTS, pool_maxsize=pool))

    def request(self, method: str, url: str, **how: Any) -> requests.Response:  # type: ignore[override]
        """As ``requests.Session.request``: the same request, the same answer, the same exceptions."""
        if method == "GET" and how.keys() <= _PLAIN and not how.get("allow_redirects", True) and _QUOTED.fullmatch(url):
            return self._plain_get(url, how.get("headers"), timeout=how.get("timeout"),
                                   verify=how.get("verify", self.verify), cert=how.get("cert", self.cert))
        return super().request(method, url, **how)

    def _plain_get(self, url: str, headers: Any, **how: Any) -> requests.Response:
        request = requests.PreparedRequest()
        request.method, request.url = "GET", url
        request.prepare_headers({**self.headers, **(headers or {})})
        if self.cookies:
            request.prepare_cookies(self.cookies)
        response = self.get_adapter(url).send(request, **how)
        if "Set-Cookie" in response.headers:
            extract_cookies_to_jar(self.cookies, request, response.raw)
        response.content  # noqa: B018 - read it whole, so that the connection is free for the next
        return response

"""How a client says who it is: a token, a user and password, or a token from Keystone once the API asks for one."""
from __future__ import annotations

import base64
from typing import Protocol

from obsvc.exceptions import ConfigError


class Auth(Protocol):
    """headers: sent with each request.  renew: the API answered 401: True when it is worth asking again."""

    def headers(self) -> dict[str, str]: ...

    def renew(self) -> bool: ...


class Fixed:
    """Headers that never change."""

    def __init__(self, headers: dict[str, str] | None = None) -> None:
        self._headers = dict(headers or {})

    def headers(self) -> dict[str, str]:
        return self._headers

    def renew(self) -> bool:
        return False


class Environment:
    """No token at first (an API without Keystone needs none); one from ``OS_*`` when the API answers 401."""

    def __init__(self) -> None:
        self._headers: dict[str, str] = {}
        self._renewals = 0

    def headers(self) -> dict[str, str]:
        return self._headers

    def renew(self) -> bool:
        from obsvc.cloud import tokens

        self._renewals += 1
        if self._renewals > 2 or not tokens.available():
            return False
        self._headers = {"X-Auth-Token": tokens.from_environment()}
        return True


def from_options(*, token: str | None = None, user: str | None = None) -> Auth:
    """token: sent as it is.  user: ``NAME:PASSWORD`` for HTTP basic authentication."""
    if token:
        return Fixed({"X-Auth-Token": token})
    if user:
        if ":" not in user:
            raise ConfigError("--user: expected NAME:PASSWORD, got no colon")
        return Fixed({"Authorization": "Basic " + base64.b64encode(user.encode()).decode()})
    return Environment()

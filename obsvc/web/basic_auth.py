"""HTTP basic authentication in front of a WSGI application."""
from __future__ import annotations

import contextlib
import hashlib
import logging
import pathlib
import time
from collections.abc import Iterable
from typing import Any

from oslo_middleware import basic_auth

from obsvc.exceptions import ConfigError, Unauthorized, one_line
from obsvc.web import request_ids
from obsvc.web.errors import refuse
from obsvc.web.health import HEALTH_PATHS

LOG = logging.getLogger(__name__)


class BasicAuth(basic_auth.BasicAuthMiddleware):
    """oslo.middleware's HTTP basic authentication over an htpasswd file (bcrypt), answering in our error shape.

    A right password is remembered for ``MEMORY`` seconds (as a digest), while the file is unchanged: bcrypt takes
    tenths of a second of CPU on purpose, and members call several times a second.
    """

    MEMORY = 60.0

    def __init__(self, application: Any, user_file: str, *, open_paths: Iterable[str] = HEALTH_PATHS) -> None:
        try:
            basic_auth.validate_auth_file(user_file)
        except Exception as error:  # oslo.middleware's own classes, and whatever reading a file raises
            detail = getattr(error, "detail", None) or one_line(error)
            raise ConfigError(
                f"expected an htpasswd file with bcrypt passwords at {user_file} ({detail}): make it with htpasswd -B"
            ) from error
        super(basic_auth.BasicAuthMiddleware, self).__init__(application, None)
        self.auth_file = user_file
        self._open_paths = frozenset(open_paths)
        self._good: dict[bytes, tuple[float, float]] = {}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        request_ids.begin(environ)
        digest = self._digest(environ)  # now: oslo.middleware takes the header out of the environment
        if environ.get("PATH_INFO") in self._open_paths or self._remembered(digest):
            return self.application(environ, start_response)
        try:
            username, password = basic_auth.parse_token(basic_auth.parse_header(environ))
            environ.update(basic_auth.authenticate(self.auth_file, username, password))
        except Exception as error:  # noqa: BLE001 - whatever goes wrong here means: not let in
            LOG.info("a request for %s was refused: %s", environ.get("PATH_INFO"), error)
            return refuse(
                environ, start_response, Unauthorized("expected a user and a password that the htpasswd file has"),
                ("WWW-Authenticate", 'Basic realm="obsvc"'))
        if len(self._good) > 1000:
            self._good.clear()
        if digest is not None:
            self._good[digest] = (time.monotonic() + self.MEMORY, self._changed_at())
        return self.application(environ, start_response)

    def _remembered(self, digest: bytes | None) -> bool:
        found = self._good.get(digest) if digest is not None else None
        return found is not None and found[0] > time.monotonic() and found[1] == self._changed_at()

    @staticmethod
    def _digest(environ: dict[str, Any]) -> bytes | None:
        """Of the request's credentials; None where it has none."""
        header = environ.get("HTTP_AUTHORIZATION")
        return hashlib.sha256(header.encode("utf-8", "surrogateescape")).digest() if header else None

    def _changed_at(self) -> float:
        with contextlib.suppress(OSError):
            return pathlib.Path(self.auth_file).stat().st_mtime
        return -1.0

"""HTTP basic authentication in front of a WSGI application."""
from __future__ import annotations

import contextlib
import hashlib
import logging
import pathlib
import time
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from oslo_middleware import basic_auth

from obsvc.exceptions import ConfigError, Unauthorized, one_line
from obsvc.web import request_ids
from obsvc.web.errors import refuse
from obsvc.web.health import HEALTH_PATHS

LOG = logging.getLogger(__name__)


#: Seconds that a right password is remembered.
MEMORY = 60.0


def check_user_file(path: str) -> None:
    """ConfigError unless ``path`` is an htpasswd file with bcrypt passwords; an empty one lets nobody in."""
    try:
        basic_auth.validate_auth_file(path)
    except Exception as error:  # oslo.middleware's own classes, and whatever reading a file raises
        detail = getattr(error, "detail", None) or one_line(error)
        raise ConfigError(
            f"expected an htpasswd file with bcrypt passwords at {path} ({detail}): make it with htpasswd -B"
        ) from error


class BasicAuth:
    """HTTP basic authentication over an htpasswd file (bcrypt), answering in our error shape.

    The file's format and the check are oslo.middleware's.  A right password is remembered for ``MEMORY`` seconds (as a
    digest), while the file is unchanged: bcrypt takes tenths of a second of CPU on purpose, and members call several
    times a second.
    """

    def __init__(
        self, application: WSGIApplication, user_file: str, *, open_paths: Iterable[str] = HEALTH_PATHS
    ) -> None:
        check_user_file(user_file)
        self._application = application
        self._user_file = user_file
        self._open_paths = frozenset(open_paths)
        self._remembered_until: dict[bytes, tuple[float, float]] = {}  # and the file's time of change

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request_ids.begin(environ)
        digest = self._digest(environ)  # now: oslo.middleware takes the header out of the environment
        if environ.get("PATH_INFO") in self._open_paths or self._remembered(digest):
            return self._application(environ, start_response)
        try:
            username, password = basic_auth.parse_token(basic_auth.parse_header(environ))
            environ.update(basic_auth.authenticate(self._user_file, username, password))
        except Exception as error:  # noqa: BLE001 - whatever goes wrong here means: not let in
            LOG.info("a request for %s was refused: %s", environ.get("PATH_INFO"), error)
            return refuse(
                environ, start_response, Unauthorized("expected a user and a password that the htpasswd file has"),
                ("WWW-Authenticate", 'Basic realm="obsvc"'))
        if len(self._remembered_until) > 1000:
            self._remembered_until.clear()
        if digest is not None:
            self._remembered_until[digest] = (time.monotonic() + MEMORY, self._changed_at())
        return self._application(environ, start_response)

    def _remembered(self, digest: bytes | None) -> bool:
        if digest is None:
            return False
        until, changed_at = self._remembered_until.get(digest, (0.0, 0.0))
        return until > time.monotonic() and changed_at == self._changed_at()

    @staticmethod
    def _digest(environ: WSGIEnvironment) -> bytes | None:
        """Of the request's credentials; None where it has none."""
        header = environ.get("HTTP_AUTHORIZATION")
        return hashlib.sha256(header.encode("utf-8", "surrogateescape")).digest() if header else None

    def _changed_at(self) -> float:
        with contextlib.suppress(OSError):
            return pathlib.Path(self._user_file).stat().st_mtime
        return -1.0

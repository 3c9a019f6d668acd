"""Who asks: noauth, HTTP basic (htpasswd), or Keystone tokens; ends in ``req.context.caller``.

The paths of ``routes.OPEN`` need no identity.  Identity headers that a caller sends are never trusted:
Keystone's middleware removes them and sets its own; the other strategies do not read them.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import falcon

from obsvc.api.caller import OPERATOR, Caller
from obsvc.api.routes import OPEN
from obsvc.exceptions import Unauthorized


class Identify:
    """falcon middleware: ``identify(environ) -> Caller`` for every path that is not open."""

    def __init__(self, identify: Callable[[dict[str, Any]], Caller]) -> None:
        self._identify = identify

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        if req.path in OPEN:
            return
        try:
            req.context.caller = self._identify(req.env)
        except Unauthorized as error:
            resp.set_header("WWW-Authenticate", error.challenge)
            raise


def operator(environ: dict[str, Any]) -> Caller:
    """Everyone who comes this far is the operator: noauth on a loopback address (``sockets.check_bind``), or a user
    whose password ``BasicAuth``, in front of us, has checked."""
    return OPERATOR


def keystone(environ: dict[str, Any]) -> Caller:
    """What keystonemiddleware, in front of us, found out."""
    if environ.get("HTTP_X_IDENTITY_STATUS") != "Confirmed":
        raise Unauthorized("expected a valid token in X-Auth-Token", challenge="Keystone")
    service_confirmed = environ.get("HTTP_X_SERVICE_IDENTITY_STATUS") == "Confirmed"
    return Caller(
        user_id=environ.get("HTTP_X_USER_ID"),
        project_id=environ.get("HTTP_X_PROJECT_ID") or None,
        roles=_names(environ.get("HTTP_X_ROLES")),
        service_roles=_names(environ.get("HTTP_X_SERVICE_ROLES")) if service_confirmed else (),
        system_scope=environ.get("HTTP_OPENSTACK_SYSTEM_SCOPE") or None,
    )


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name for name in (part.strip() for part in (text or "").split(",")) if name)

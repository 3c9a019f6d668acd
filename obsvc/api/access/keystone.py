"""Keystone's middleware in front of the API: tokens are checked by keystonemiddleware, refusals are ours.

A token that is not valid is passed on as such, and refused by ``auth.keystone``.  When the identity service can't be
reached, the answer is a 503 and not, as the middleware has it where the decision is delayed, that the token is invalid:
a client would then fetch a new token and fail in the same way.
"""
from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from keystoneauth1 import exceptions as identity
from keystonemiddleware import auth_token
from oslo_config import cfg

from obsvc.api.routes import OPEN
from obsvc.exceptions import ConfigError, Unavailable, one_line
from obsvc.web import request_ids
from obsvc.web.errors import refuse

LOG = logging.getLogger(__name__)

_AWAY = (identity.ClientException, auth_token.ServiceError)


def behind_keystone(app: WSGIApplication, conf: cfg.ConfigOpts) -> WSGIApplication:
    """``app`` behind auth_token; ConfigError where its options are missing.  Open paths ask nobody."""
    protocol = _Protocol(
        app, {"oslo_config_config": conf, "oslo_config_project": "obsvc", "delay_auth_decision": True})
    if not conf.keystone_authtoken.auth_type:  # registered by the line before
        raise ConfigError("auth_strategy = keystone: expected [keystone_authtoken] auth_type, auth_url and the options "
                          "of that plugin, found no auth_type: add them, as for any OpenStack service")

    def behind(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("PATH_INFO") in OPEN:
            return app(environ, start_response)
        request_ids.begin(environ)
        try:
            answer: Iterable[bytes] = protocol(environ, start_response)
            return answer
        except (*_AWAY, Unavailable) as error:
            LOG.error("a token can't be checked: %s: %s", type(error).__name__, one_line(error))
            return refuse(environ, start_response, Unavailable(
                "the identity service could not be asked whether the token is valid: to be tried again"))

    return behind


class _Protocol(auth_token.AuthProtocol):  # type: ignore[misc]  # keystonemiddleware has no types
    """auth_token, for which a token that could not be checked is not an invalid one."""

    def fetch_token(self, token: str, **kwargs: Any) -> Any:
        try:
            return super().fetch_token(token, **kwargs)
        except auth_token.InvalidToken as error:
            if isinstance(error.__context__, _AWAY) and not isinstance(error.__context__, identity.NotFound):
                raise Unavailable(str(error)) from error
            raise

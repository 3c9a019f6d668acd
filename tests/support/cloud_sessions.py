"""Sessions of a cloud over an authentication plugin that a test tells what to answer."""
from __future__ import annotations

from keystoneauth1 import plugin
from keystoneauth1 import session as ks_session

from obsvc.cloud.sessions import CloudSessions
from obsvc.process.clock import ManualClock


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


def sessions_with(auth, clock=None):
    return CloudSessions(ks_session.Session(auth=auth), interface="internal", clock=clock or ManualClock())

"""Sessions with a cloud: authentication, endpoints, pooled connections (keystoneauth).

One :class:`CloudSessions` serves a whole process; every method may be called from any thread.  keystoneauth gets and
renews tokens, but threads do not queue up for a Keystone that does not answer: one thread asks, the others wait at most
``AUTH_WAIT`` seconds, and for ``AUTH_PAUSE`` seconds after a failure all fail at once.

Nothing is taken from the environment (no proxies, no netrc, no CA bundle): the configuration is complete, and not
looking there makes each request cheaper.
"""
from __future__ import annotations

import contextlib
import functools
import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard

import openstack.config
import requests
from keystoneauth1 import adapter as ks_adapter
from keystoneauth1 import exceptions as ks_exceptions
from keystoneauth1 import loading
from keystoneauth1 import session as ks_session
from keystoneauth1.access import AccessInfo
from openstack import exceptions as sdk_exceptions

from obsvc.cloud import retry_after
from obsvc.cloud.microversions import Microversions
from obsvc.cloud.transport import Transport
from obsvc.exceptions import ConfigError, NotFound, Unavailable, one_line
from obsvc.process.clock import Clock, SystemClock

LOG = logging.getLogger(__name__)

#: Seconds to wait for a TCP connection: a host that drops packets must not hold a thread for ``request_timeout``.
CONNECT_TIMEOUT = 5.0

#: Seconds that a thread waits while another one authenticates.
AUTH_WAIT = 2.0

#: Seconds after a failed authentication during which no thread tries again.
AUTH_PAUSE = 2.0

#: Seconds before its end at which a token is renewed, as in keystoneauth.
TOKEN_MARGIN = 120

#: A service's answer to a microversion that it does not know.
_NOT_ACCEPTABLE = 406

_VERSIONED = re.compile(r"/v\d+(\.\d+)?(/|$)")


def versioned(endpoint: str, prefix: str) -> str:
    """``endpoint`` with the API version ``prefix`` (``/v2.0``) behind it, unless it names a version already."""
    bare = endpoint.rstrip("/")
    path = bare.split("://", 1)[-1].partition("/")[2]
    return bare if not prefix or _VERSIONED.search("/" + path) else bare + prefix


class RequestFailed(Unavailable):
    """No answer came; ``reason`` is a short stable word for metrics."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service answered.  retry_after: seconds, from either form of that header (RFC 9110, 10.2.3)."""

    status: int
    body: bytes
    retry_after: float | None = None
    request_id: str | None = None


class _IdentityPlugin(Protocol):
    """What keystoneauth's plugins have that take tokens from Keystone."""

    auth_ref: AccessInfo | None

    def get_auth_ref(self, session: ks_session.Session) -> AccessInfo: ...


def _takes_tokens(auth: object) -> TypeGuard[_IdentityPlugin]:
    """Other plugins (``none``, ``token_endpoint``) have nothing that expires."""
    return hasattr(auth, "auth_ref")


class CloudSessions:
    """Adapters for the services of one cloud.

    session: authenticated; interface: which endpoints are used; region: the only one where clouds.yaml names one.
    user_agent: sent as it is with each request, ``obsvc/0.1.0 (observer obs-1)``.
    timeout: seconds for an answer.
    """

    def __init__(self, session: ks_session.Session, *, interface: str = "internal", user_agent: str = "obsvc",
                 timeout: float = 30.0, region: str | None = None, clock: Clock | None = None) -> None:
        self._session = session
        self._interface = interface
        self._user_agent = user_agent
        self._region = region
        self._clock = clock or SystemClock()
        self._adapters: dict[tuple[str, str], ks_adapter.Adapter] = {}
        self._microversions = Microversions(self._clock)
        self._lock = threading.Lock()
        self._auth_lock = threading.Lock()
        self._auth_failed: tuple[float, str] | None = None
        #: What requests take as ``timeout``: seconds to connect, seconds to wait for the answer.
        self.timeout = (min(CONNECT_TIMEOUT, timeout), timeout)

    @classmethod
    def from_conf(cls, conf: Any, user_agent: str, *, pool: int = 32) -> CloudSessions:
        """As ``[cloud]`` says.  pool: connections kept to each host; as many as there are threads.

        Raises ConfigError when the options, or the cloud of that name, can't be used.  Asks nothing of the cloud.
        """
        group = conf.cloud
        if group.os_cloud:
            return cls._from_clouds_yaml(group, user_agent, pool)
        if not group.auth_type:
            raise ConfigError("expected [cloud] os_cloud, or auth_type and the options of that plugin; found neither: "
                              "name a cloud of clouds.yaml, or how to authenticate")
        try:
            auth = loading.load_auth_from_conf_options(conf, "cloud")
            session = loading.load_session_from_conf_options(
                conf, "cloud", auth=auth, session=Transport(pool), user_agent=user_agent
            )
        except (ks_exceptions.ClientException, ValueError) as error:
            raise ConfigError(f"the [cloud] options can't be used for auth_type {group.auth_type}: {error}") from error
        session.timeout = group.request_timeout
        return cls(session, interface=group.interface, user_agent=user_agent, timeout=group.request_timeout)

    @classmethod
    def _from_clouds_yaml(cls, group: Any, user_agent: str, pool: int) -> CloudSessions:
        try:
            cloud = openstack.config.OpenStackConfig().get_one(cloud=group.os_cloud)
            verify, cert = cloud.get_requests_verify_args()
            auth = cloud.get_auth()
        except (sdk_exceptions.SDKException, ks_exceptions.ClientException, ValueError) as error:
            raise ConfigError(f"cloud {group.os_cloud!r} of clouds.yaml can't be used: {error}") from error
        session = ks_session.Session(auth=auth, verify=verify if verify is not None else True, cert=cert,
                                     session=Transport(pool), timeout=group.request_timeout, user_agent=user_agent)
        interface = cloud.get_interface() or "public"
        return cls(session, interface=interface if isinstance(interface, str) else interface[0],
                   user_agent=user_agent, timeout=group.request_timeout, region=cloud.region_name or None)

    def adapter(self, region: str, service_type: str, aliases: Sequence[str] = ()) -> ks_adapter.Adapter:
        """An adapter whose ``endpoint_override`` is the service's endpoint; it raises for no status of an answer.

        Raises Unavailable when the cloud can't be asked, NotFound when its catalogue has no such service there.
        """
        self.authenticate()
        key = (region, service_type)
        adapter = self._adapters.get(key)
        if adapter is not None:
            return adapter
        made = ks_adapter.Adapter(
            self._session,
            service_type=service_type,
            interface=self._interface,
            region_name=region,
            endpoint_override=self._endpoint(region, service_type, aliases).replace("%", "%%"),
            user_agent=self._user_agent,
            connect_retries=0,
            status_code_retries=0,
            raise_exc=False,
        )
        with self._lock:
            return self._adapters.setdefault(key, made)

    def get(self, region: str, service_type: str, path: str, *, aliases: Sequence[str] = (), version_prefix: str = "",
            microversion: str | None = None, headers: Mapping[str, str] | None = None) -> Answer:
        """``GET`` of ``path`` (quoted already) below the service's endpoint: any answer that came, of any status.

        microversion: an older service is asked for its newest instead (:mod:`obsvc.cloud.microversions`).
        Raises RequestFailed when none came, NotFound when the cloud has no such service.
        """
        url, key = "", (region, service_type)
        asked = self._microversions.usable(key, microversion)
        try:
            adapter = self.adapter(region, service_type, aliases)
            url = versioned(adapter.endpoint_override or "", version_prefix) + path
            ask = functools.partial(
                adapter.get, url, endpoint_override=url, timeout=self.timeout,
                headers={"Accept": "application/json", **(headers or {})}, log=False, allow_reauth=False,
            )
            response = ask(microversion=asked)
            if response.status_code == 401 and self._renew(response.request.headers.get("X-Auth-Token")):
                response = ask(microversion=asked)
            if response.status_code == _NOT_ACCEPTABLE and asked is not None:
                response = ask(microversion=self._microversions.refused(key, asked, adapter))
        except Unavailable as error:
            raise RequestFailed(error.message, reason="authentication") from error
        except (ks_exceptions.ConnectTimeout, requests.Timeout) as error:
            raise RequestFailed(f"no answer in time from {url}", reason="timeout") from error
        except (ks_exceptions.ConnectFailure, requests.ConnectionError) as error:
            self.forget(region, service_type)
            raise RequestFailed(f"can't be reached: {one_line(error)}", reason="unreachable") from error
        except (ks_exceptions.ClientException, requests.RequestException) as error:
            raise RequestFailed(f"request failed: {one_line(error)}", reason="request") from error
        answer_headers = response.headers
        wait = retry_after.seconds(answer_headers.get("Retry-After"), self._clock.time())
        return Answer(response.status_code, response.content, wait, answer_headers.get("x-openstack-request-id"))

    def forget(self, region: str, service_type: str) -> None:
        """Look the endpoint up again at the next call: it did not answer, so it may have moved."""
        with self._lock:
            self._adapters.pop((region, service_type), None)
        self._microversions.forget((region, service_type))

    def regions(self) -> tuple[str, ...]:
        """The regions of the cloud's catalogue, sorted; only the one that clouds.yaml names, if it names one.

        Raises Unavailable when the cloud can't be asked.
        """
        if self._region:
            return (self._region,)
        self.authenticate()
        try:
            access = self._session.auth.get_access(self._session)  # type: ignore[union-attr]
            entries = access.service_catalog.catalog
        except (ks_exceptions.ClientException, AttributeError) as error:
            raise Unavailable(f"the cloud's service catalogue can't be read: {error}") from error
        found = {endpoint.get("region_id") or endpoint.get("region")
                 for entry in entries for endpoint in entry.get("endpoints", ())}
        return tuple(sorted(name for name in found if name))

    def authenticate(self) -> None:
        """Make sure that there is a token for the next request; costs nothing if there is one.

        Raises Unavailable when Keystone does not give one, or another thread is still waiting for it.
        """
        if self._token_needed():
            self._ask_keystone(self._token_needed, self._session.get_token)

    def _renew(self, refused: str | None) -> bool:
        """Get another token than ``refused``, which a service has answered with 401; False: there can't be one.

        The old token stays until the new one is there.  keystoneauth's own way (``invalidate``) would take it from
        threads that are about to send it, and let all but one of those that were refused go without a second try.
        """
        auth = self._session.auth
        if refused is None or not _takes_tokens(auth):
            return False

        def needed() -> bool:
            return auth.auth_ref is None or auth.auth_ref.auth_token == refused

        def ask() -> None:
            auth.auth_ref = auth.get_auth_ref(self._session)

        if needed():
            self._ask_keystone(needed, ask)
        return True

    def _ask_keystone(self, needed: Callable[[], bool], ask: Callable[[], object]) -> None:
        """Call ``ask``, in one thread at a time, if it is still ``needed`` when its turn comes."""
        self._tell_failure()
        if not self._auth_lock.acquire(timeout=AUTH_WAIT):
            raise Unavailable(f"Keystone has not answered for {AUTH_WAIT:.0f} s and more: its answer is waited for")
        try:
            if not needed():
                return
            self._tell_failure()
            ask()
            self._auth_failed = None
        except (ks_exceptions.ClientException, requests.RequestException) as error:
            text = f"no token from Keystone: {one_line(error)}"
            self._auth_failed = (self._clock.monotonic() + AUTH_PAUSE, text)
            LOG.warning("%s", text)
            raise Unavailable(text) from error
        finally:
            self._auth_lock.release()

    def _token_needed(self) -> bool:
        auth = self._session.auth
        if not _takes_tokens(auth):
            return False
        return auth.auth_ref is None or auth.auth_ref.will_expire_soon(TOKEN_MARGIN)

    def _tell_failure(self) -> None:
        failed = self._auth_failed
        if failed is not None and self._clock.monotonic() < failed[0]:
            raise Unavailable(failed[1])

    def _endpoint(self, region: str, service_type: str, aliases: Sequence[str]) -> str:
        try:
            for name in (service_type, *aliases):
                with contextlib.suppress(ks_exceptions.EndpointNotFound):
                    endpoint = self._session.get_endpoint(
                        service_type=name, interface=self._interface, region_name=region, skip_discovery=True
                    )
                    if endpoint:
                        return endpoint.rstrip("/")
        except (ks_exceptions.ClientException, requests.RequestException) as error:
            raise Unavailable(
                f"endpoint of {service_type} in {region} can't be looked up: {one_line(error)}") from error
        raise NotFound(
            f"expected a {self._interface} endpoint of {' or '.join((service_type, *aliases))} in region {region}, and "
            "the cloud's catalogue has none: correct [cloud] interface, or the region or the catalogue entry of that "
            "service"
        )


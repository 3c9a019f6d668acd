"""Connections to a broker, by kombu URL.

A :class:`Broker` says how to connect (immutable, may be shared between threads); each :meth:`Broker.connect` makes a
new connection, which belongs to the one thread that uses it: py-amqp is not thread-safe.

``filesystem:///folder`` is the bus of the demo: the folder is created if it is missing, and all processes that name the
same folder share the bus (:mod:`obsvc.messaging.filesystem`).
"""
from __future__ import annotations

import contextlib
import dataclasses
import logging
import socket
import ssl
import urllib.parse
from collections.abc import Iterator
from typing import Any

from kombu.connection import Connection as Connection  # what Broker.connect makes, for other packages too
from kombu.exceptions import KombuError

from obsvc.exceptions import ConfigError, Unavailable, one_line
from obsvc.messaging import filesystem, frames
from obsvc.process.urls import without_secrets

LOG = logging.getLogger(__name__)

#: Seconds to wait for a broker to accept.
CONNECT_TIMEOUT = 5.0

#: Milliseconds that sent data may stay unacknowledged by TCP.  py-amqp's default of 1000 kills connections whose
#: broker only applies back-pressure (measured); 30 s is still shorter than what the kernel would wait.
TCP_USER_TIMEOUT = 30_000

#: A peer that vanished is noticed by the kernel after 20 + 4 x 5 = 40 s, even while a frame is half read.
#: Options that this system's socket module does not have are left out.
SOCKET_SETTINGS = {
    getattr(socket, name): value
    for name, value in (
        ("TCP_USER_TIMEOUT", TCP_USER_TIMEOUT),
        ("TCP_KEEPIDLE", 20),
        ("TCP_KEEPINTVL", 5),
        ("TCP_KEEPCNT", 4),
    )
    if hasattr(socket, name)
}

#: URL schemes that mean AMQP 0.9.1 → kombu's transport.  ``rabbit`` is how oslo.messaging spells it.
_AMQP = {"amqp": "pyamqp", "pyamqp": "pyamqp", "rabbit": "pyamqp", "amqps": "amqps"}

#: Seconds between two polls of a transport that can't wait for messages.
_POLLING_INTERVAL = 0.02


@dataclasses.dataclass(frozen=True)
class Tls:
    """TLS for ``amqps``: paths of the CA bundle (None: the system's), the client's certificate and its key."""

    cafile: str | None = None
    certfile: str | None = None
    keyfile: str | None = None


class Broker:
    """Where a bus is: one or several kombu URLs, tried in turn, beginning with the one that worked last.

    urls: separated by ``;``.  heartbeat: seconds, 0 for none; whoever holds the connection must then call
    ``heartbeat_check`` (the consumer does).  Raises ConfigError for a URL that can't be used.
    """

    def __init__(
        self, urls: str, *, heartbeat: float = 0.0, tls: Tls | None = None, connect_timeout: float = CONNECT_TIMEOUT
    ) -> None:
        self._urls = [url.strip() for url in urls.split(";") if url.strip()]
        if not self._urls:
            raise ConfigError("expected a broker URL such as amqp://user:password@host:5672//, got an empty one")
        self._heartbeat = round(heartbeat)  # AMQP has whole seconds
        self._tls = tls or Tls()
        self._connect_timeout = connect_timeout
        self._first = 0
        for url in self._urls:
            if "://" not in url:
                raise ConfigError("expected a broker URL such as amqp://user:password@host:5672//, got one "
                                  "without ://")  # not shown: it may contain a password
            self._make(url)

    def __str__(self) -> str:
        return ";".join(without_secrets(url) for url in self._urls)

    @property
    def is_amqp(self) -> bool:
        """Whether the bus speaks AMQP 0.9.1, for which alone speed and acknowledgement semantics are promised."""
        return _scheme(self._urls[0]) in _AMQP

    def connect(self) -> Connection:
        """A new, established connection.  Raises Unavailable, naming every URL and what went wrong there."""
        failures = []
        for offset in range(len(self._urls)):
            index = (self._first + offset) % len(self._urls)
            connection = self._make(self._urls[index])
            try:
                # connect() itself would wait two seconds and retry; our callers have pauses of their own
                connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0, interval_max=0)
            except Exception as error:  # noqa: BLE001 - a transport may raise anything here; the next URL is tried
                failures.append(f"{without_secrets(self._urls[index])}: {one_line(error)}")
                release(connection)
                continue
            self._first = index
            return connection
        raise Unavailable(
            f"expected a broker, could not connect to {'; '.join(failures)}: check that it runs and the URL"
        )

    def _make(self, url: str) -> Connection:
        scheme = _scheme(url)
        if scheme == "filesystem":
            folder = urllib.parse.unquote(url.partition("://")[2]).split("?")[0]
            if not folder.startswith("/"):
                raise ConfigError(f"expected filesystem:///absolute/folder, got {url}: three slashes, then the path")
            options = filesystem.options(folder, _POLLING_INTERVAL)
            return Connection(transport=filesystem.Transport, transport_options=options)
        try:
            if scheme in _AMQP:
                options = {"socket_settings": SOCKET_SETTINGS, "confirm_publish": True,
                           "frame_handler": frames.without_properties}
                return Connection(
                    _AMQP[scheme] + url[len(scheme):] if scheme == "rabbit" else url,
                    transport=_AMQP[scheme],
                    ssl=self._ssl() if scheme == "amqps" else False,
                    heartbeat=self._heartbeat,
                    connect_timeout=self._connect_timeout,
                    transport_options=options,
                )
            made = Connection(url, transport_options={"polling_interval": _POLLING_INTERVAL})
            made.get_transport_cls()
            return made
        except Exception as error:
            why = "a password needs % for its special characters" if "@" in url else one_line(error)
            raise ConfigError(
                "expected a broker URL such as amqp://user:password@host:5672//, can't use "
                f"{without_secrets(url)}: {why}"
            ) from error

    def _ssl(self) -> dict[str, Any]:
        wanted = {"ca_certs": self._tls.cafile, "certfile": self._tls.certfile, "keyfile": self._tls.keyfile}
        settings = {name: value for name, value in wanted.items() if value}
        # server_hostname None: kombu puts the URL's host there, so that the certificate's name is checked
        return settings | {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": None}


def _scheme(url: str) -> str:
    return url.partition("://")[0].lower()



def release(connection: Connection) -> None:
    """Close ``connection``, whatever state it is in."""
    with contextlib.suppress(Exception):
        if connection.connected and hasattr(connection.transport, "close_connection"):
            sock = getattr(connection.connection, "sock", None)
            if sock is not None:
                sock.settimeout(2.0)  # a broker that hangs must not hang us
    with contextlib.suppress(Exception):
        connection.release()


@contextlib.contextmanager
def translated(connection: Connection, doing: str) -> Iterator[None]:
    """Turn what kombu and the transport raise for a lost connection or channel into Unavailable."""
    lost = (*connection.connection_errors, *connection.channel_errors, KombuError, OSError)
    try:
        yield
    except lost as error:
        raise Unavailable(f"lost the broker while {doing}: {one_line(error)}") from error

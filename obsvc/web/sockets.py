"""Listening sockets, and where a service without authentication may listen.

Any thread may call; what can't be bound is a ConfigError of one line.
"""
from __future__ import annotations

import ipaddress
import socket

from obsvc.exceptions import ConfigError

#: Connections that may wait to be accepted: every member may come back at the same moment.  gunicorn leaves a socket
#: that listens already as it is.
BACKLOG = 2048


def is_loopback(host: str) -> bool:
    """Whether every address that ``host`` stands for is a loopback address."""
    try:
        addresses = {str(item[4][0]) for item in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        return False
    return bool(addresses) and all(ipaddress.ip_address(text.split("%")[0]).is_loopback for text in addresses)


def check_bind(auth_strategy: str, host: str, port: int | None = None) -> None:
    """Raise ConfigError where noauth would be open to other hosts, or ``port`` (when given) can't be bound."""
    if auth_strategy == "noauth" and not is_loopback(host):
        raise ConfigError(
            f"expected a loopback address with auth_strategy = noauth, got bind_host = {host}: bind to 127.0.0.1 or "
            "choose an auth_strategy that asks who is calling"
        )
    if port is not None:
        bind_socket(host, port).close()


def bind_socket(host: str, port: int) -> socket.socket:
    """A socket bound to (host, port); ConfigError, one line, where that can't be."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, proto)
    except OSError as error:
        raise ConfigError(f"expected an address to bind to, got {host} ({error.strerror or error})") from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(BACKLOG)  # two sockets may be bound with SO_REUSEADDR; only one may listen
    except OSError as error:
        bound.close()
        raise ConfigError(
            f"can't listen on {host} port {port}: {error.strerror or error}; choose another port or stop the process "
            "that has it"
        ) from error
    return bound

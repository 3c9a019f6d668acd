"""Where a service without authentication may listen."""
import socket

import pytest

from obsvc.exceptions import ConfigError
from obsvc.web import sockets


def resolving(monkeypatch, *addresses):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses])


def test_every_address_of_a_name_has_to_be_a_loopback_address(monkeypatch):
    resolving(monkeypatch, "127.0.0.1", "::1")
    assert sockets.is_loopback("here")
    resolving(monkeypatch, "127.0.0.1", "192.0.2.1")
    assert not sockets.is_loopback("here")
    resolving(monkeypatch, "fe80::1%eth0")
    assert not sockets.is_loopback("here")


def test_a_name_that_nobody_knows_is_no_loopback_address(monkeypatch):
    def unknown(*args, **options):
        raise OSError("unknown")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert not sockets.is_loopback("nowhere")
    with pytest.raises(ConfigError, match="expected an address"):
        sockets.bind_socket("nowhere", 0)


def test_only_who_asks_who_is_calling_may_listen_for_others(monkeypatch):
    resolving(monkeypatch, "192.0.2.1")
    with pytest.raises(ConfigError, match="loopback"):
        sockets.check_bind("noauth", "out-there")
    sockets.check_bind("keystone", "out-there")

"""How observers, workers and the API reach an engine.

``contract`` says what may be asked; ``http`` and ``local`` carry it; ``conformance`` checks an engine.  Which
carrier is used is ``[engine_client] carrier``, a name in the entry point group ``obsvc.engine_client``: another engine
stands in by registering a class with ``from_conf(conf, user_agent)`` there.
"""
from __future__ import annotations

import importlib.metadata
from typing import Protocol

from oslo_config import cfg

from obsvc.engine_client.contract import Engine
from obsvc.exceptions import ConfigError

NAMESPACE = "obsvc.engine_client"


class CarrierClass(Protocol):
    """What is registered in the entry point group."""

    def from_conf(self, conf: cfg.ConfigOpts, user_agent: str) -> Engine: ...


def from_conf(conf: cfg.ConfigOpts, user_agent: str) -> Engine:
    """The engine that ``[engine_client]`` names.  Reaches nothing yet; may be called before the engine is up.

    user_agent: ``obsvc/<version> (<role> <name>)``.  Raises ConfigError for a carrier that is not installed or
    options that can't be used.  Call it after a fork, never before: its sockets are not to be shared.
    """
    name = conf.engine_client.carrier
    installed = importlib.metadata.entry_points(group=NAMESPACE)
    if name not in installed.names:
        known = ", ".join(sorted(installed.names)) or "none"
        raise ConfigError(
            f"[engine_client] carrier: expected one of those installed ({known}), got {name!r}: correct it, or "
            f"install the package that brings it"
        )
    carrier: CarrierClass = installed[name].load()
    return carrier.from_conf(conf, user_agent)

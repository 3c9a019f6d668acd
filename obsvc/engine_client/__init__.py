"""How observers, workers and the API reach an engine.

``contract`` says what may be asked; ``http`` and ``local`` carry it; ``conformance`` checks an engine.  Which
carrier is used is ``[engine_client] carrier``, a name in the stevedore namespace ``obsvc.engine_client``:
another engine stands in by registering a class with ``from_conf(conf, user_agent)`` there.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from oslo_config import cfg
from stevedore import driver, extension
from stevedore.exception import NoMatches

from obsvc.exceptions import ConfigError

if TYPE_CHECKING:
    from obsvc.engine_client.contract import Engine

NAMESPACE = "obsvc.engine_client"


def from_conf(conf: cfg.ConfigOpts, user_agent: str) -> Engine:
    """The engine that ``[engine_client]`` names.  Reaches nothing yet; may be called before the engine is up.

    user_agent: ``obsvc/<version> (<role> <name>)``.  Raises ConfigError for a carrier that is not installed or
    options that can't be used.  Call it after a fork, never before: its sockets are not to be shared.
    """
    name = conf.engine_client.carrier
    try:
        carrier = driver.DriverManager(NAMESPACE, name, warn_on_missing_entrypoint=False).driver
    except NoMatches as error:
        known = ", ".join(sorted(extension.ExtensionManager(NAMESPACE).names())) or "none"
        raise ConfigError(
            f"[engine_client] carrier: expected one of those installed ({known}), got {name!r}: correct it, or "
            f"install the package that brings it"
        ) from error
    return carrier.from_conf(conf, user_agent)

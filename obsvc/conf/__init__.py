"""Every option of obsvc, one module a group, each with the reason for its default (oslo.config).

``load(argv)`` makes a fresh ``ConfigOpts``: nothing here is global, so tests and several configurations in one
process do not disturb each other.  ``list_opts`` is what ``oslo-config-generator`` reads (see the
entry points in pyproject.toml).
"""
from __future__ import annotations

import itertools
import pathlib
from collections.abc import Sequence

from oslo_config import cfg
from oslo_log import log

import obsvc
from obsvc.conf import (
    api,
    buses,
    catalog,
    cloud,
    coordination,
    database,
    default,
    emit,
    engine,
    engine_client,
    observer,
    sweep,
    worker,
)
from obsvc.conf.groups import OptionGroups
from obsvc.exceptions import ConfigError, one_line

_MODULES = (default, api, buses, catalog, cloud, coordination, database, emit, engine, engine_client, observer, sweep,
            worker)


def list_opts() -> list[tuple[str | None, list[cfg.Opt]]]:
    """``(group, options)`` of every fixed group, plus one example of the group that a bus has."""
    listed = list(itertools.chain.from_iterable(module.list_opts() for module in _MODULES))
    return [(None if group == "DEFAULT" else group, list(options)) for group, options in listed]


def list_keystoneauth_opts() -> OptionGroups:
    """keystoneauth's own options in the group of the cloud, for the sample."""
    return cloud.sample_opts()


def load(args: Sequence[str] = (), *, config_files: Sequence[str] | None = None) -> cfg.ConfigOpts:
    """Read the configuration.

    args: command-line options of oslo.config and oslo.log (``--config-file`` and the like).
    config_files: read these and nothing else; None: what ``--config-file`` says, else oslo.config's usual places
        (``/etc/obsvc/obsvc.conf`` among them).
    Raises ConfigError, one line, for a file that can't be read or a value that can't be used.
    """
    conf = cfg.ConfigOpts()
    log.register_options(conf)
    for module in _MODULES:
        for group, options in module.list_opts():
            if not group.startswith("bus:"):
                conf.register_opts(options, None if group == "DEFAULT" else group)
        register = getattr(module, "register", None)
        if register is not None:
            register(conf)
    conf.set_default("default_log_levels", _LOG_LEVELS)
    if config_files is not None:
        for path in config_files:
            if not pathlib.Path(path).is_file():
                raise ConfigError(f"expected a configuration file at {path}, found none: correct --config-file")
    try:
        conf(
            list(args),
            project="obsvc",
            prog="obsvc",
            version=obsvc.__version__,
            default_config_files=list(config_files) if config_files is not None else None,
        )
        _check_values(conf)
    except (cfg.Error, ValueError) as error:
        raise ConfigError(f"the configuration can't be used: {one_line(error)}") from error
    return conf


def _check_values(conf: cfg.ConfigOpts) -> None:
    """Touch every option once: oslo.config converts, and so refuses, a value only when it is read."""
    for module in _MODULES:
        for group, options in module.list_opts():
            if group.startswith("bus:"):
                continue
            for option in options:
                section = conf if group == "DEFAULT" else conf[group]
                section[option.dest]


#: Libraries that say more at INFO than an operator wants to read.
_LOG_LEVELS = [
    "amqp=WARNING", "kombu=WARNING", "urllib3=WARNING", "requests=WARNING", "keystoneauth=WARNING",
    "sqlalchemy=WARNING", "alembic=WARNING", "stevedore=WARNING", "tooz=WARNING", "etcd3gw=WARNING",
]

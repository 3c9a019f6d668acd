"""What subcommands share: service processes (configuration and logs), and clients of the API.

``ServiceCommand``: subclass it for a long-running process or anything else that needs the configuration; set
``process`` and write ``serve(conf, parsed_args)``.  ``ApiCommand``: mix it into cliff's Lister, ShowOne or Command
for a command that talks to the public API.  Heavy imports belong inside the methods.
"""
from __future__ import annotations

import abc
import argparse
import contextlib
import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cliff import command

from obsvc.exceptions import InvalidInput
from obsvc.web import metrics_sharing

if TYPE_CHECKING:
    from oslo_config import cfg

    from obsvc.client import Client

DEFAULT_API_URL = "http://127.0.0.1:9193"


class ServiceCommand(command.Command):
    """A command that runs with the configuration: ``process`` names it in log lines.

    shares_metrics: it consists of several processes, whose metrics are one.
    """

    process = "obsvc"
    shares_metrics = False

    @abc.abstractmethod
    def serve(self, conf: cfg.ConfigOpts, parsed_args: argparse.Namespace) -> int | None:
        """Run until told to stop; returns the exit code (None: 0)."""

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        from obsvc import conf as obsvc_conf

        loaded = obsvc_conf.load([], config_files=self.app.options.config_file or None)
        setup_logging(loaded, self.process, debug=self.app.options.debug, log_file=self.app.options.log_file)
        with metrics_sharing.shared() if self.shares_metrics else contextlib.nullcontext():
            return self.serve(loaded, parsed_args) or 0


def setup_logging(conf: cfg.ConfigOpts, process: str, *, debug: bool = False, log_file: str | None = None) -> None:
    """oslo.log to standard error (unless the configuration names a file), each line with the process's name."""
    from oslo_log import log

    line = f"%(asctime)s.%(msecs)03d %(process)d {process} %(levelname)s %(name)s %(message)s"
    conf.set_default("logging_default_format_string", line)
    conf.set_default("logging_context_format_string", line)
    conf.set_default("use_stderr", True)
    if debug:
        conf.set_override("debug", True)
    if log_file:
        conf.set_override("log_file", log_file)
    log.setup(conf, "obsvc")


class ApiCommand(command.Command):
    """Mixin: the options that say which API, and the client for it."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        group = parser.add_argument_group("API")
        group.add_argument(
            "--api-url", default=os.environ.get("OBSVC_API_URL", DEFAULT_API_URL), metavar="URL",
            help=f"Base URL of the obsvc API. Default: OBSVC_API_URL, else {DEFAULT_API_URL}.",
        )
        group.add_argument(
            "--token", default=os.environ.get("OS_TOKEN"),
            help="Token to send. Default: OS_TOKEN; else one is fetched when OS_AUTH_URL or OS_CLOUD is set.",
        )
        group.add_argument(
            "--user", metavar="NAME:PASSWORD", default=os.environ.get("OBSVC_API_USER"),
            help="User for an API with HTTP basic authentication. Default: OBSVC_API_USER.",
        )
        return parser

    def client(self, parsed_args: argparse.Namespace) -> Client:
        """A client of the API that the options name; raises ConfigError when they can't be used."""
        from obsvc.client import Client, auth

        return Client(parsed_args.api_url, auth=auth.from_options(token=parsed_args.token, user=parsed_args.user))


def add_catalog_option(parser: argparse.ArgumentParser) -> None:
    """``--catalog FOLDER``, for commands that read the catalogue."""
    parser.add_argument("--catalog", action="append", default=[], metavar="FOLDER",
                        help="folder with catalogue files of your own, beside [catalog] folders of --config-file; "
                             "may be repeated")


def configured_catalog(config_files: Sequence[str]) -> tuple[list[str], list[str]]:
    """``[catalog] folders`` and ``trust_payload`` of the named configuration files; none where no file is named.

    These commands work without a configuration, so only files that are named are read.
    """
    if not config_files:
        return [], []
    from obsvc import conf as obsvc_conf

    group = obsvc_conf.load([], config_files=list(config_files)).catalog
    return list(group.folders), list(group.trust_payload)


_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(text: str) -> float:
    """``90``, ``90s``, ``15m``, ``2h`` or ``1d`` in seconds; for argparse's ``type``."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"expected a time such as 90, 15m or 2h, got {text!r}")
    return float(match[1]) * _UNITS[match[2]]


def key_values(pairs: list[str]) -> dict[str, Any]:
    """``["a=1", "b=x"]`` as a dict of text; raises InvalidInput for a pair without ``=``."""
    values = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise InvalidInput(f"expected KEY=VALUE, got {pair!r}")
        values[key] = value
    return values

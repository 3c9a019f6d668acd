"""``obsvc engine``."""
from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from obsvc.cmd.base import ServiceCommand

if TYPE_CHECKING:
    from oslo_config import cfg


class Engine(ServiceCommand):
    """Run the engine: the one process with access to the database.

    Configured by the global option --config-file: [engine], [database], [emit].
    """

    process = "engine"
    shares_metrics = True

    def serve(self, conf: cfg.ConfigOpts, parsed_args: argparse.Namespace) -> int:
        from obsvc.engine import server

        options = self.app.options
        arguments = [word for path in options.config_file or () for word in ("--config-file", path)]
        if options.debug:
            arguments.append("--debug")
        if options.log_file:
            arguments += ["--log-file", options.log_file]
        server.run(conf, arguments)
        return 0

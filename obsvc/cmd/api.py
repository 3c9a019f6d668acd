"""``obsvc api``."""
from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from obsvc.cmd.base import ServiceCommand

if TYPE_CHECKING:
    from oslo_config import cfg


class Api(ServiceCommand):
    """Serve the public API.

    Configured by the global option --config-file: [api], [engine_client], [coordination], [catalog].
    """

    process = "api"
    shares_metrics = True

    def serve(self, conf: cfg.ConfigOpts, parsed_args: argparse.Namespace) -> int:
        from obsvc.api import app

        return app.run(conf)

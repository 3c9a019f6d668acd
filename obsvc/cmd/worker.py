"""``obsvc worker``."""
from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from obsvc.cmd.base import ServiceCommand

if TYPE_CHECKING:
    from oslo_config import cfg


class Worker(ServiceCommand):
    """Run jobs: start what stacks need in the cloud.

    Configured by the global option --config-file: [worker], [cloud], [engine_client].
    """

    process = "worker"

    def serve(self, conf: cfg.ConfigOpts, parsed_args: argparse.Namespace) -> int:
        from obsvc.worker import app

        return app.run(conf)

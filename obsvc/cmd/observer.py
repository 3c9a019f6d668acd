"""``obsvc observer``."""
from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from obsvc.cmd.base import ServiceCommand

if TYPE_CHECKING:
    from oslo_config import cfg


class Observer(ServiceCommand):
    """Watch resources: listen to notifications, own partitions, fetch and report.

    Configured by the global option --config-file: [observer], [buses] and [bus:NAME], [cloud], [coordination],
    [engine_client], [catalog].
    """

    process = "observer"

    def serve(self, conf: cfg.ConfigOpts, parsed_args: argparse.Namespace) -> int:
        from obsvc.observer import app

        return app.run(conf)

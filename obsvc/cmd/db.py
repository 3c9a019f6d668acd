"""``obsvc db upgrade``."""
from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from obsvc.cmd.base import ServiceCommand

if TYPE_CHECKING:
    from oslo_config import cfg


class Upgrade(ServiceCommand):
    """Make the engine's database, or bring it to this version's schema."""

    process = "db-upgrade"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--partitions", type=int, metavar="P",
            help="Partitions of a new database; fixed for its life. Default: 1024.",
        )
        return parser

    def serve(self, conf: cfg.ConfigOpts, parsed_args: argparse.Namespace) -> int:
        from obsvc.engine.upgrade import upgrade

        self.app.stdout.write(upgrade(conf.database.url, partitions=parsed_args.partitions) + "\n")
        return 0

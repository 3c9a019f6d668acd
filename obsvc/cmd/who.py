"""``obsvc who TYPE ID``."""
from __future__ import annotations

import argparse
from typing import Any

from obsvc.cmd.display import ApiShow


class Who(ApiShow):
    """Say which observer owns a resource, and why"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("type", help="Resource type, e.g. compute.server.")
        parser.add_argument("id", help="The resource's id.")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        return self.shown(self.client(parsed_args).owner(parsed_args.type, parsed_args.id))

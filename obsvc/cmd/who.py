"""``obsvc who TYPE ID``."""
from __future__ import annotations

import argparse

from obsvc.cmd.display import ApiShow, Shown, fields

#: The columns that come first: name as printed, and in the API.
_FIRST = {
    "resource_type": "resource_type", "resource_id": "resource_id", "partition": "partition", "granted_owner": "owner",
    "granted_incarnation": "incarnation", "intended_owner": "intended", "generation": "generation", "since": "since",
    "why": "why",
}


class Who(ApiShow):
    """Say which observer owns a resource, and why."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("type", help="Resource type, e.g. compute.server.")
        parser.add_argument("id", help="The resource's id.")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        owner = fields(self.client(parsed_args).owner(parsed_args.type, parsed_args.id))
        first = {name: owner.pop(key) for name, key in _FIRST.items()}
        return self.shown(first | owner)

"""``obsvc partition list|show``."""
from __future__ import annotations

import argparse

from obsvc.cmd.display import ApiLister, ApiShow, Listed, Shown


class List(ApiLister):
    """List partitions: who was granted each, and whom the ring proposes."""

    columns = ("partition", "owner", "intended", "generation", "since", "observed", "asked_by", "granted_why")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("--owner", metavar="MEMBER", help="Only those granted to or proposed for this member.")
        parser.add_argument("--differs", action="store_true", help="Only those whose grant differs from the proposal.")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        partitions = self.client(parsed_args).partitions(owner=parsed_args.owner, differs=parsed_args.differs or None)
        return self.listed(parsed_args, partitions)


class Show(ApiShow):
    """Show one partition."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("partition", type=int, metavar="N", help="Its number.")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        return self.shown(self.client(parsed_args).partition(parsed_args.partition))

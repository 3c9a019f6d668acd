"""``obsvc dead-letter list|show|replay``."""
from __future__ import annotations

import argparse
from typing import Any

from obsvc.cmd.display import ApiLister, ApiShow, Listed, Shown


class List(ApiLister):
    """List messages that could not be read, newest first."""

    columns = ("letter_id", "received_at", "bus", "reason", "size", "member", "detail", "replayed_at")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("--limit", type=int, default=100, metavar="N", help="At most so many. Default: 100.")
        parser.add_argument("--before", type=int, metavar="ID", help="Only those older than this one.")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        letters = self.client(parsed_args).dead_letters(limit=parsed_args.limit, before=parsed_args.before)
        return self.listed(parsed_args, letters)


class Show(ApiShow):
    """Show one message that could not be read: why, and its redacted text."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("letter_id", type=int, metavar="ID", help="Its number.")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        return self.shown(self.client(parsed_args).dead_letter(parsed_args.letter_id))


class Replay(Show):
    """Decode one message again with the API's present catalogue, and look at what it names."""

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        done = self.client(parsed_args).replay_dead_letter(parsed_args.letter_id)
        if parsed_args.formatter in ("json", "yaml"):
            return self.shown(done)
        named = [f"{ref['resource_type']} {ref['resource_id']}" + ("" if ref["mark"] else " (not observed)")
                 for ref in done["refs"]]
        return self.shown(done | {"refs": named})

"""``obsvc member list|drain|undrain``."""
from __future__ import annotations

import argparse
from typing import Any

from obsvc.cmd.display import ApiLister, ApiShow, Listed, Shown


class List(ApiLister):
    """List the observers: alive, caught up, what they hold and what the ring proposes for them."""

    columns = ("name", "alive", "state", "drained", "granted", "intended", "in_ring", "caught_up", "backlog",
               "unsettled", "oldest_unsettled", "buses", "last_beat_age", "last_error")

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        return self.listed(parsed_args, self.client(parsed_args).members())

    def more(self, thing: Any) -> dict[str, Any]:
        return {"buses": [f"{bus.get('name')} {'up' if bus.get('connected') else 'down'}" for bus in thing.buses],
                "drained": thing.drained_at is not None}


class Drain(ApiShow):
    """Have an observer hand over all it owns and take nothing until it is undrained; it keeps running."""

    drained = True

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("name", metavar="NAME", help="The observer's name.")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        return self.shown(self.client(parsed_args).drain_member(parsed_args.name, drained=self.drained))


class Undrain(Drain):
    """Let an observer that was drained take part again."""

    drained = False

"""``obsvc explain TYPE ID``."""
from __future__ import annotations

import argparse
import os
from typing import Any

from obsvc.cmd.display import ApiShow, Instant, Shown, fields
from obsvc.exceptions import NotFound


class Explain(ApiShow):
    """Say what is due for a resource and why, who owns it, and what happened to it lately."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("type", help="Resource type, e.g. compute.server.")
        parser.add_argument("id", help="The resource's id.")
        parser.add_argument("--region", default=os.environ.get("OS_REGION_NAME"),
                            help="Region. Default: OS_REGION_NAME, else the API's.")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        observed = self.client(parsed_args).explain(parsed_args.type, parsed_args.id, region=parsed_args.region)
        if observed.trail is None:
            raise NotFound(f"{parsed_args.type} {parsed_args.id} was not seen yet: until then only operators see more")
        trail = fields(observed.trail)
        events = trail.pop("events")
        if parsed_args.formatter in ("json", "yaml"):
            shown: Any = events
        else:
            shown = "\n".join(f"{Instant(event['at']).human_readable()}  {event['what']}: {event['text']}"
                              for event in events)
        resource = {name: getattr(observed, name) for name in
                    ("resource_type", "resource_id", "condition", "version", "mark", "reported_by", "reported_at")}
        return self.shown({"why": trail.pop("why"), "ownership": trail.pop("ownership"), **resource, **trail,
                           "events": shown})

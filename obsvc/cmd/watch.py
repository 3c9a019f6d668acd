"""``obsvc watch`` and ``obsvc wait``."""
from __future__ import annotations

import argparse
import json
import os
from typing import Any

from cliff import command

from obsvc.cmd.base import ApiCommand, seconds
from obsvc.cmd.display import ApiShow, Instant, Shown, fields
from obsvc.cmd.observation import GOALS, with_resource

#: Seconds that the API may be unavailable until the command gives up.
PATIENCE = 60.0


class Watch(ApiCommand, command.Command):
    """Print changes as they come, each once, until interrupted.

    Continues by itself after the API or the network was unavailable for a while.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("--since", type=int, metavar="VERSION",
                            help="Changes after this version. Default: from now on.")
        parser.add_argument("--type", help="Only of this resource type, e.g. compute.server.")
        parser.add_argument("--id", help="Only of the resource with this id.")
        parser.add_argument("--region", help="Only in this region.")
        parser.add_argument("--stack", metavar="ID", help="Only of this stack (its id).")
        parser.add_argument("--project", metavar="ID", help="Only of this project; for the roles admin and service.")
        parser.add_argument("--label", metavar="KEY=VALUE", help="Only of what is observed with this label.")
        parser.add_argument("--limit", type=int, metavar="N", help="End after as many changes.")
        parser.add_argument("-f", "--format", choices=("text", "json"), default="text",
                            help="json: one object a line. Default: text.")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        left = parsed_args.limit
        for change in self.client(parsed_args).watch(
            parsed_args.since, patience=PATIENCE, resource_type=parsed_args.type, resource_id=parsed_args.id,
            region=parsed_args.region, stack_id=parsed_args.stack, project_id=parsed_args.project,
            label=parsed_args.label,
        ):
            self.app.stdout.write((json.dumps(fields(change)) if parsed_args.format == "json" else line(change)) + "\n")
            self.app.stdout.flush()
            left = None if left is None else left - 1
            if left is not None and left <= 0:
                break
        return 0


def line(change: Any) -> str:
    """One change for people."""
    status = f"({change.status})" if change.status else ""
    moved = f"{change.before_condition} -> {change.condition}" if change.cause != "listed" else f"is {change.condition}"
    parts = (Instant(change.at).human_readable(), str(change.version), change.resource_type, change.resource_id, moved,
             status, change.standing if change.standing != "none" else "", ",".join(change.changed))
    return "  ".join(part for part in parts if part)


class Wait(ApiShow):
    """Wait until a resource is as wanted.

    Use it in place of a loop that polls the service: it observes the resource while it waits. Exit code 1 when the
    resource did not get there: an error, a deletion, or a timeout.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("type", help="Resource type, e.g. compute.server.")
        parser.add_argument("id", help="The resource's id.")
        parser.add_argument("--for", dest="until", choices=GOALS, default="active", help="Default: active.")
        parser.add_argument("--timeout", type=seconds, metavar="TIME", help="Wait no longer than this, e.g. 10m.")
        parser.add_argument("--region", default=os.environ.get("OS_REGION_NAME"),
                            help="Region. Default: OS_REGION_NAME, else the API's.")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        waited = self.client(parsed_args).wait(
            parsed_args.type, parsed_args.id, until=parsed_args.until, region=parsed_args.region,
            timeout=parsed_args.timeout)
        self.exit_code = 0 if waited.observation.status == "met" else 1
        return self.shown(with_resource(waited))

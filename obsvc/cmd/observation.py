"""``obsvc observation start|stop|show|list|wait``."""
from __future__ import annotations

import argparse
import os
from typing import Any

from cliff import command

from obsvc.cmd.base import ApiCommand, key_values, seconds
from obsvc.cmd.display import ApiLister, ApiShow, Listed, Shown, fields

#: As obsvc.model.Condition; not imported, to keep the commands light.
GOALS = ("active", "deleted", "error", "pending", "unknown")


class Start(ApiShow):
    """Start observing a resource."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("type", help="Resource type, e.g. compute.server.")
        parser.add_argument("id", help="The resource's id.")
        parser.add_argument("--goal", choices=GOALS, help="Condition to wait for. Default: watch every change.")
        parser.add_argument("--timeout", type=seconds, metavar="TIME", help="Deadline of the goal from now, e.g. 10m.")
        parser.add_argument("--region", default=os.environ.get("OS_REGION_NAME"),
                            help="Region. Default: OS_REGION_NAME, else the API's.")
        parser.add_argument("--label", action="append", default=[], metavar="KEY=VALUE", help="May be repeated.")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        return self.shown(self.client(parsed_args).start_observation(
            parsed_args.type, parsed_args.id, region=parsed_args.region, goal=parsed_args.goal,
            timeout=parsed_args.timeout, labels=key_values(parsed_args.label),
        ))


class Stop(ApiCommand, command.Command):
    """Stop observations."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("observation", nargs="+", help="Id of an observation.")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        client = self.client(parsed_args)
        for observation_id in parsed_args.observation:
            client.stop_observation(observation_id)
        return 0


class Show(ApiShow):
    """Show an observation, and the resource as it was last seen."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("observation", help="Id of the observation.")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        return self.shown(with_resource(self.client(parsed_args).wait_observation(parsed_args.observation, timeout=0)))


class List(ApiLister):
    """List observations."""

    columns = ("observation_id", "resource_type", "resource_id", "region", "goal", "status", "deadline", "started_at")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("--type", help="Only of this resource type.")
        parser.add_argument("--id", help="Only of this resource.")
        parser.add_argument("--region", help="Only in this region.")
        parser.add_argument("--stack", metavar="ID", help="Only those of this stack (its id).")
        parser.add_argument("--label", metavar="KEY=VALUE", help="Only with this label.")
        parser.add_argument("--condition", choices=GOALS, help="Only of resources that are so.")
        parser.add_argument("--member", metavar="NAME", help="Only of resources that this member owns.")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        return self.listed(parsed_args, self.client(parsed_args).observations(
            resource_type=parsed_args.type, resource_id=parsed_args.id, region=parsed_args.region,
            stack_id=parsed_args.stack, label=parsed_args.label, condition=parsed_args.condition,
            member=parsed_args.member,
        ))


class Wait(ApiShow):
    """Wait until an observation's goal is met, or can't be met any more.

    Without a goal it waits for the resource's next change.  Exit code 1 when the goal was not met, or nothing changed.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("observation", help="Id of the observation.")
        parser.add_argument("--timeout", type=seconds, metavar="TIME", help="Wait no longer than this, e.g. 10m.")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        waited = self.client(parsed_args).wait_observation(parsed_args.observation, timeout=parsed_args.timeout)
        missed = waited.observation.goal is not None and waited.observation.status != "met"
        self.exit_code = 1 if waited.timed_out or missed else 0
        return self.shown(with_resource(waited))


def with_resource(waited: Any) -> dict[str, Any]:
    """An observation's fields, and the most useful ones of its resource."""
    resource = waited.resource
    snapshot = resource.snapshot if resource is not None else None
    return fields(waited.observation) | {
        "condition": snapshot.condition if snapshot else None,
        "resource_status": snapshot.status if snapshot else None,
        "status_reason": snapshot.status_reason if snapshot else None,
        "settled": snapshot.settled if snapshot else None,
        "version": resource.version if resource else None,
        "reported_by": resource.reported_by if resource else None,
        "reported_at": resource.reported_at if resource else None,
        "partition": resource.partition if resource else None,
    }

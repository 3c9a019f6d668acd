"""``obsvc selector start|stop|list``."""
from __future__ import annotations

import argparse
import os

from cliff import command

from obsvc.cmd.base import ApiCommand
from obsvc.cmd.display import ApiLister, ApiShow, Listed, Shown


class Start(ApiShow):
    """Observe all resources of a type in a project, also those created later."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("type", help="Resource type, e.g. compute.server.")
        parser.add_argument("--region", default=os.environ.get("OS_REGION_NAME"),
                            help="Region. Default: OS_REGION_NAME, else the API's.")
        parser.add_argument("--project", metavar="ID", help="For admin and service. Default: all projects.")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        return self.shown(self.client(parsed_args).start_selector(
            parsed_args.type, region=parsed_args.region, project_id=parsed_args.project))


class Stop(ApiCommand, command.Command):
    """Stop selectors, and stop observing what only they select."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("selector", nargs="+", help="Id of a selector.")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        client = self.client(parsed_args)
        for selector_id in parsed_args.selector:
            client.stop_selector(selector_id)
        return 0


class List(ApiLister):
    """List selectors."""

    columns = ("selector_id", "resource_type", "region", "project_id", "started_at")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("--type", help="Only of this resource type.")
        parser.add_argument("--region", help="Only in this region.")
        parser.add_argument("--project", metavar="ID", help="Only of this project; for admin and service.")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        return self.listed(parsed_args, self.client(parsed_args).selectors(
            resource_type=parsed_args.type, region=parsed_args.region, project_id=parsed_args.project))

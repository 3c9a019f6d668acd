"""``obsvc stack create|update|preview|rollback|cancel|resume|show|list|delete|events``."""
from __future__ import annotations

import abc
import argparse
import json
import pathlib
import sys
from typing import Any

from cliff import command

from obsvc.client import Client
from obsvc.cmd.base import ApiCommand, key_values, seconds
from obsvc.cmd.display import ApiLister, ApiShow, Instant, Listed, Shown, fields
from obsvc.exceptions import InvalidInput

#: Seconds of one long poll while following events.
FOLLOW_WAIT = 20.0


def read_template(path: str) -> str:
    """The text of a HOT file; ``-`` is standard input.  InvalidInput when it can't be read."""
    try:
        return sys.stdin.read() if path == "-" else pathlib.Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"--template: expected a HOT file at {path}: {error}") from error


def wait_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--wait", action="store_true", help="Wait until it is done; exit code 1 unless it succeeds.")
    parser.add_argument("--wait-timeout", type=seconds, metavar="TIME", help="Wait no longer than this, e.g. 15m.")


def goal_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-t", "--template", required=True, metavar="FILE",
                        help="HOT template; - for standard input.")
    parser.add_argument("-P", "--parameter", action="append", default=[], metavar="KEY=VALUE",
                        help="Parameter of the template; may be repeated.")


def rollback_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rollback", action="store_true",
                        help="When it fails, go back to the last goal that was reached; a creation deletes what it "
                             "made.")


class Create(ApiShow):
    """Create a stack from a HOT template."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("name", help="Name of the stack.")
        goal_options(parser)
        rollback_option(parser)
        parser.add_argument("--region", help="Region of its resources. Default: the API's.")
        parser.add_argument("--timeout", type=seconds, metavar="TIME", help="The creation fails after this, e.g. 1h.")
        parser.add_argument("--on-drift", choices=["report", "repair"], default="report",
                            help="What to do about changes behind the stack's back: report them (default); repair is "
                                 "not built yet and refused.")
        wait_options(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        client = self.client(parsed_args)
        stack = client.create_stack(
            parsed_args.name, read_template(parsed_args.template), parameters=key_values(parsed_args.parameter),
            region=parsed_args.region, timeout=parsed_args.timeout, on_drift=parsed_args.on_drift,
            disable_rollback=not parsed_args.rollback,
        )
        if parsed_args.wait:
            stack = client.wait_stack(stack.stack_id, timeout=parsed_args.wait_timeout)
            self.exit_code = 0 if stack.status == "CREATE_COMPLETE" else 1
        return self.shown(stack)


class Update(ApiShow):
    """Give a stack another goal: a changed template, or other parameters."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("stack", help="Name or id.")
        goal_options(parser)
        rollback_option(parser)
        parser.add_argument("--timeout", type=seconds, metavar="TIME", help="The update fails after this, e.g. 1h.")
        wait_options(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        client = self.client(parsed_args)
        stack = client.update_stack(
            parsed_args.stack, read_template(parsed_args.template), parameters=key_values(parsed_args.parameter),
            timeout=parsed_args.timeout, disable_rollback=not parsed_args.rollback,
        )
        if parsed_args.wait:
            stack = client.wait_stack(stack.stack_id, timeout=parsed_args.wait_timeout)
            self.exit_code = 0 if stack.status == "UPDATE_COMPLETE" else 1
        return self.shown(stack)


class Preview(ApiLister):
    """Show what an update to this goal would do to each resource; nothing is started."""

    columns = ("name", "type", "change", "properties", "reason", "resource_id")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("stack", help="Name or id.")
        goal_options(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        return self.listed(parsed_args, self.client(parsed_args).preview_stack(
            parsed_args.stack, read_template(parsed_args.template), parameters=key_values(parsed_args.parameter)))


class _StackAction(ApiShow):
    """A command that changes the course of a stack, and may wait until it is done."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("stack", help="Name or id.")
        wait_options(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        client = self.client(parsed_args)
        stack = self.act(client, parsed_args)
        if parsed_args.wait:
            stack = client.wait_stack(stack.stack_id, timeout=parsed_args.wait_timeout)
            self.exit_code = 0 if stack.status.endswith("_COMPLETE") else 1
        return self.shown(stack)

    @abc.abstractmethod
    def act(self, client: Client, parsed_args: argparse.Namespace) -> Any:
        """Ask for it; the stack as it is then."""


class Rollback(_StackAction):
    """Bring a stack back to the last goal that was reached; one that was never complete loses all that it has."""

    def act(self, client: Client, parsed_args: argparse.Namespace) -> Any:
        return client.rollback_stack(parsed_args.stack)


class Cancel(_StackAction):
    """Stop a creation, an update or a rollback, and go back to the last goal that was reached."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("--no-rollback", action="store_true",
                            help="Leave the stack as it is, failed: resume, update, roll back or delete it later.")
        return parser

    def act(self, client: Client, parsed_args: argparse.Namespace) -> Any:
        return client.cancel_stack(parsed_args.stack, rollback=not parsed_args.no_rollback)


class Resume(_StackAction):
    """Continue a creation, an update, a rollback or a deletion that has failed, where it stopped."""

    def act(self, client: Client, parsed_args: argparse.Namespace) -> Any:
        return client.resume_stack(parsed_args.stack)


class Show(ApiShow):
    """Show a stack and its resources."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("stack", help="Name or id.")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        client = self.client(parsed_args)
        stack = client.stack(parsed_args.stack)
        nodes = client.stack_nodes(stack.stack_id)
        if parsed_args.formatter in ("json", "yaml"):
            return self.shown(fields(stack) | {"resources": [fields(node) for node in nodes]})
        return self.shown(fields(stack) | {"resources": "\n".join(_node_line(node) for node in nodes)})


def _node_line(node: Any) -> str:
    parts = (f"{node.name}: {node.status}", node.resource_id, node.status_reason,
             f"drift: {node.drift}" if node.drift else None)
    return " ".join(part for part in parts if part)


class List(ApiLister):
    """List stacks."""

    columns = ("name", "status", "complete", "drifted", "updated_at", "stack_id")

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        return self.listed(parsed_args, self.client(parsed_args).stacks())

    def more(self, thing: Any) -> dict[str, Any]:
        return {"complete": f"{thing.nodes.get('complete', 0)}/{sum(thing.nodes.values())}"}


class Delete(ApiCommand, command.Command):
    """Delete a stack and every resource of it."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("stack", help="Name or id.")
        wait_options(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        client = self.client(parsed_args)
        stack = client.delete_stack(parsed_args.stack)
        if parsed_args.wait:
            stack = client.wait_stack(stack.stack_id, timeout=parsed_args.wait_timeout)
            self.app.stdout.write(f"{stack.name} {stack.status} {stack.status_reason}".rstrip() + "\n")
            return 0 if stack.status == "DELETE_COMPLETE" else 1
        return 0


class Events(ApiLister):
    """List what happened to a stack."""

    columns = ("event_id", "at", "event", "node", "resource_id", "reason")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("stack", help="Name or id.")
        parser.add_argument("--after", type=int, default=0, metavar="ID", help="Only events after this one.")
        parser.add_argument("--follow", action="store_true",
                            help="Print events as they come, until the stack is done; with -f json one object a line.")
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        return self.follow(parsed_args) if parsed_args.follow else super().run(parsed_args)

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        return self.listed(parsed_args, self._all(self.client(parsed_args), parsed_args.stack, parsed_args.after))

    @staticmethod
    def _all(client: Client, stack: str, after: int) -> Any:
        while events := client.stack_events(stack, after=after):
            yield from events
            after = events[-1].event_id

    def follow(self, parsed_args: argparse.Namespace) -> int:
        """Print events until the stack is no longer in progress and no more are there."""
        client = self.client(parsed_args)
        stack, after = client.stack(parsed_args.stack), parsed_args.after
        while True:
            # Read before the events: those of a stack that was done then are all there.
            stack = client.stack(stack.stack_id)
            events = client.stack_events(stack.stack_id, after=after, wait=FOLLOW_WAIT if stack.in_progress else 0.0)
            for event in events:
                after = event.event_id
                self.app.stdout.write(self._line(event, parsed_args.formatter) + "\n")
            self.app.stdout.flush()
            if not events and not stack.in_progress:
                return 0

    @staticmethod
    def _line(event: Any, formatter: str) -> str:
        if formatter == "json":
            return json.dumps(fields(event))
        parts = (Instant(event.at).human_readable(), event.event, event.node, event.resource_id, event.reason)
        return "  ".join(part for part in parts if part)

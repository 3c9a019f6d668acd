"""``obsvc demo``: the main job on embedded parts, with a simulated cloud, one killed observer and one drift."""
from __future__ import annotations

import argparse
import json
import pathlib
import shutil
import signal
import tempfile
import threading
from collections.abc import Mapping
from importlib import resources

from cliff.command import Command

from obsvc.cmd.demo_processes import DemoProcesses
from obsvc.cmd.demo_run import Demonstration
from obsvc.cmd.demo_view import View
from obsvc.exceptions import ConfigError


class Demo(Command):
    """Build a stack of over 40 resources on a simulated cloud; nothing has to be installed or configured.

    Half way through one observer is killed and the others take over; at the end one server is deleted behind the
    stack's back. Exit code 0: the stack is complete, nothing was lost, no change was fetched by two observers.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("--json", action="store_true", help="Print the summary as one JSON object, last.")
        parser.add_argument("--keep", action="store_true", help="Leave everything running until interrupted.")
        parser.add_argument("--template", type=pathlib.Path, metavar="FILE",
                            help="HOT template of the stack. Default: one of three tiers that comes with obsvc.")
        parser.add_argument("--folder", type=pathlib.Path,
                            help="Where the database, the bus and the logs are. Default: a temporary folder, removed "
                                 "at the end unless something failed.")
        parser.add_argument("--observers", type=int, default=3, metavar="N", help="Observers (3).")
        parser.add_argument("--workers", type=int, default=2, metavar="N", help="Workers (2).")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        if parsed_args.observers < 2 or parsed_args.workers < 1:
            raise ConfigError("expected --observers of at least 2 (one is killed) and --workers of at least 1")
        template = _template(parsed_args.template)
        folder = (parsed_args.folder or pathlib.Path(tempfile.mkdtemp(prefix="obsvc-demo-"))).resolve()
        interrupted = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: interrupted.set())
        view = View(to_stderr=parsed_args.json)
        processes = DemoProcesses(folder, parsed_args.observers, parsed_args.workers)
        demonstration = Demonstration(processes, template, view, interrupted)
        try:
            with view:
                summary = demonstration.run()
            self._show(summary, view, parsed_args)
            if parsed_args.keep:
                view.line(f"it goes on: {demonstration.addresses()}; end it with Ctrl-C")
                _wait(interrupted)
        except KeyboardInterrupt:
            return 130
        finally:
            processes.stop()
        if summary["ok"] and parsed_args.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            view.line(f"logs: {folder}")
        return 0 if summary["ok"] else 1

    def _show(self, summary: Mapping[str, object], view: View, parsed_args: argparse.Namespace) -> None:
        view.summary(summary)
        if parsed_args.json:
            self.app.stdout.write(json.dumps(summary) + "\n")
            self.app.stdout.flush()


def _template(path: pathlib.Path | None) -> str:
    if path is None:
        return resources.files("obsvc.cmd").joinpath("data/tiers.yaml").read_text()
    try:
        return path.read_text()
    except OSError as error:
        raise ConfigError(f"expected a HOT template at {path}: {error.strerror}; name one with --template") from error


def _wait(interrupted: threading.Event) -> None:
    while not interrupted.wait(0.5):
        pass

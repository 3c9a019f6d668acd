"""The command ``obsvc``: global options, finding the subcommand, and how errors end it.

Promises: a command's module is imported only when that command is run (or listed by ``--help``); an
:class:`~obsvc.exceptions.ObsvcError` ends the process with exactly one line on standard error, ``obsvc: …``, and
no traceback unless ``--debug``; exit code 0 done, 1 failed, 2 wrong usage or configuration, 130 interrupted.

Subcommands are entry points of the group ``obsvc.cli``; ``stack_create`` is spelt ``obsvc stack create``.
"""
from __future__ import annotations

import argparse
import importlib.metadata
import inspect
import logging
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from cliff import app, commandmanager, help

import obsvc
from obsvc.exceptions import ConfigError, ObsvcError, one_line

NAMESPACE = "obsvc.cli"

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class LazyCommands(commandmanager.CommandManager):
    """cliff's manager, without the import of every command's module at each start."""

    def load_commands(self, namespace: str) -> None:
        """Take note of the entry points of ``namespace``; none is imported."""
        self.group_list.append(namespace)
        for entry_point in importlib.metadata.entry_points(group=namespace):
            self.commands[entry_point.name.replace("_", " ")] = entry_point


class ObsvcApp(app.App):
    """cliff's application with obsvc's global options and its way to end."""

    NAME = "obsvc"

    def __init__(self, **streams: Any) -> None:
        super().__init__(
            description="Observer service for OpenStack clouds: watches actual state beside the goal.",
            version=obsvc.__version__,
            command_manager=LazyCommands(NAMESPACE),
            deferred_help=True,
            **streams,
        )

    def build_option_parser(
        self, description: str | None, version: str | None, argparse_kwargs: dict[str, Any] | None = None
    ) -> argparse.ArgumentParser:
        parser = super().build_option_parser(
            description, version, {"prog": self.NAME, "allow_abbrev": False, **(argparse_kwargs or {})}
        )
        parser.add_argument(
            "--config-file", action="append", default=[], metavar="FILE",
            help="Configuration file; may be repeated, later ones win. Default: /etc/obsvc/obsvc.conf and "
                 "oslo.config's other usual places.",
        )
        return parser

    def configure_logging(self) -> None:
        """Warnings and worse to standard error; ``-v`` and ``-vv`` say more.  Service commands set up oslo.log."""
        level = {0: logging.ERROR, 1: logging.WARNING, 2: logging.INFO}.get(self.options.verbose_level, logging.DEBUG)
        if self.options.debug:
            level = logging.DEBUG
        handler: logging.Handler = logging.StreamHandler(self.stderr)
        if self.options.log_file:
            handler = logging.FileHandler(self.options.log_file)
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
        root = logging.getLogger()
        root.handlers[:] = [handler]
        root.setLevel(level)

    def run(self, argv: list[str]) -> int:
        """The whole run: ``argv`` without the program's name; returns the exit code."""
        try:
            self.options, rest = self.parser.parse_known_args(argv)
            self.configure_logging()
            if not rest or self.options.deferred_help:
                return self._help(rest)
            return self.run_subcommand(rest)
        except help.HelpExit:
            return 0
        except KeyboardInterrupt:
            return EXIT_INTERRUPTED
        except BrokenPipeError:
            sys.stderr.close()  # or the interpreter complains about the closed pipe at its exit
            return 128 + 13

    def run_subcommand(self, argv: list[str]) -> int:
        """Find and run the subcommand; errors become one line and an exit code."""
        try:
            factory, name, rest = self.command_manager.find_command(argv)
        except ValueError:
            return self._unknown(argv)
        except Exception as error:  # noqa: BLE001 - whatever importing a command's module raises
            return self._failed(error, f"the command {' '.join(argv[:2])} can't be loaded: {one_line(error)}")
        keywords = {"cmd_name": name} if "cmd_name" in inspect.getfullargspec(factory.__init__).args else {}
        try:
            command = factory(self, self.options, **keywords)
            return command.run(command.get_parser(f"{self.NAME} {name}").parse_args(rest)) or 0
        except (KeyboardInterrupt, BrokenPipeError, help.HelpExit):
            raise
        except ObsvcError as error:
            return self._failed(error, one_line(error))
        except Exception as error:  # noqa: BLE001 - the last line of defence: one line, not a traceback
            return self._failed(error, f"{type(error).__name__}: {one_line(error)} (--debug shows where)")

    def _help(self, rest: Sequence[str]) -> int:
        self.options.deferred_help = False
        return self.run_subcommand(["help", *rest])

    def _unknown(self, argv: Sequence[str]) -> int:
        known = sorted(name for name, _ in self.command_manager)
        near = [name for name in known if name.split()[0] == argv[0]] or known
        self.stderr.write(f"obsvc: unknown command {' '.join(argv)!r}: expected one of {', '.join(near)}\n")
        return EXIT_USAGE

    def _failed(self, error: Exception, line: str) -> int:
        if self.options.debug:
            traceback.print_exception(error, file=self.stderr)
        self.stderr.write(f"obsvc: {line}\n")
        return EXIT_USAGE if isinstance(error, ConfigError) else EXIT_FAILED


def main(argv: Sequence[str] | None = None) -> int:
    """The entry point of the command; returns the exit code."""
    return ObsvcApp().run(list(sys.argv[1:] if argv is None else argv))


if __name__ == "__main__":
    sys.exit(main())

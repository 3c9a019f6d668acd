"""``obsvc status``."""
from __future__ import annotations

import argparse

from obsvc.cmd.display import ApiShow, Shown


class Show(ApiShow):
    """Show the state of the cluster: one sentence, what needs attention, numbers.

    The exit code is 1 when something needs attention.
    """

    def run(self, parsed_args: argparse.Namespace) -> int:
        super().run(parsed_args)
        return 0 if self._ok else 1

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        status = self.client(parsed_args).status()
        self._ok = status.ok
        return self.shown(status)

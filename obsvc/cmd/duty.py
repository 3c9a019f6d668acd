"""``obsvc duty list``."""
from __future__ import annotations

import argparse
from typing import Any

from obsvc.cmd.display import ApiLister, Listed


class List(ApiLister):
    """List the work that one observer does for all: who leads it, when it ran and runs again, and its result."""

    columns = ("name", "partition", "leader", "generation", "since", "last_run_at", "next_run_at", "lag", "result",
               "recall", "requested", "last_error")

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        return self.listed(parsed_args, self.client(parsed_args).duties())

    def more(self, thing: Any) -> dict[str, Any]:
        return {"leader": thing.leader and thing.leader["name"], "requested": thing.request_reason,
                "recall": None if thing.recall is None else round(thing.recall, 3)}

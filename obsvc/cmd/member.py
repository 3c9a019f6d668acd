"""``obsvc member list``."""
from __future__ import annotations

import argparse
from typing import Any

from obsvc.cmd.display import ApiLister


class List(ApiLister):
    """List the observers: alive, caught up, what they hold and what the ring proposes for them"""

    columns = ("name", "alive", "state", "granted", "intended", "in_ring", "caught_up", "backlog", "unsettled",
               "oldest_unsettled", "buses", "last_beat_age", "last_error")

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        return self.listed(parsed_args, self.client(parsed_args).members())

    def more(self, thing: Any) -> dict[str, Any]:
        return {"buses": [f"{bus.get('name')} {'up' if bus.get('connected') else 'down'}" for bus in thing.buses]}

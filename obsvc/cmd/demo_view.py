"""What the demo shows while it runs: a live table in a terminal, plain lines elsewhere."""
from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

#: Lines of the story that stay on the screen.
STORY_KEPT = 12

_COLOURS = {"complete": "green", "observing": "yellow", "scheduled": "cyan", "failed": "red"}


@dataclasses.dataclass(frozen=True)
class State:
    """One moment.  nodes: status → count.  members: name → (partitions, looks, notifications), None: killed."""

    nodes: Mapping[str, int]
    members: Mapping[str, tuple[int, int, int] | None]


class View:
    """A context manager; every method is called from the one thread that runs the demo."""

    def __init__(self, *, to_stderr: bool) -> None:
        self._console = Console(stderr=to_stderr, highlight=False)
        self._story: list[str] = []
        self._state = State({}, {})
        self._live: Live | None = None
        self._began = time.monotonic()
        self._last_nodes: Mapping[str, int] = {}

    def __enter__(self) -> View:
        if self._console.is_terminal:
            self._live = Live(self._render(), console=self._console, refresh_per_second=8, transient=True)
            self._live.start(refresh=True)
        return self

    def __exit__(self, *error: object) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()
            for line in self._story:
                self._console.print(line)

    def line(self, text: str) -> None:
        """One thing that happened."""
        text = f"{time.monotonic() - self._began:6.1f} s  {text}"
        self._story.append(text)
        if self._live is None:
            self._console.print(text, soft_wrap=True)
        else:
            self._live.update(self._render())

    def show(self, state: State) -> None:
        """The present state; without a terminal, one line each time the nodes changed."""
        self._state = state
        if self._live is not None:
            self._live.update(self._render())
        elif dict(state.nodes) != dict(self._last_nodes):
            self.line(", ".join(f"{count} {status}" for status, count in sorted(state.nodes.items())))
        self._last_nodes = dict(state.nodes)

    def summary(self, summary: Mapping[str, object]) -> None:
        """The end."""
        table = Table(title="What happened", show_header=False)
        for name, value in summary.items():
            table.add_row(name.replace("_", " "), _shown(value))
        self._console.print(table)

    def _render(self) -> Group:
        nodes = Text("nodes  ")
        for status, count in sorted(self._state.nodes.items()):
            nodes.append(f"{count} {status}  ", style=_COLOURS.get(status, ""))
        table = Table("observer", "partitions", "notifications", "fetches")
        for name, figures in self._state.members.items():
            if figures is None:
                table.add_row(name, "killed", "", "", style="red")
            else:
                partitions, looks, notifications = figures
                table.add_row(name, str(partitions), str(notifications), str(looks))
        return Group(nodes, table, Text("\n".join(self._story[-STORY_KEPT:])))


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(item)}" for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_shown, value)) or "none"
    return f"{value:.2f}" if isinstance(value, float) else str(value)

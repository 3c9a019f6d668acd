"""How commands print: for people in a table, for scripts everything with numbers as numbers.

``-f json`` and ``-f yaml`` print every field of the API's answer under its own name; the other formats print the
columns that a reader needs, and a table shows times as times.
"""
from __future__ import annotations

import argparse
import datetime
import json
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from cliff import columns, lister, show

from obsvc.cmd.base import ApiCommand

_WHOLE = ("json", "yaml")

#: What cliff expects of ``take_action``: names of columns, and rows of cells, or one row.
Listed = tuple[Sequence[str], Sequence[Sequence[object]]]
Shown = tuple[Sequence[str], Sequence[object]]


class Instant(columns.FormattableColumn[float | None]):
    """Seconds since the epoch; shown in UTC."""

    def human_readable(self) -> str:
        if self._value is None:
            return ""
        at = datetime.datetime.fromtimestamp(self._value, datetime.UTC)
        return at.strftime("%Y-%m-%d %H:%M:%S")


class Brief(columns.FormattableColumn[Any]):
    """None as nothing, objects and lists on one line, numbers with few digits."""

    def human_readable(self) -> str:
        value = self._value
        if value is None:
            return ""
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, float):
            return f"{value:.1f}"
        if isinstance(value, dict):
            return ", ".join(f"{key}={inner if isinstance(inner, str) else json.dumps(inner)}"
                             for key, inner in value.items())
        if isinstance(value, list | tuple):
            return ", ".join(item if isinstance(item, str) else json.dumps(item) for item in value)
        return str(value)


def cell(name: str, value: object) -> columns.FormattableColumn[Any]:
    """A value formatted according to its name."""
    instant = name == "since" or name == "at" or name == "deadline" or name.endswith("_at")
    return Instant(value) if instant and isinstance(value, int | float) else Brief(value)


def fields(thing: object) -> dict[str, Any]:
    """A typed answer as JSON values; an owner as two fields, its name and its incarnation."""
    described: dict[str, Any] = msgspec.to_builtins(thing)
    if "owner" in described:
        owner = described["owner"] or {"name": None, "incarnation": None}
        described |= {"owner": owner["name"], "incarnation": owner["incarnation"]}
    return described


class ApiLister(ApiCommand, lister.Lister):
    """A list; ``columns`` are the fields that a table shows."""

    columns: Sequence[str] = ()

    def listed(self, parsed_args: argparse.Namespace, things: Iterable[object]) -> Listed:
        """The return value that cliff expects of ``take_action``."""
        if parsed_args.formatter in _WHOLE:
            rows = [fields(thing) for thing in things]
            names = tuple(rows[0]) if rows else tuple(self.columns)
        else:
            rows = [fields(thing) | self.more(thing) for thing in things]
            names = tuple(self.columns)
        return names, [[cell(name, row.get(name)) for name in names] for row in rows]

    def more(self, thing: object) -> dict[str, Any]:
        """Further fields for people, derived from the others."""
        return {}


class ApiShow(ApiCommand, show.ShowOne):
    """One thing, every field a row; ``exit_code`` ends the command after it was printed."""

    exit_code = 0

    def shown(self, thing: object) -> Shown:
        """The return value that cliff expects of ``take_action``."""
        described = thing if isinstance(thing, dict) else fields(thing)
        return tuple(described), [cell(name, value) for name, value in described.items()]

    def run(self, parsed_args: argparse.Namespace) -> int:
        return super().run(parsed_args) or self.exit_code

"""Writing configuration files for child processes."""
from __future__ import annotations

import configparser
import os
import pathlib
from collections.abc import Mapping


class _CaseSensitive(configparser.RawConfigParser):
    """Option names stay as they are: oslo.config tells upper from lower case."""

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def write(path: pathlib.Path, options: Mapping[str, Mapping[str, object]]) -> pathlib.Path:
    """Write ``{group: {option: value}}`` as an oslo.config file, readable by its owner only; returns ``path``.

    Lists are written comma separated, None is left out.  URLs in it can hold passwords, hence the mode.
    """
    parser = _CaseSensitive(default_section="")
    for group, values in options.items():
        parser[group] = {
            name: ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
            for name, value in values.items()
            if value is not None
        }
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        parser.write(file)
    return path

"""The plugin of docs/plugins.md installed as a third party's package would be: a module and its entry point."""
from __future__ import annotations

import configparser
import os
import pathlib
import re
import tomllib

PAGE = pathlib.Path(__file__).parents[3] / "docs" / "plugins.md"


def source(language: str) -> str:
    """The page's one example in this language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return found


def installed(folder: pathlib.Path) -> dict[str, str]:
    """Put the package into ``folder`` as an installer leaves it; the environment in which Python finds it."""
    project = tomllib.loads(source("toml"))["project"]
    (folder / "example_notes.py").write_text(source("python"))
    information = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = configparser.ConfigParser(delimiters=("=",))
    points.optionxform = str
    points.read_dict(project["entry-points"])
    with (information / "entry_points.txt").open("w") as file:
        points.write(file)
    path = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(path)}

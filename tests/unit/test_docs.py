"""What the README and the docs say exists: links, and every ``obsvc`` command with its options."""
import argparse
import pathlib
import re
import shlex

import pytest

from obsvc.cmd.main import ObsvcApp

ROOT = pathlib.Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def _commands() -> list[tuple[str, str]]:
    """Every line of a code block, and every inline code, that begins with ``obsvc``."""
    found = []
    for page in PAGES:
        text = page.read_text()
        blocks = "\n".join(re.findall(r"^```[a-z]*\n(.*?)^```", text, re.M | re.S)).replace("\\\n", " ")
        inline = re.findall(r"(?<!`)`(obsvc [a-z][^`]*)`", text)
        lines = [line.strip().removeprefix("$ ") for line in blocks.splitlines()] + inline
        found += [(page.name, line) for line in lines if line.startswith("obsvc ") and "|" not in line]
    return found


@pytest.mark.parametrize(("page", "line"), _commands())
def test_every_command_in_the_docs_is_one(page, line):
    app = ObsvcApp()
    words = shlex.split(re.sub(r"<[^>]*>|\bNAME\b|…", "1", line), comments=True)[1:]
    options, rest = app.parser.parse_known_args(words)
    factory, name, rest = app.command_manager.find_command(rest)
    parser = factory(app, options).get_parser(f"obsvc {name}")
    if any(word.startswith("-") for word in rest) or "<" in line:
        _parse(parser, rest)


def _parse(parser: argparse.ArgumentParser, words: list[str]) -> None:
    def refuse(message: str) -> None:
        raise AssertionError(f"{parser.prog} {' '.join(words)}: {message}")

    parser.error = refuse
    parser.parse_args(words)


def test_the_docs_were_searched():
    assert len(_commands()) > 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_modules_named_in_the_layout_exist():
    text = (ROOT / "docs" / "development.md").read_text()
    for path in re.findall(r"`(obsvc/[a-z_/.]+)`", text):
        assert (ROOT / path).exists(), path

"""Whether what a text refers to exists: links, files, names in files, Sphinx roles, sections of a document.

Each function takes a text and answers what in it leads nowhere, as readable strings; none reads the text itself from a
file, so that a test can plant a fault.
"""
from __future__ import annotations

import ast
import functools
import importlib
import pathlib
import re
import subprocess
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

#: The folders of the repository that a path in a text may begin with.
FOLDERS = "obsvc|tests|docs|etc|benchmarks|tools"

#: Endings of the files that are looked for.
_ENDINGS = "py|md|yaml|toml|conf|sample|service|txt|json|jsonl|gz|cfg|htpasswd"

_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_TOCTREE = re.compile(r"^```\{toctree\}\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(<?([^)\s>]+)>?\)")
_PATH = re.compile(rf"(?<![\w/.@-])((?:{FOLDERS})/[\w./*{{}},-]*\.(?:{_ENDINGS}))(?![\w/])((?:::\w+(?:\.\w+)*)?)")
_FOLDER = re.compile(rf"`((?:{FOLDERS})/(?:[\w.-]+/)*)`")
_MODULE_FILE = re.compile(r"`([\w./]+\.py)`")
_COMMENT = re.compile(r"(?:^\s*|\s{2})#+:?\s?(.*)")
_ROLE = re.compile(r":(?:class|func|meth|mod|data|attr|exc|const):`~?([\w.]+)`")
_DOTTED = re.compile(r"(?<![\w.@/-])(obsvc(?:\.\w+)+)")
_NOT_HERE = re.compile(r"\b(?:DESIGN|BASELINES|REVIEW)\b(?: \d)?")
_INVARIANT = re.compile(r"(?<![\w\"'/.])I(?:1[0-2]|[1-9])\b(?![\"'])")
_SECTION = re.compile(r"(docs/[\w./-]+\.md)`*,?\s+(?:section\s+)?[\"“]([^\"”]+)[\"”]")

#: What begins as a module of obsvc's would and is none: event types, and the commands' entry points.
NOT_MODULES = re.compile(r"obsvc\.(?:stack|resource|cli)\b")


class Note(NamedTuple):
    """A comment or a docstring: its text, and the line that it begins in."""

    text: str
    line: int


def tracked(root: pathlib.Path) -> frozenset[str]:
    """The files of the repository, by their paths in it; whatever is there where it is no checkout."""
    try:
        listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=root, check=True,
                                capture_output=True, text=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        listed = [str(path.relative_to(root)) for folder in FOLDERS.split("|") for path in (root / folder).rglob("*")]
    return frozenset(name for name in listed if (root / name).is_file())


# -- documents


def headings(text: str) -> list[str]:
    """The headings of a Markdown page, as they stand there without their markup."""
    found = re.findall(r"^#{1,6}\s+(.+?)\s*#*$", _FENCE.sub("", text), re.MULTILINE)
    return [re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "") for heading in found]


def anchors(text: str) -> set[str]:
    """The anchors of a page, as GitHub and MyST make them of its headings."""
    found: set[str] = set()
    for heading in headings(text):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        number = 1
        while (name := slug if number == 1 else f"{slug}-{number - 1}") in found:
            number += 1
        found.add(name)
    return found


def broken_links(text: str, page: pathlib.Path) -> list[str]:
    """Links of a page to a file or an anchor that is not there; those to other sites are not followed."""
    broken = []
    for target in _LINK.findall(_FENCE.sub("", text)):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        if not file.exists():
            broken.append(f"{target}: no such file")
        elif anchor and anchor not in anchors(text if file == page else file.read_text()):
            broken.append(f"{target}: no such section")
    return broken


def pages_linked(text: str) -> list[str]:
    """The Markdown files that a page links to, or has in its table of contents."""
    links = [target.partition("#")[0] for target in _LINK.findall(_FENCE.sub("", text))]
    contents = [f"{name}.md" for toctree in _TOCTREE.findall(text) for name in re.findall(r"^[\w/-]+$", toctree, re.M)]
    return [path for path in links if path.endswith(".md") and "://" not in path] + contents


def missing_sections(text: str, root: pathlib.Path) -> list[str]:
    """Sections that are named in quotes behind a document's path and that it does not have."""
    return [f"{path}: no section {section!r}" for path, section in _SECTION.findall(" ".join(text.split()))
            if (root / path).exists() and section not in headings((root / path).read_text())]


# -- files, and names in them


def missing_files(text: str, root: pathlib.Path, files: frozenset[str]) -> list[str]:
    """Paths that lead to no file, and ``path::name`` whose file has no such name."""
    missing = [f"{folder}: no such folder" for folder in _FOLDER.findall(text)
               if not any(name.startswith(folder) for name in files)]
    for path, name in _PATH.findall(text):
        if not _is_there(path, files):
            missing.append(f"{path}: no such file")
        elif name and name.removeprefix("::") not in names_in((root / path).read_text()):
            missing.append(f"{path}{name}: no such name")
    return missing


def missing_modules(text: str, files: frozenset[str]) -> list[str]:
    """Python files that a page names in backticks, with as much of their path as it likes, and that are not there."""
    return [f"{name}: no such file" for name in _MODULE_FILE.findall(text)
            if name not in files and not any(file.endswith(f"/{name}") for file in files)]


def _is_there(path: str, files: frozenset[str]) -> bool:
    if not re.search(r"[*{]", path):
        return path in files
    pattern = re.escape(path).replace(r"\*", "[^/]*").replace(r"\{", "(?:").replace(r"\}", ")").replace(",", "|")
    return any(re.fullmatch(pattern, file) for file in files)


@functools.lru_cache(maxsize=512)
def names_in(source: str) -> frozenset[str]:
    """What a Python file defines: functions, classes, their methods and attributes, and module-level names."""
    return frozenset(_names(ast.parse(source).body, ""))


def _names(body: Iterable[ast.stmt], prefix: str) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield prefix + node.name
        if isinstance(node, ast.ClassDef):
            yield from _names(node.body, f"{prefix}{node.name}.")
            for each in ast.walk(node):
                if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name) and each.value.id == "self":
                    yield f"{prefix}{node.name}.{each.attr}"
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets:
            for each in ast.walk(target) if isinstance(target, ast.AST) else ():
                if isinstance(each, ast.Name):
                    yield prefix + each.id


# -- Python sources


def texts_in(source: str) -> list[str]:
    """The literal texts of a Python file; what an f-string has between its braces is left out of it."""
    return [node.value for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def notes_of(source: str) -> list[Note]:
    """The comments and docstrings of a Python file; comments that follow one another are one.

    Comments are found line by line, so that a line of a longer text that looks like one is taken for one, too.
    """
    found: list[Note] = []
    last = -1
    for number, line in enumerate(source.splitlines(), 1):
        comment = _COMMENT.search(line)
        if comment is None:
            continue
        if number == last + 1:
            found[-1] = Note(f"{found[-1].text}\n{comment[1]}", found[-1].line)
        else:
            found.append(Note(comment[1], number))
        last = number
    return found + list(_docstrings(ast.parse(source)))


def _docstrings(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Note]:
    text = ast.get_docstring(node, clean=False)
    if text is not None:
        yield Note(text, node.body[0].lineno)
    for each in node.body:
        if isinstance(each, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _docstrings(each)


def unresolved_roles(note: Note, source: str, module: str) -> list[str]:
    """Sphinx roles of a comment or docstring of ``module`` that name nothing."""
    return [f"{name}: no such object" for name in _ROLE.findall(note.text)
            if not _resolves(name, module, source, note.line)]


def unresolved_names(note: Note) -> list[str]:
    """Dotted names of obsvc's modules, and of what they hold, that name nothing."""
    return [f"{name}: no such object" for name in _DOTTED.findall(note.text)
            if not NOT_MODULES.match(name) and not _absolute(name)]


def _classes_at(source: str, line: int) -> list[str]:
    """The classes whose bodies the line is in, outermost first; of a note on a class, that class too."""
    return [node.name for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.ClassDef) and node.lineno <= line <= (node.end_lineno or node.lineno)]


def _resolves(name: str, module: str, source: str, line: int) -> bool:
    if name.startswith("."):
        package = importlib.import_module(module)
        base = package.__name__ if hasattr(package, "__path__") else module.rpartition(".")[0]
        return _absolute(base + name)
    if _absolute(name):
        return True
    holder = importlib.import_module(module)
    if _has(holder, name):
        return True
    return any(_has(getattr(holder, outer, None), name) for outer in _classes_at(source, line))


@functools.lru_cache(maxsize=4096)
def _absolute(name: str) -> bool:
    """Whether a dotted name leads through a module to an object."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            holder = importlib.import_module(".".join(parts[:length]))
        except ImportError:
            continue
        return length == len(parts) or _has(holder, ".".join(parts[length:]))
    return False


def _has(holder: Any, name: str) -> bool:
    """Whether ``holder`` has the attribute, or its class sets it in its methods."""
    first, _, rest = name.partition(".")
    if holder is None:
        return False
    if hasattr(holder, first):
        return not rest or _has(getattr(holder, first), rest)
    if isinstance(holder, type) and not rest:
        return any(first in getattr(base, "__annotations__", {}) or first in _set_in(base) for base in holder.__mro__)
    return False


@functools.lru_cache(maxsize=1024)
def _set_in(cls: type) -> frozenset[str]:
    """The attributes that the methods of ``cls`` set on themselves."""
    module = importlib.import_module(cls.__module__)
    file = getattr(module, "__file__", None)
    if not file or not file.endswith(".py"):
        return frozenset()
    prefix = f"{cls.__qualname__}."
    return frozenset(name.removeprefix(prefix) for name in names_in(pathlib.Path(file).read_text())
                     if name.startswith(prefix))


def citations(text: str, page: str) -> list[str]:
    """Citations in ``text``, a part of ``page``, of documents that are not in the repository, and of an invariant by
    its number where the page does not say which document lists them."""
    found = _NOT_HERE.findall(text)
    return found if "docs/design.md" in page else found + _INVARIANT.findall(text)

"""How the tests are laid out: what several share is in tests/support or a conftest, never in another test module."""
from __future__ import annotations

import ast
import pathlib
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).parents[2]
TESTS = ROOT / "tests"

#: Folders of unit tests that are of no package of obsvc: what crosses packages, and the tools beside them.
BESIDE_PACKAGES = {"protocol", "tools"}


def imported(source: str) -> Iterator[str]:
    """Every module that the source imports, and each name that it takes from one, wherever it does so."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module or '.'}.{alias.name}" for alias in node.names)


def of_test_modules(source: str) -> list[str]:
    """What the source imports from test modules."""
    return [name for name in imported(source) if any(
        part.startswith("test_") for part in name.split("."))]


@pytest.mark.parametrize("source", [
    "from tests.unit.api.test_api import House", "from tests.functional import test_ownership",
    "import tests.unit.api.test_api", "def f():\n    from .test_api import House",
])
def test_an_import_of_a_test_module_is_seen(source):
    assert of_test_modules(source)


def test_no_module_imports_a_test_module():
    found = {str(path.relative_to(ROOT)): names
             for folder in (TESTS, ROOT / "benchmarks", ROOT / "tools") for path in sorted(folder.rglob("*.py"))
             if (names := of_test_modules(path.read_text()))}
    assert found == {}, "shared helpers and fixtures belong into tests/support or a conftest.py"


def test_unit_tests_lie_as_the_packages_do():
    def packages(folder: pathlib.Path) -> set[str]:
        return {str(path.parent.relative_to(folder)) for path in folder.rglob("__init__.py")} - {"."}

    assert packages(TESTS / "unit") - BESIDE_PACKAGES <= packages(ROOT / "obsvc")

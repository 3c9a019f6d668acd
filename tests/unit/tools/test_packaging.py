"""What the wheel is to have is there: every pattern in pyproject.toml matches, and the demo finds its template."""
import pathlib
import tomllib
from importlib import resources

import obsvc

ROOT = pathlib.Path(__file__).parents[3]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


def test_every_pattern_of_package_data_matches_a_file():
    patterns = SETUPTOOLS["package-data"]["obsvc"]
    assert patterns and all(list((ROOT / "obsvc").glob(pattern)) for pattern in patterns)


def test_every_file_of_the_packages_that_is_no_module_is_package_data():
    packaged = {path for pattern in SETUPTOOLS["package-data"]["obsvc"] for path in (ROOT / "obsvc").glob(pattern)}
    packages = {path.parent for path in (ROOT / "obsvc").rglob("__init__.py")}
    for path in (ROOT / "obsvc").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts and not (
                path.suffix == ".py" and path.parent in packages):
            assert path in packaged, f"{path} would not be in the wheel"


def test_operators_files_are_installed_from_etc():
    for patterns in SETUPTOOLS["data-files"].values():
        assert all(list(ROOT.glob(pattern)) for pattern in patterns)
    installed = {path for patterns in SETUPTOOLS["data-files"].values() for pattern in patterns
                 for path in ROOT.glob(pattern)}
    assert {path for path in (ROOT / "etc").rglob("*") if path.is_file()} == installed


def test_the_demos_template_is_that_of_the_examples():
    text = resources.files("obsvc.cmd").joinpath("data/tiers.yaml").read_text()
    assert text == (ROOT / "etc/examples/tiers.yaml").read_text() and text.startswith("heat_template_version")


def test_the_version_is_in_one_place():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "version" not in project and project["dynamic"] == ["version"]
    assert SETUPTOOLS["dynamic"]["version"] == {"attr": "obsvc.__version__"} and obsvc.__version__

"""What the command says of itself, and what the documents say of it: both are true."""
from __future__ import annotations

import configparser
import importlib.metadata
import pathlib
import re

import pytest
from prometheus_client.metrics import MetricWrapperBase

from obsvc import conf as obsvc_conf
from obsvc import metrics
from obsvc.api import policy
from obsvc.conf.buses import bus_groups

COMMANDS = {each.name.replace("_", " "): each for each in importlib.metadata.entry_points(group="obsvc.cli")}
ROOT = pathlib.Path(__file__).parents[3]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_explains_itself_and_each_of_its_options(name):
    command = COMMANDS[name].load()(None, None)
    first, _, rest = command.get_description().partition("\n")
    assert first.endswith("."), "cliff sets the first line and the rest in one paragraph"
    unexplained = [action.dest for action in command.get_parser(name)._actions if not action.help]
    assert unexplained == []


def _code(document: pathlib.Path) -> str:
    """What stands in fences, indented, or between backticks."""
    text = document.read_text()
    fenced = re.findall(r"^```.*?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", text)
    return "\n".join([*fenced, *re.findall(r"^ {4}(.*)", text, re.MULTILINE), *inline])


def _missing(pattern: str, known: set[str]) -> list[str]:
    """What the code in the documents names by ``pattern`` and the code of obsvc does not have."""
    return [f"{document.name}: {found}" for document in DOCUMENTS
            for found in re.findall(pattern, _code(document), re.MULTILINE) if found not in known]


def test_the_commands_of_the_documents_are_there():
    groups = {name.split(" ")[0] for name in COMMANDS if " " in name}
    begin = r"^ *(?:sudo )?obsvc (?:--config-file \S+ )?"
    assert _missing(rf"{begin}((?:{'|'.join(sorted(groups))}) [a-z]+)", set(COMMANDS)) == []
    assert _missing(rf"{begin}([a-z][a-z-]*)", {*groups, *(name for name in COMMANDS if " " not in name)}) == []


def test_the_metrics_of_the_documents_are_there():
    made = [each for each in vars(metrics).values() if isinstance(each, MetricWrapperBase)]
    known = {family.name + end for each in made for family in each.describe() for end in ("", "_total")}
    assert _missing(r"\b(obsvc_(?!marker)[a-z_]+)\b", known) == []


def test_the_options_of_the_documents_are_there():
    known = {f"[{group}] {option.dest}" for group, options in obsvc_conf.list_opts() for option in options}
    assert _missing(r"(\[(?!bus:)[a-z_]+\] [a-z_]+)", known) == []


def test_the_requests_of_the_documents_are_there():
    known = {f"{operation['method']} {re.sub(r'{[a-z_]+}', '*', operation['path'])}"
             for rule in policy.list_rules() for operation in getattr(rule, "operations", ())}
    asked = [(document.name, method, path) for document in DOCUMENTS if document.name != "simcloud.md"
             for method, path in re.findall(r"\b(GET|POST|PUT|DELETE) +(/v1/[^\s?`]+)", _code(document))]
    # What stands for a name: <id>, {id}, a made-up one.
    wrong = [each for each in asked if not any(
        re.fullmatch(shape.replace("*", "[^/]+"), f"{each[1]} {each[2]}") for shape in known)]
    assert wrong == []


def test_the_example_of_a_configuration_sets_options_that_there_are():
    path = ROOT / "etc/examples/obsvc.conf"
    conf = obsvc_conf.load([], config_files=[str(path)])
    known = {group or "DEFAULT": {option.dest for option in options} for group, options in obsvc_conf.list_opts()}
    known["cloud"] |= {option.dest for _, options in obsvc_conf.list_keystoneauth_opts() for option in options}
    written = configparser.ConfigParser(interpolation=None)
    written.read(path)
    for group in set(written.sections()) - {"keystone_authtoken"}:
        kind = "bus:name" if group.startswith("bus:") else group
        assert set(written[group]) <= known[kind], group
    assert set(bus_groups(conf)) == {"cell0", "services"}
    assert bus_groups(conf)["cell0"].queue_type == "quorum"

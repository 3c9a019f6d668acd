"""What the README and the docs say exists: links, every ``obsvc`` command with its options, metrics, configuration
options, requests of the API, and what the example of a configuration sets.  And what any file of the repository refers
to: documents and their sections, files, names in files, modules and what they hold."""
import argparse
import configparser
import pathlib
import re
import shlex
from collections.abc import Callable

import pytest
from prometheus_client.metrics import MetricWrapperBase

from obsvc import conf as obsvc_conf
from obsvc import metrics
from obsvc.api.access import policy
from obsvc.cmd.main import ObsvcApp
from obsvc.conf.buses import bus_groups
from tests.support import references

ROOT = pathlib.Path(__file__).parents[2]
FILES = references.tracked(ROOT)
PAGES = [ROOT / name for name in sorted(FILES) if re.fullmatch(r"[^/]+\.md|docs/.+\.md", name)]
SOURCES = sorted(name for name in FILES if name.endswith(".py"))

#: Ends of files whose whole text is read for paths: options, units, recipes.
PLAIN = (".yaml", ".toml", ".conf", ".sample", ".service", ".ini", ".cfg", ".in", "Makefile", ".sh", ".mako", ".txt")


def _code(page: pathlib.Path) -> str:
    """What stands in fences, indented, or between backticks."""
    text = page.read_text()
    fenced = re.findall(r"^```.*?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", text)
    return "\n".join([*fenced, *re.findall(r"^ {4}(.*)", text, re.MULTILINE), *inline])


def _commands() -> list[tuple[str, str]]:
    """Every line of code that begins with ``obsvc``."""
    found = []
    for page in PAGES:
        lines = [line.strip().removeprefix("$ ") for line in _code(page).replace("\\\n", " ").splitlines()]
        found += [(page.name, line) for line in dict.fromkeys(lines)
                  if re.match("obsvc [a-z-]", line) and "|" not in line]
    return found


@pytest.mark.parametrize(("page", "line"), _commands())
def test_every_command_in_the_docs_is_one(page, line):
    app = ObsvcApp()
    words = shlex.split(re.sub(r"<[^>]*>|\bNAME\b|…", "1", line), comments=True)[1:]
    try:
        options, rest = app.parser.parse_known_args(words)
    except SystemExit as ended:  # --version, --help
        assert not ended.code
        return
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


def _name(page: pathlib.Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page):
    assert references.broken_links(page.read_text(), page) == []


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_what_a_page_names_is_there(page):
    text = page.read_text()
    assert references.missing_files(text, ROOT, FILES) == []
    assert references.missing_modules(text, FILES) == []
    assert references.missing_sections(text, ROOT) == []
    assert references.unresolved_names(references.Note(text, 1)) == []


def test_every_page_is_reached_from_the_front_pages():
    reached, waiting = set(), [ROOT / "README.md", ROOT / "docs" / "index.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached and page.exists():
            reached.add(page)
            waiting += [(page.parent / target).resolve() for target in references.pages_linked(page.read_text())]
    assert [_name(page) for page in PAGES if page.parent != ROOT and page not in reached] == []


def test_no_class_has_a_name_that_the_glossary_calls_earlier():
    rows = (ROOT / "docs" / "glossary.md").read_text().splitlines()
    earlier = {name for row in rows if row.startswith("| ") and not row.startswith("| ---")
               for name in re.findall(r"`([A-Z_]\w+)`", row.rstrip("| ").rpartition(" | ")[2])}
    assert len(earlier) > 20
    assert [f"{name}: {known}" for name in SOURCES if name.startswith("obsvc/")
            for known in references.names_in((ROOT / name).read_text()) & earlier] == []


def test_the_layout_names_every_package_and_room():
    layout = (ROOT / "docs" / "development.md").read_text()
    folders = {name.removesuffix("__init__.py") for name in FILES
               if re.fullmatch(r"obsvc/\w+/(\w+/)?__init__\.py", name)}
    modules = {name for name in FILES if re.fullmatch(r"obsvc/[a-z]\w*\.py", name)}
    assert sorted(name for name in folders | modules if f"`{name}`" not in layout) == []


def test_the_log_lines_of_the_documents_are_written():
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    table = page[page.index("| line | meaning | do |"):]
    texts = [text for name in SOURCES if name.startswith("obsvc/")
             for text in references.texts_in((ROOT / name).read_text())]
    lines = re.findall(r"^\| `(.+?)` \|", table, re.MULTILINE)
    assert len(lines) >= 5
    assert [line for line in lines if not any(_written(line, text) for text in texts)] == []


def _written(line: str, text: str) -> bool:
    """Whether a log's format has the parts of ``line``, in their order; … stands for whatever is between them."""
    return re.search(".*".join(re.escape(part.strip()) for part in line.split("…")), text) is not None


def _in_notes(find: Callable[[references.Note, str, str], list[str]]) -> list[str]:
    """What ``find(note, source, module)`` says of the comments and docstrings of every Python file."""
    said = []
    for name in SOURCES:
        source = (ROOT / name).read_text()
        module = name.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        said += [f"{name}:{note.line}: {text}" for note in references.notes_of(source)
                 for text in find(note, source, module)]
    return said


def test_files_and_sections_that_comments_name_are_there():
    assert _in_notes(lambda note, _source, _module: [
        *references.missing_files(note.text, ROOT, FILES), *references.missing_sections(note.text, ROOT)]) == []


def test_modules_classes_and_functions_that_comments_name_are_there():
    assert _in_notes(lambda note, source, module: [
        *references.unresolved_roles(note, source, module), *references.unresolved_names(note)]) == []


def test_no_comment_cites_a_document_that_is_not_here():
    assert _in_notes(lambda note, source, _module: references.citations(note.text, source)) == []


def test_files_that_options_units_and_recipes_name_are_there():
    said = {name: references.missing_files((ROOT / name).read_text(), ROOT, FILES)
            for name in FILES if name.endswith(PLAIN)}
    assert {name: missing for name, missing in said.items() if missing} == {}


def _missing(pattern: str, known: set[str]) -> list[str]:
    """What the code in the documents names by ``pattern`` and the code of obsvc does not have."""
    return [f"{page.name}: {found}" for page in PAGES
            for found in re.findall(pattern, _code(page), re.MULTILINE) if found not in known]


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
    asked = [(page.name, method, path) for page in PAGES if page.name != "simcloud.md"
             for method, path in re.findall(r"\b(GET|POST|PUT|DELETE) +(/v1/[^\s?`]+)", _code(page))]
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

"""Each check of references finds a fault that is planted, and nothing where there is none."""
import pathlib

import pytest

from tests.support import references
from tests.support.references import Note

ROOT = pathlib.Path(__file__).parents[3]
FILES = references.tracked(ROOT)
HERE = "tests/unit/tools/test_references.py"
PAGE = """# A page

## What `it` says: all
## Twice
## Twice

```
# no heading
[no link](nowhere.md)
```
"""


class Sample:
    """Something to refer to."""

    def __init__(self):
        self.made = 1

    def run(self):
        """Do nothing."""


@pytest.fixture
def page(tmp_path):
    (tmp_path / "other.md").write_text(PAGE)
    (tmp_path / "page.md").write_text("")
    return tmp_path / "page.md"


@pytest.mark.parametrize("target", ["other.md", "other.md#twice", "other.md#twice-1", "other.md#what-it-says-all",
                                    "#here", "https://example.org/none"])
def test_a_link_that_leads_somewhere(page, target):
    assert references.broken_links(f"# Here\n[it]({target})", page) == []


@pytest.mark.parametrize("target", ["none.md", "other.md#twice-2", "other.md#no-heading", "#nowhere"])
def test_a_link_that_leads_nowhere(page, target):
    assert len(references.broken_links(f"# Here\n[it]({target})", page)) == 1


def test_links_in_code_are_none(page):
    assert references.broken_links(PAGE, page) == []


@pytest.mark.parametrize("text", [
    "see obsvc/model.py.", "`docs/design.md`", f"{HERE}::test_a_link_that_leads_nowhere", "obsvc/model.py::Ref.region",
    f"{HERE}::Sample.made", "tests/unit/tools/test_*.py", "`obsvc/engine/`",
    "/etc/obsvc/none.conf",
    "obsvc/0.1 (worker)", "obsvc/catalog/data/{nova,glance}.yaml",
])
def test_a_file_that_is_there(text):
    assert references.missing_files(text, ROOT, FILES) == []


@pytest.mark.parametrize("text", [
    "see obsvc/none.py.", "``docs/none.md``", f"{HERE}::test_none", "obsvc/model.py::Ref.none", "tests/unit/none_*.py",
    "`obsvc/none/`", "etc/obsvc/none.conf", "obsvc/catalog/data/{none,nought}.yaml",
])
def test_a_file_that_is_not(text):
    assert len(references.missing_files(text, ROOT, FILES)) == 1


def test_a_module_by_the_end_of_its_path():
    assert references.missing_modules("`looks/policy.py`, `policy.py` and `none/policy.py`", FILES) == [
        "none/policy.py: no such file"]


def test_a_section():
    text = '``docs/design.md``, "Invariants"; docs/design.md, section "Faults"; docs/design.md, "No such thing"'
    assert references.missing_sections(text, ROOT) == ["docs/design.md: no section 'No such thing'"]


SOURCE = '''"""A module."""
import queue


class Outer:
    """:meth:`run`, :class:`queue.Queue`, :func:`obsvc.model.partition`"""

    def run(self):
        """:attr:`here`"""
        self.here = 1


# :class:`queue.Queue` of
# two lines
'''


def test_comments_and_docstrings_are_found():
    assert [(note.line, note.text) for note in references.notes_of(SOURCE)] == [
        (13, ":class:`queue.Queue` of\ntwo lines"), (1, "A module."),
        (6, ":meth:`run`, :class:`queue.Queue`, :func:`obsvc.model.partition`"), (9, ":attr:`here`")]


MODULE, TEXT = "tests.unit.tools.test_references", pathlib.Path(__file__).read_text()


@pytest.mark.parametrize("role", [":class:`Sample`", ":meth:`Sample.run`", ":func:`~obsvc.model.partition`",
                                  ":class:`~.test_references.Sample`", ":attr:`Sample.made`", ":mod:`obsvc.model`"])
def test_a_role_that_names_something(role):
    assert references.unresolved_roles(Note(role, 1), TEXT, MODULE) == []


@pytest.mark.parametrize("role", [":class:`Simple`", ":meth:`Sample.none`", ":func:`~obsvc.model.none`",
                                  ":class:`~.none.Sample`", ":mod:`obsvc.none`"])
def test_a_role_that_names_nothing(role):
    assert len(references.unresolved_roles(Note(role, 1), TEXT, MODULE)) == 1


def test_a_role_on_a_method_of_the_class_that_it_stands_in():
    line = TEXT[:TEXT.index("Do nothing")].count("\n") + 1
    assert references.unresolved_roles(Note(":meth:`run`", line), TEXT, MODULE) == []
    assert references.unresolved_roles(Note(":meth:`run`", 1), TEXT, MODULE) == ["run: no such object"]


def test_a_dotted_name():
    text = "obsvc.model.Ref of obsvc.model, in obsvc.stack.progress; obsvc.model.Reff, obsvc.clock.Clock"
    assert references.unresolved_names(Note(text, 1)) == [
        "obsvc.model.Reff: no such object", "obsvc.clock.Clock: no such object"]


@pytest.mark.parametrize(("text", "found"), [
    ("as DESIGN 3 has it", ["DESIGN 3"]), ("(BASELINES)", ["BASELINES"]), ("see REVIEW", ["REVIEW"]),
    ("never twice (I7)", ["I7"]), ("I1, I12 of docs/design.md", []),
    ("I1 (docs/design.md) and DESIGN 2", ["DESIGN 2"]), ("I am", []), ("redesigned", []),
    ('findings.expect("I3")', []), ("I13", []),
])
def test_a_citation_of_what_is_not_in_the_repository(text, found):
    assert references.citations(text, text) == found

"""The built-in engine conforms, through the in-process carrier."""
from __future__ import annotations

import pathlib
import re

import pytest

from obsvc.engine.observations import judging, lists
from obsvc.engine.ownership import grants
from obsvc.engine.reports import reporting
from obsvc.engine.service import EngineService
from obsvc.engine.settings import EngineSettings
from obsvc.engine_client import conformance
from obsvc.engine_client.contract import OPERATIONS
from obsvc.engine_client.local import LocalEngine
from obsvc.process.clock import ManualClock
from tests.support.engine_store import new_store


@pytest.fixture(scope="module")
def engine():
    service = EngineService(new_store(
        partitions=16, clock=ManualClock(), settings=EngineSettings(poll_interval=0.01)))
    yield LocalEngine(service)
    service.shutdown()


@pytest.mark.parametrize("check", conformance.CHECKS, ids=lambda check: check.__name__)
def test_conformance(check, engine):
    check(engine)


def test_a_check_that_fails_says_what_was_expected():
    with pytest.raises(conformance.NonConformant, match="the answer: expected 1, got 2"):
        conformance.expect("the answer", 1, 2)


def failing(engine):
    """Names of the checks that do not hold."""
    found = set()
    for check in conformance.CHECKS:
        try:
            check(engine)
        except Exception:  # noqa: BLE001 - an engine without its guards may fail anyhow
            found.add(check.__name__)
    return found


def test_an_engine_with_the_fence_check_of_reports_taken_out_does_not_conform(engine, monkeypatch):
    assert failing(engine) == set()
    monkeypatch.setattr(reporting, "refusal", lambda row, member, generation: None)
    assert failing(engine) == {"a_report_under_an_old_generation_writes_nothing",
                               "a_batch_is_judged_item_by_item_in_order"}


def test_an_engine_with_every_fence_check_taken_out_does_not_conform(engine, monkeypatch):
    for module in (grants, lists):
        monkeypatch.setattr(module, "holds", lambda row, member, generation: True)
    assert failing(engine) >= {
        "a_report_under_an_old_generation_writes_nothing", "a_release_is_compare_and_swap_and_may_be_repeated",
        "a_follower_sees_starts_marks_stops_and_losses", "who_does_not_hold_the_partition_has_no_effect"}


def test_an_engine_that_takes_reports_in_any_order_does_not_conform(engine, monkeypatch):
    monkeypatch.setattr(judging, "order", lambda known, generation, number: 1)
    assert failing(engine)


def test_the_page_for_authors_names_every_operation_but_those_of_stacks():
    page = (pathlib.Path(__file__).parents[3] / "docs" / "engine-client.md").read_text()
    missing = [name for name, operation in OPERATIONS.items()
               if not operation.request.__module__.endswith(".stacks") and f"`{name}`" not in page]
    assert missing == []


def test_the_suite_as_the_page_for_authors_has_it(engine):
    page = (pathlib.Path(__file__).parents[3] / "docs" / "engine-client.md").read_text()
    [code] = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    names: dict = {}
    exec(compile(code, "docs/engine-client.md", "exec"), names)
    [mark] = names["test_conformance"].pytestmark
    for check in mark.args[1]:
        names["test_conformance"](check, engine)
    assert mark.args[1] == conformance.CHECKS

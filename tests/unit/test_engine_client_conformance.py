"""The built-in engine conforms, through the in-process carrier."""
from __future__ import annotations

import pytest

from obsvc.clock import ManualClock
from obsvc.engine.service import EngineService
from obsvc.engine.settings import EngineSettings
from obsvc.engine_client import conformance, conformance_duties
from obsvc.engine_client.local import LocalEngine
from tests.unit.engine_store import new_store


@pytest.fixture(scope="module")
def engine():
    service = EngineService(new_store(partitions=16, clock=ManualClock()), EngineSettings(poll_interval=0.01))
    yield LocalEngine(service)
    service.shutdown()


@pytest.mark.parametrize("check", [*conformance.CHECKS, *conformance_duties.CHECKS], ids=lambda check: check.__name__)
def test_conformance(check, engine):
    check(engine)


def test_a_check_that_fails_says_what_was_expected():
    with pytest.raises(conformance.NonConformant, match="the answer: expected 1, got 2"):
        conformance.expect("the answer", 1, 2)

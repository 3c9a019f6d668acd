"""The ownership protocol under an adversary that delays, repeats, loses and reorders (DESIGN 2; I1, I2, I4)."""
from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.unit.model.machine import ProtocolMachine

CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def test_the_protocol_under_an_adversary():
    """The same runs each time; the long test below tries new ones."""
    run_state_machine_as_test(ProtocolMachine, settings=settings(
        max_examples=25, stateful_step_count=40, derandomize=True, deadline=None, suppress_health_check=CHECKS,
    ))


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_protocol_under_an_adversary_for_long():
    run_state_machine_as_test(ProtocolMachine, settings=settings(
        max_examples=2000, stateful_step_count=80, deadline=None, suppress_health_check=CHECKS,
        phases=[Phase.reuse, Phase.generate, Phase.shrink],
    ))

"""The ownership protocol under an adversary that delays, repeats, loses and reorders (I1, I2, I4 of docs/design.md)."""
from __future__ import annotations

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.support.examples import examples
from tests.support.protocol.machine import CHECKS, ProtocolMachine


def test_the_protocol_under_an_adversary():
    """The same runs each time; tests/functional/test_protocol_long.py tries new ones."""
    run_state_machine_as_test(ProtocolMachine, settings=settings(
        max_examples=examples(20, quick=8), stateful_step_count=40, derandomize=True, deadline=None,
        suppress_health_check=CHECKS,
    ))

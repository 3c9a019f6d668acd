"""The ownership protocol under the adversary of tests/unit/protocol for long: new runs, every guard taken out."""
from __future__ import annotations

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.support.protocol.guards import GUARDS, run, taken_out
from tests.support.protocol.machine import CHECKS, ProtocolMachine

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]


def test_the_protocol_under_an_adversary_for_long():
    run_state_machine_as_test(ProtocolMachine, settings=settings(
        max_examples=2000, stateful_step_count=80, deadline=None, suppress_health_check=CHECKS,
        phases=[Phase.reuse, Phase.generate, Phase.shrink],
    ))


@pytest.mark.parametrize("name", sorted(GUARDS))
def test_a_guard_taken_out_is_missed(name):
    with taken_out(name) as guard, pytest.raises(AssertionError, match=guard.breaks):
        run(2000)

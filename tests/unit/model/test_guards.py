"""The machine notices each guard that is taken out; a checker that finds nothing proves nothing."""
from __future__ import annotations

import pytest

from tests.unit.model.guards import GUARDS, run, taken_out

#: Found within this many of the fixed runs; the others need more of them than a unit test may take.
QUICK = 60


@pytest.mark.parametrize("name", sorted(GUARDS))
def test_a_guard_taken_out_is_missed(name):
    with taken_out(name) as guard, pytest.raises(AssertionError, match=guard.breaks):
        run(QUICK)

"""A short chaos run by fixed seeds; ``make chaos`` is the long one.  What was found is in the failure's text."""
from __future__ import annotations

import pytest

from tests.chaos import check, run
from tests.chaos.findings import INVARIANTS
from tests.chaos.history import History

#: Two, so that each half of the list of faults has its turn within 90 seconds.
FAULTS = {1: (1, 2, 4, 6, 8, 9, 13), 2: (3, 5, 7, 10, 11, 12, 14, 15)}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", FAULTS)
def test_no_invariant_breaks(seed, tmp_path):
    path = tmp_path / "history.jsonl"
    run.run(seed, 1.0, path, tmp_path / "run", numbers=FAULTS[seed])
    findings = check.check(History.read(path))
    assert findings.violations == [], findings.as_json()
    looked_at = {name for name in INVARIANTS if findings.facts[name]}
    assert looked_at >= set(INVARIANTS) - {"I9"}, findings.as_json()
    assert len(findings.faults) >= 5, findings.as_json()

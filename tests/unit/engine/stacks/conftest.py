"""What the tests of stacks share."""
from __future__ import annotations

import pytest

from tests.support.stack_rows import StackRows


@pytest.fixture
def rows() -> StackRows:
    rows = StackRows()
    rows.add_stack()
    return rows

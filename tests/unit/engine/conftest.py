"""What the tests of the engine share."""
from __future__ import annotations

import pytest

from tests.support.stack_life import Life


@pytest.fixture
def life():
    return Life()

"""What unit tests of several packages share."""
from __future__ import annotations

import pytest


@pytest.fixture
def api():
    """The public API over a real engine in memory."""
    from tests.support.in_memory_api import InMemoryApi  # what no other test needs to import

    return InMemoryApi()

"""The public API over an engine, for each test anew."""
import pytest

from tests.support.public_api import ApiHarness


@pytest.fixture
def harness():
    return ApiHarness()

"""For every test: how many examples hypothesis tries, bytecode that is kept, and which tests run in one worker."""
from __future__ import annotations

import os
import sys

import pytest
from hypothesis import settings

from tests.support import examples

# No deadline for an example, since no test asserts a time.
settings.register_profile(examples.FULL, deadline=None, print_blob=True)
for _name in (examples.QUICK, examples.CHAOS):
    settings.register_profile(_name, settings.get_profile(examples.FULL))
settings.load_profile(examples.FULL)

# Images set this; then each of the hundreds of processes that tests start, and each worker of pytest, would compile
# everything anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share a fixture of their module run in one worker, so that it is made once.

    The largest groups begin: so does xdist's ``loadgroup``."""
    for item in items:
        if not isinstance(item, pytest.Function) or item.get_closest_marker("xdist_group") is not None:
            continue
        shared = [name for name, definitions in item._fixtureinfo.name2fixturedefs.items()
                  if definitions[-1].scope == "module"]
        if shared:
            parameters = getattr(item, "callspec", None)
            values = [str(parameters.params[name]) for name in shared if parameters and name in parameters.params]
            item.add_marker(pytest.mark.xdist_group("-".join([item.module.__name__, *values])))

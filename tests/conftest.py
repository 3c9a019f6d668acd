"""For every test: how many examples hypothesis tries, and bytecode that is kept."""
from __future__ import annotations

import os
import sys

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

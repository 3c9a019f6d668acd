"""How many examples a long property test tries: fewer in ``make test-unit``, more in ``make chaos``.

A profile of hypothesis says which: ``pytest --hypothesis-profile quick``.  Without the option it is FULL.
"""
from __future__ import annotations

from hypothesis import settings

#: What ``make test`` and CI run.
FULL = "full"
#: What ``make test-unit`` runs.
QUICK = "quick"
#: What ``make chaos`` runs.
CHAOS = "chaos"


def profile() -> str:
    """The name of the profile that is loaded."""
    return settings.get_current_profile_name()


def examples(full: int, *, quick: int, chaos: int | None = None) -> int:
    """How many of the loaded profile; to be asked when a test module is imported, not before."""
    return {QUICK: quick, CHAOS: chaos or full}.get(profile(), full)

"""The guards of the ownership protocol, each to be taken out, so that the machine is seen to miss it.

``python -m tests.support.protocol.guards [NAME ...]`` runs the machine without each and prints what it found.
"""
from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from obsvc.engine.observations import judging
from obsvc.engine.ownership import grants
from obsvc.engine.ownership.grants import Decision, decide
from obsvc.engine.reports import reporting
from tests.support.protocol.machine import ProtocolMachine


@dataclasses.dataclass(frozen=True)
class Guard:
    """A guard, and what stands in its place when it is taken out.  breaks: a piece of what the machine then says."""

    where: Any
    name: str
    without: Callable[..., Any]
    breaks: str


def _decide_by_name(holding: Any, member: Any, *args: Any, **kwargs: Any) -> Any:
    """Any incarnation of the owner's name gets its grant again."""
    if holding.owner is not None and holding.owner.name == member.name:
        return Decision.REPEAT, "repeated"
    return decide(holding, member, *args, **kwargs)


def _decide_unasked(*args: Any, **kwargs: Any) -> Any:
    """A live owner is not asked: who claims gets it."""
    decision, why = decide(*args, **kwargs)
    return (Decision.GRANT, why) if decision is Decision.ASK else (decision, why)


def _decide_anew(*args: Any, **kwargs: Any) -> Any:
    """The same claim sent again is another claim."""
    decision, why = decide(*args, **kwargs)
    return (Decision.GRANT, why) if decision is Decision.REPEAT else (decision, why)


def _held_in_releases(row: Any, member: Any, generation: int) -> bool:
    """Yes to every release; as ever to those who ask beside it (the fence check of reports)."""
    asked_by = sys._getframe(1).f_code.co_name
    return asked_by == "release" or (row.generation == generation and grants.owner_of(row) == member)


def _granted_where(holds: Callable[[Any, Any, int], bool]) -> Callable[..., Any]:
    """A fence check of reports that looks only so far."""
    return lambda row, member, generation: None if holds(row, member, generation) else grants.Refusal.OLD_GENERATION


GUARDS = {
    "the fence check of reports": Guard(reporting, "refusal", lambda *_: None, "I1|I2"),
    "its member": Guard(
        reporting, "refusal", _granted_where(lambda row, member, generation: row.generation == generation), "I1"
    ),
    "its generation": Guard(
        reporting, "refusal", _granted_where(lambda row, member, generation: grants.owner_of(row) == member), "I1"
    ),
    "its incarnation": Guard(
        reporting, "refusal", _granted_where(
            lambda row, member, generation: row.generation == generation and row.owner_name == member.name), "I1",
    ),
    "the order of reports": Guard(judging, "order", lambda *_: 1, "after|sent again"),
    "the repetition of reports": Guard(
        judging, "order", lambda known, generation, sequence:
        1 if (generation, sequence) >= (known.generation, known.sequence) else -1, "sent again|deltas were made",
    ),
    "the compare-and-swap of releases": Guard(grants, "holds", _held_in_releases, "by a request of no owner"),
    "the incarnation in a claim": Guard(grants, "decide", _decide_by_name, "I2"),
    "the id of a claim": Guard(grants, "decide", _decide_anew, "changed by a claim sent again"),
    "the asking of live owners": Guard(grants, "decide", _decide_unasked, "was taken from"),
    "the expiry of owners that are silent": Guard(grants, "is_alive", lambda *_, **__: True, "is silent"),
    "the life of owners": Guard(grants, "is_alive", lambda *_, **__: False, "was taken from"),
}


@contextlib.contextmanager
def taken_out(name: str) -> Iterator[Guard]:
    """The engine without the guard."""
    guard = GUARDS[name]
    with mock.patch.object(guard.where, guard.name, guard.without):
        yield guard


def run(examples: int, *, steps: int = 40, derandomize: bool = True) -> None:
    """The machine until it finds something; raises what it found, as found."""
    run_state_machine_as_test(ProtocolMachine, settings=settings(
        max_examples=examples, stateful_step_count=steps, derandomize=derandomize, deadline=None, database=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck), report_multiple_bugs=False,
    ))


def main(names: list[str]) -> int:
    missed = 0
    for name in names or GUARDS:
        with taken_out(name):
            try:
                run(500)
            except Exception as error:  # noqa: BLE001 - whatever it finds is printed
                print(f"without {name}: {str(error).splitlines()[0]}")
            else:
                missed += 1
                print(f"without {name}: nothing was found")
    return missed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Balance and movement of the assignment as a table: ``python -m obsvc.partitioning.table`` (docs/partitioning.md).

Everything is computed from fixed names, so that the table is the same on every machine; a test compares it.
"""
from __future__ import annotations

import functools
import statistics
import sys
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from obsvc.model import DEFAULT_PARTITIONS
from obsvc.partitioning.assignment import assign

#: Families of names, since one family's luck says little.
FAMILIES = ("obs-{}", "node{:02d}.example.org", "observer-{}-x")

#: Members of which the table has a row.
ROWS = (3, 4, 5, 7, 10, 15, 20, 25, 30, 35, 40, 45, 50)

#: As many members join, one at a time, and about as many leave, spread over all.
CHANGES = 8

HEAD = (
    "| members | most / mean | moved by a join / ideal | moved by a leave / ideal |",
    "| ---: | ---: | ---: | ---: |",
)


class Step(msgspec.Struct, frozen=True):
    """What happens at one size of one family.

    balance: most partitions of one member over the mean.  joined, left: partitions that change hands when one member
    joins, and when one leaves, each as a multiple of the fewest possible (what it gets, or had).
    """

    balance: float
    joined: tuple[float, ...]
    left: tuple[float, ...]


@functools.cache  # each size of ROWS is a part of the last row as well
def step(family: str, size: int, partitions: int = DEFAULT_PARTITIONS) -> Step:
    """``size`` members, and one more or less."""
    names = [family.format(number) for number in range(size + CHANGES)]
    here, further = names[:size], names[size:]
    owners = assign(here, partitions)
    counts = Counter(owners)
    joined = []
    for name in further:
        after = assign([*here, name], partitions)
        joined.append(_moved(owners, after) / after.count(name))
    left = [
        _moved(owners, assign([other for other in here if other != name], partitions)) / counts[name]
        for name in here[::max(1, size // CHANGES)]
    ]
    return Step(max(counts.values()) * size / partitions, tuple(joined), tuple(left))


def render(partitions: int = DEFAULT_PARTITIONS) -> str:
    """The table in Markdown: means over FAMILIES and changes, the worst in brackets; the last row is over 3 to 50."""
    lines = [*HEAD, *(row(size, partitions) for size in ROWS)]
    everything = [step(family, size, partitions) for family in FAMILIES for size in range(3, 51)]
    lines.append(_row("3 to 50", everything))
    return "\n".join(lines) + "\n"


def row(size: int, partitions: int = DEFAULT_PARTITIONS) -> str:
    """The row of one size."""
    return _row(str(size), [step(family, size, partitions) for family in FAMILIES])


def _moved(before: Sequence[str], after: Sequence[str]) -> int:
    return sum(owner != new_owner for owner, new_owner in zip(before, after, strict=True))


def _row(title: str, steps: Sequence[Step]) -> str:
    def cell(values: Iterable[float]) -> str:
        ratios = list(values)
        return f"{statistics.mean(ratios):.2f} ({max(ratios):.2f})"

    columns = [
        (step.balance for step in steps),
        (ratio for step in steps for ratio in step.joined),
        (ratio for step in steps for ratio in step.left),
    ]
    return f"| {title} | " + " | ".join(cell(column) for column in columns) + " |"


if __name__ == "__main__":
    sys.stdout.write(render())

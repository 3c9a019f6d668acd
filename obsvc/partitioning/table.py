"""Balance and movement of the assignment as a table: ``python -m obsvc.partitioning.table`` (docs/partitioning.md).

Everything is computed from fixed names, so that the table is the same on every machine; a test compares it.
"""
from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence

import msgspec

from obsvc.model import DEFAULT_PARTITIONS
from obsvc.partitioning.assignment import assign

#: Families of names, since one family's luck on the ring says little.
FAMILIES = ("obs-{}", "node{:02d}.example.org", "observer-{}-x")

#: Members of which the table has a row.
ROWS = (3, 4, 5, 7, 10, 15, 20, 25, 30, 40, 50)


class Step(msgspec.Struct, frozen=True):
    """One size of one family.

    balance: most partitions of one member over the mean.  joined, left: partitions that change hands when the last
    member joins, and when it leaves, as multiples of the fewest possible (what it gets, or had).
    """

    members: int
    balance: float
    joined: float
    left: float


def steps(family: str, sizes: Sequence[int], partitions: int = DEFAULT_PARTITIONS) -> list[Step]:
    """One Step for each of ``sizes`` (2 or more)."""
    found = []
    for size in sizes:
        names = [family.format(number) for number in range(size)]
        before, after = assign(names[:-1], partitions), assign(names, partitions)
        counts = Counter(after)
        moved = sum(one != other for one, other in zip(before, after, strict=True))
        found.append(
            Step(
                size, max(counts.values()) * size / partitions, moved * size / partitions,
                moved / max(1, counts[names[-1]]),
            )
        )
    return found


def render(partitions: int = DEFAULT_PARTITIONS) -> str:
    """The table in Markdown: means over FAMILIES, the worst in brackets; the last row is over all of 3 to 50."""
    lines = [
        "| members | most / mean | moved by a join / ideal | moved by a leave / ideal |",
        "| ---: | ---: | ---: | ---: |",
    ]
    for size in ROWS:
        lines.append(_row(str(size), [step for family in FAMILIES for step in steps(family, [size], partitions)]))
    everything = [step for family in FAMILIES for step in steps(family, range(3, 51), partitions)]
    lines.append(_row("3 to 50", everything))
    return "\n".join(lines) + "\n"


def _row(title: str, found: Sequence[Step]) -> str:
    def cell(values: Sequence[float]) -> str:
        return f"{sum(values) / len(values):.2f} ({max(values):.2f})"

    columns = [[step.balance for step in found], [step.joined for step in found], [step.left for step in found]]
    return f"| {title} | " + " | ".join(cell(column) for column in columns) + " |"


if __name__ == "__main__":
    sys.stdout.write(render())

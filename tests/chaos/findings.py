"""What a check of a history found: how much it looked at, and what was wrong."""
from __future__ import annotations

import collections
import dataclasses
from typing import Any

#: Violations of one invariant that are shown; the rest are counted.
SHOWN = 10

INVARIANTS = tuple(f"I{number}" for number in range(1, 13))


@dataclasses.dataclass
class Findings:
    """faults: how often each number was injected.  facts: how much each invariant was checked on.  violations: what
    was wrong, as (invariant, sentence).  counts: figures beside them."""

    faults: collections.Counter[int] = dataclasses.field(default_factory=collections.Counter)
    facts: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    violations: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    counts: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)

    def expect(self, invariant: str, what: object, violation: str) -> None:
        """One fact: ``what`` is true, or ``violation`` says what is wrong."""
        self.facts[invariant] += 1
        if not what:
            self.violations.append((invariant, violation))

    def summary(self) -> str:
        """One line for people."""
        kinds = collections.Counter(invariant for invariant, _ in self.violations)
        wrong = ", ".join(f"{name}: {count}" for name, count in sorted(kinds.items())) or "no violations"
        return f"{sum(self.faults.values())} faults, {sum(self.facts.values())} facts, {wrong}"

    def as_json(self) -> dict[str, Any]:
        kinds = collections.Counter(invariant for invariant, _ in self.violations)
        shown = {name: [text for invariant, text in self.violations if invariant == name][:SHOWN] for name in kinds}
        return {
            "faults": {str(number): self.faults[number] for number in range(1, 16)},
            "facts": {name: self.facts[name] for name in INVARIANTS},
            "counts": dict(sorted(self.counts.items())), "violations": dict(kinds), "shown": shown,
        }

"""What all benchmarks share: command line, children, CPU of processes, medians, table and JSON.

Rates on a shared machine move by a factor of two, CPU time per unit by a tenth to a quarter: so variants are run in
turn, round by round, and only ratios of what one run measured are compared.
"""
from __future__ import annotations

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = pathlib.Path(__file__).resolve().parent.parent

#: Seconds that one child may take.
CHILD_BOUND = 900.0

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Ratio:
    """A named comparison: figure ``key`` of ``ours`` through that of ``theirs``; target: what it should not exceed."""

    name: str
    key: str
    ours: str
    theirs: str
    target: float | None = None


@dataclass(frozen=True)
class Goal:
    """A named figure with a target of its own: ``key`` of ``variant``; target: what it should not exceed.

    worst: the maximum over the runs counts, not the median.
    """

    name: str
    key: str
    variant: str
    target: float | None = None
    worst: bool = False


@dataclass
class Results:
    """Figures by variant, one mapping a run, and what is compared."""

    benchmark: str
    ratios: Sequence[Ratio] = ()
    goals: Sequence[Goal] = ()
    runs: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    def add(self, variant: str, figures: Mapping[str, float]) -> None:
        self.runs.setdefault(variant, []).append(dict(figures))

    def median(self, variant: str, key: str) -> float:
        return statistics.median(run[key] for run in self.runs[variant] if key in run)

    def medians(self) -> dict[str, dict[str, float]]:
        return {
            variant: {key: self.median(variant, key) for key in dict.fromkeys(key for run in runs for key in run)}
            for variant, runs in self.runs.items()
        }

    def figures(self) -> dict[str, float]:
        """The same, flat: ``VARIANT: KEY``."""
        return {f"{variant}: {key}": value for variant, medians in self.medians().items()
                for key, value in medians.items()}

    def reached(self) -> dict[str, float]:
        """Each of ``goals``, over the runs in which it was measured."""
        found = {}
        for goal in self.goals:
            values = [run[goal.key] for run in self.runs.get(goal.variant, ()) if goal.key in run]
            if values:
                found[goal.name] = max(values) if goal.worst else statistics.median(values)
        return found

    def compared(self) -> dict[str, float]:
        """The median over the rounds of each comparison; both sides of a round were run one after the other."""
        found = {}
        for ratio in self.ratios:
            pairs = zip(self.runs.get(ratio.ours, ()), self.runs.get(ratio.theirs, ()), strict=False)
            each = [ours[ratio.key] / theirs[ratio.key] for ours, theirs in pairs if theirs[ratio.key]]
            if each:
                found[ratio.name] = statistics.median(each)
        return found

    def as_json(self) -> dict[str, Any]:
        return {
            "benchmark": self.benchmark, "ratios": self.compared(),
            "targets": {one.name: one.target for one in (*self.ratios, *self.goals) if one.target is not None},
            "figures": self.figures() | self.reached(), "runs": self.runs, "notes": self.notes,
        }


def main(name: str, doc: str | None, measure: Callable[[argparse.Namespace], Results], *,
         runs: int = 5, options: Callable[[argparse.ArgumentParser], None] | None = None) -> None:
    """The command line of a benchmark: parse, measure, print."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=(doc or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line of standard output")
    parser.add_argument("--runs", type=int, default=runs, help=f"rounds, medians are taken over them (default {runs})")
    if options is not None:
        options(parser)
    asked = parser.parse_args()
    if asked.runs < 1:
        parser.error(f"--runs: expected at least 1, got {asked.runs}")
    results = measure(asked)
    if asked.json:
        print(json.dumps(results.as_json()), flush=True)
    else:
        show(results)


def show(results: Results) -> None:
    """Two tables: the medians, and the comparisons with their targets."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    medians = results.medians()
    keys = list(dict.fromkeys(key for figures in medians.values() for key in figures))
    table = Table("variant", *keys, title=f"{results.benchmark}: medians")
    for variant, figures in medians.items():
        table.add_row(variant, *(f"{figures[key]:.4g}" if key in figures else "" for key in keys))
    console.print(table)
    compared = results.compared() | results.reached()
    if compared:
        targets = {one.name: one.target for one in (*results.ratios, *results.goals)}
        table = Table("comparison", "value", "target", "", title="compared")
        for name, value in compared.items():
            target = targets[name]
            met = "" if target is None else "met" if value <= target else "MISSED"
            table.add_row(name, f"{value:.3f}", "" if target is None else f"≤ {target}", met)
        console.print(table)
    for key, value in results.notes.items():
        console.print(f"{key}: {value}")


def progress(text: str) -> None:
    """Tell whoever waits what is under way; standard output is for the results."""
    print(text, file=sys.stderr, flush=True)


def child(module: str, *words: object) -> dict[str, Any]:
    """Run ``benchmarks.<module>`` in a process of its own; its last line on standard output is JSON."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", f"benchmarks.{module}", *map(str, words)], cwd=ROOT,
        capture_output=True, text=True, timeout=CHILD_BOUND, check=False,
    )
    if done.returncode:
        raise RuntimeError(f"expected benchmarks.{module} {words} to end well, got {done.returncode}: "
                           f"{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def cpu_of_session(leader: int) -> float:
    """CPU seconds, user and system, of every living process of a server: in the session of ``leader``, or below it
    (PostgreSQL's backends have sessions of their own)."""
    return sum(_cpu(pid) for pid in _session(leader))


def memory_of_session(leader: int) -> int:
    """Resident memory, bytes, of the same processes; what they share counts for each."""
    return sum(int(fields[21]) * _PAGE for pid in _session(leader) if (fields := _stat(pid)))


def _session(leader: int) -> list[int]:
    pids = (int(entry.name) for entry in pathlib.Path("/proc").iterdir() if entry.name.isdigit())
    parents = {pid: int(fields[1]) if int(fields[3]) != leader else leader for pid in pids if (fields := _stat(pid))}

    def belongs(pid: int) -> bool:
        while pid != leader and pid in parents:
            pid = parents[pid]
        return pid == leader

    return [pid for pid in parents if belongs(pid)]


def _cpu(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICK if fields else 0.0


def _stat(pid: int) -> list[str]:
    """/proc/PID/stat after the command (proc(5): from field 3, the state); empty when the process is gone."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return []

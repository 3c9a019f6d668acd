"""Which faults a run injects, when, and into what: a pure function of the seed.

The numbers are those of the list in docs/design.md, "Faults".  Each round of a plan has every wanted number once, in an
order drawn by the seed, so that over some runs none is rare.
"""
from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

NUMBERS = tuple(range(1, 16))

OBSERVERS = ("observer-1", "observer-2", "observer-3")
WORKERS = ("worker-1", "worker-2")
ENGINES = ("engine-1", "engine-2")

#: Points of ``obsvc.process.failpoints`` by the kind of process that comes to them.
POINTS = {
    "observer": ("claim.before", "claim.after", "fetch.before", "fetch.after", "report.before", "report.after",
                 "mark.before", "mark.after", "ack.before", "ack.after"),
    "worker": ("job.leased", "create.before", "create.after", "job.answered"),
    "engine": ("commit.before", "commit.after"),
    "due": ("emit.before", "emit.after"),
}

#: Faults that must move no partition (I9) have the cluster for themselves, from before their begin to after their end.
ALONE = frozenset({(6, "restart"), (6, "wipe"), (14, "restart"), (14, "queues")})

#: Seconds that the faults of a plan are apart, least and most.
APART = (7.0, 11.0)


@dataclass(frozen=True)
class Fault:
    """number: in the list of faults.  target: of a process, or "".  at: seconds after the begin.  seconds: how long.
    detail: what more the variant needs."""

    id: int
    number: int
    variant: str
    target: str
    at: float
    seconds: float
    detail: str = ""

    @property
    def alone(self) -> bool:
        return (self.number, self.variant) in ALONE


def plan(seed: int, seconds: float, numbers: Sequence[int] = NUMBERS, *, only: str = "") -> tuple[Fault, ...]:
    """The faults of a run of ``seconds``.  only: part of the name of the variants wanted, of the one number given."""
    source = random.Random(f"faults/{seed}")
    found: list[Fault] = []
    at = source.uniform(1.0, 3.0)
    while at < seconds:
        for number in source.sample(list(numbers), len(numbers)):
            if at >= seconds:
                break
            fault = _fault(len(found) + 1, number, round(at, 2), source)
            while only not in fault.variant:
                fault = _fault(len(found) + 1, number, round(at, 2), source)
            found.append(fault)
            at += source.uniform(*APART)
    return tuple(found)


def _fault(number_in_plan: int, number: int, at: float, source: random.Random) -> Fault:
    variant, target, detail = _CHOICES[number](source)
    return Fault(number_in_plan, number, variant, target, at, round(source.uniform(4.0, 7.0), 2), detail)


def _kill_at(source: random.Random) -> tuple[str, str, str]:
    kind = source.choices(("observer", "worker", "engine", "due"), (5, 3, 1, 1))[0]
    target = {"observer": OBSERVERS, "worker": WORKERS}.get(kind, ENGINES)
    return "kill", source.choice(target), source.choice(POINTS[kind])


def _cut(source: random.Random) -> tuple[str, str, str]:
    how = source.choice(("dropped", "refused", "deaf", "mute", "flaky"))
    roll = source.random()
    if roll < 0.3:  # what is owed must outlive the observer
        return f"dropped-then-{source.choice(('kill', 'stop', 'sleep'))}", source.choice(OBSERVERS), "cloud"
    if roll < 0.45:
        return how, source.choice(ENGINES), "database"
    if roll < 0.55:
        return how, source.choice(WORKERS), source.choice(("engine", "cloud"))
    return how, source.choice(OBSERVERS), source.choice(("etcd", "engine", "bus", "cloud"))


_CHOICES = {
    1: _kill_at,
    2: lambda source: ("sleep", source.choice(OBSERVERS), "report.before"),
    3: lambda source: (source.choice(("stop", "stop", "rolling", "scale")),
                       source.choice((*OBSERVERS, *OBSERVERS, *ENGINES, *WORKERS)), ""),
    4: _cut,
    5: lambda source: (source.choice(("slow", "lossy")), source.choice(OBSERVERS),
                       source.choice(("etcd", "engine", "bus", "cloud"))),
    6: lambda source: (source.choice(("restart", "wipe")), "", ""),
    7: lambda source: (source.choice(("deaf", "mute", "busy", "fenced")), source.choice(OBSERVERS), "engine"),
    8: lambda source: ("jump", source.choice(OBSERVERS), str(source.choice((-3600, -90, 45, 600, 86400)))),
    9: lambda source: ("double", source.choice(OBSERVERS[1:]), ""),
    10: lambda source: ("old", "observer-old", ""),
    11: lambda source: ("flap", source.choice(OBSERVERS), ""),
    12: lambda source: (source.choice(("mixed", "garbage", "late", "lost")), "", ""),
    13: lambda source: ("replay", "", ""),
    14: lambda source: (source.choice(("restart", "queues")), "", ""),
    15: lambda source: (source.choice(("restart", "deadlock", "terminate")), "", ""),
}

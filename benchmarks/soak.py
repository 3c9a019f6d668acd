"""A long steady load on a whole deployment: does memory stay, does the backlog go, is anything lost?

``python -m benchmarks.soak --minutes 10`` starts RabbitMQ, etcd, PostgreSQL, a simulated cloud, an engine and three
observers; publishes 300 real-format notifications a second (captured ones of nova in both families, ids put in),
a quarter of them about observed servers, some of which really change; samples the memory of every process and the
backlog; and at the end compares every observed server with the cloud.

Exit code 1 when a process grew by 5 % or more after the warm-up (a fifth of the time), or ended, or logged a
traceback; when the load was not held; when the backlog did not go at once; when an observer took fewer notifications
than were published, or heard of a gap; when a server's state is missing.
"""
from __future__ import annotations

import argparse
import contextlib
import json
import pathlib
import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.deployed import Stage, left_over, observing, taken
from benchmarks.harness import cpu_of_session, memory_of_session, progress
from benchmarks.traffic import Bus, Traffic
from tests.support.processes.deployment import Deployment
from tests.support.processes.servers import wait_until
from tests.support.processes.watching import Watching

#: Largest growth of a process's memory after the warm-up, and the warm-up as a share of the whole.
GROWTH = 0.05
WARM_UP = 0.2

#: Share of the time at whose beginning (after the warm-up) and end memory is looked at: the median of its samples.
SPAN = 0.1

#: Seconds between two samples of memory, and of the backlog.
SAMPLE = 2.0
BACKLOG_SAMPLE = 10.0

#: Share of the notifications about observed servers that follow a real change.
CHANGED = 0.05

#: Share of the asked rate that must have come about.
HELD = 0.98

#: Seconds after the last notification in which the backlog must be gone: a look that coalesces (1 s), one that
#: settles (1 s), and a busy machine.  And for how long it is waited for, to tell what is left.
BACKLOG_GONE = 15.0
BACKLOG_BOUND = 120.0

#: Seconds for the engine to know all that happened.
KNOWN_BOUND = 60.0

OPTIONS = {"observer": {"poll_initial": 15, "poll_max": 300, "mark_after": 10}, "cloud": {"requests_per_second": 200}}


class Load:
    """Publishes what a cloud would; counts what it published, and the real changes."""

    def __init__(self, bus: Bus, watching: Watching, observed: list[str], share: float) -> None:
        self._bus = bus
        self._watching = watching
        self._traffic = Traffic(observed, share)
        self._random = random.Random(2)
        self.published = self.changes = 0

    def one(self) -> None:
        routing_key, body, about = self._traffic.next()
        if about is not None and self._random.random() < CHANGED:
            self._watching.change([about], notify=False)
            self.changes += 1
        self._bus.publish(routing_key, body)
        self.published += 1


class Samples:
    """Memory and CPU of every process of the deployment, and the largest backlog, over time."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._pids = {name: process.pid for name, process in deployment.processes.items() if process.running}
        self.memory: dict[str, list[tuple[float, int]]] = {name: [] for name in self._pids}
        self.unsettled = 0.0
        self._cpu_before = {name: cpu_of_session(pid) for name, pid in self._pids.items()}
        self._began = time.monotonic()
        self._backlog_at = 0.0

    def take(self) -> None:
        at = time.monotonic() - self._began
        for name, pid in self._pids.items():
            self.memory[name].append((at, memory_of_session(pid)))
        if at >= self._backlog_at:
            self._backlog_at = at + BACKLOG_SAMPLE
            self.unsettled = max(self.unsettled, self._deployment.gauge("observer", "obsvc_unsettled_deliveries"))

    def cpu(self) -> dict[str, float]:
        return {name: cpu_of_session(pid) - self._cpu_before[name] for name, pid in self._pids.items()}


def growth(samples: list[tuple[float, int]], seconds: float) -> tuple[float, float, float]:
    """MB after the warm-up, MB at the end, growth; samples: (seconds since the beginning, bytes).

    A process that ended has none; that is another fault than growth."""
    first = _median(samples, WARM_UP * seconds, (WARM_UP + SPAN) * seconds)
    last = _median(samples, (1 - SPAN) * seconds, seconds + SAMPLE)
    return first / 1e6, last / 1e6, last / first - 1 if first else 0.0


def _median(samples: list[tuple[float, int]], since: float, until: float) -> float:
    """Of the samples in that time; where it has none, of the one that is nearest."""
    within = [memory for at, memory in samples if since <= at <= until]
    return statistics.median(within or [min(samples, key=lambda sample: abs(sample[0] - since))[1]])


def drive(load: Load, samples: Samples, *, rate: float, seconds: float) -> float:
    """Publish at ``rate`` for ``seconds``; the rate that came about."""
    began = time.monotonic()
    sampled = 0.0
    while (elapsed := time.monotonic() - began) < seconds:
        if elapsed >= sampled:
            samples.take()
            sampled += SAMPLE
        if load.published < rate * elapsed:
            load.one()
        else:
            time.sleep(0.002)
    samples.take()
    return load.published / (time.monotonic() - began)


def seconds_until(condition: Callable[[], object], bound: float) -> float | None:
    """Seconds until it came about; None when it did not within ``bound`` seconds."""
    began = time.monotonic()
    with contextlib.suppress(AssertionError):
        wait_until(condition, bound=bound, what="")
        return time.monotonic() - began
    return None


def soak(deployment: Deployment, asked: argparse.Namespace) -> dict[str, Any]:
    watching, servers = observing(deployment, asked.servers)
    before, looks = taken(deployment), watching.looks()
    samples, seconds = Samples(deployment), asked.minutes * 60
    progress(f"{asked.rate:.0f} notifications/s for {seconds:.0f} s begin now")
    with Bus(deployment.bus) as bus:
        load = Load(bus, watching, servers, asked.share)
        rate = drive(load, samples, rate=asked.rate, seconds=seconds)
    gone = seconds_until(lambda: not left_over(deployment), BACKLOG_BOUND)
    cpu = samples.cpu()
    seconds_until(lambda: not watching.missing(), KNOWN_BOUND)
    took = {name: count - before[name] for name, count in taken(deployment).items()}
    return {
        "asked_rate": asked.rate, "seconds": seconds, "rate": rate, "published": load.published,
        "real_changes": load.changes, "fetches": watching.looks() - looks,
        "most_unsettled": samples.unsettled, "backlog_gone_after": gone, "left_over": left_over(deployment),
        "taken": {name: took.get(name, 0) for name in before},
        "missing": watching.missing(),
        "memory": {name: growth(taken_at, seconds) for name, taken_at in samples.memory.items()},
        "cpu_us_per_notification": {name: spent / load.published * 1e6 for name, spent in cpu.items()},
        "cpu_us_per_delivery": sum(cpu[name] for name in before) / max(sum(took.values()), 1) * 1e6,
        "gaps": deployment.count("observer", "obsvc_bus_gaps_total"),
        "dead_letters": deployment.count("observer", "obsvc_dead_letters_total"),
        "ended": [name for name in samples.memory if not deployment.processes[name].running],
        "tracebacks": {name: count for name, process in deployment.processes.items()
                       if (count := process.output().count("Traceback (most recent"))},
    }


def faults(found: Mapping[str, Any]) -> list[str]:
    """What the soak has shown to be wrong."""
    wrong = [f"{name} ended" for name in found["ended"]]
    wrong += [f"{name} grew by {grown:.1%} from {first:.1f} MB" for name, (first, _, grown) in found["memory"].items()
              if grown >= GROWTH]
    wrong += [f"{name} took {count} of {found['published']} notifications" for name, count in found["taken"].items()
              if count < found["published"]]
    if found["rate"] < HELD * found["asked_rate"]:
        wrong.append(f"only {found['rate']:.0f} notifications/s were published")
    if found["left_over"]:
        wrong.append(f"left over: {found['left_over']}")
    elif found["backlog_gone_after"] is None or found["backlog_gone_after"] > BACKLOG_GONE:
        wrong.append(f"the backlog was gone only after {found['backlog_gone_after']} s")
    if found["missing"]:
        wrong.append(f"{len(found['missing'])} observed servers are not as in the cloud: {found['missing'][:5]}")
    if found["gaps"] or found["dead_letters"]:
        wrong.append(f"{found['gaps']} gaps, {found['dead_letters']} dead letters")
    wrong += [f"{name} logged {count} tracebacks" for name, count in found["tracebacks"].items()]
    return wrong


def figures(found: Mapping[str, Any]) -> dict[str, float]:
    """The numbers, by name."""
    each = {name: float(found[name]) for name in ("rate", "published", "real_changes", "fetches", "most_unsettled",
                                                  "cpu_us_per_delivery", "gaps", "dead_letters")}
    if found["backlog_gone_after"] is not None:
        each["backlog_gone_after"] = found["backlog_gone_after"]
    for name, (first, last, grown) in found["memory"].items():
        each |= {f"{name}: MB warm": first, f"{name}: MB end": last, f"{name}: growth": grown,
                 f"{name}: cpu_us_per_notification": found["cpu_us_per_notification"][name]}
    return each


def show(found: Mapping[str, Any]) -> None:
    gone = found["backlog_gone_after"]
    print(f"{found['published']} notifications in {found['seconds']:.0f} s ({found['rate']:.0f}/s), each to "
          f"{len(found['taken'])} observers; {found['real_changes']} real changes, {found['fetches']} fetches; at most "
          f"{found['most_unsettled']:.0f} unsettled at once, "
          f"{'backlog never 0' if gone is None else f'backlog 0 after {gone:.1f} s more'}; "
          f"{found['cpu_us_per_delivery']:.0f} us of observers' CPU a delivery")
    print(f"{'process':14}{'MB warm':>10}{'MB end':>10}{'growth':>9}{'us CPU/notification':>21}")
    for name, (first, last, grown) in found["memory"].items():
        print(f"{name:14}{first:10.1f}{last:10.1f}{grown:9.1%}{found['cpu_us_per_notification'][name]:21.0f}")


def parse(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=300.0, help="notifications a second (default: %(default)s)")
    parser.add_argument("--observers", type=int, default=3)
    parser.add_argument("--servers", type=int, default=300, help="observed (default: %(default)s)")
    parser.add_argument("--share", type=float, default=0.25, help="of notifications about those (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="one JSON object last on standard output")
    return parser.parse_args(words)


def main() -> int:
    asked = parse()
    with Stage() as stage, stage.deployed(observers=asked.observers, options=OPTIONS) as deployment:
        found = soak(deployment, asked)
        keep_logs(deployment, found["tracebacks"])
    show(found)
    wrong = faults(found)
    print("\n".join(["not as it should be:", *wrong]) if wrong else "memory steady, nothing lost, nothing left over")
    if asked.json:
        print(json.dumps({"benchmark": "soak", "ratios": {}, "figures": figures(found), "faults": wrong, **found}))
    return 1 if wrong else 0


def keep_logs(deployment: Deployment, tracebacks: Mapping[str, int]) -> None:
    """The first traceback of each process on standard error: the logs go with the deployment's folder."""
    for name in tracebacks:
        log = pathlib.Path(deployment.processes[name].log).read_text(errors="replace")
        print(f"== {name}\n{log[log.index('Traceback (most recent'):][:3000]}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())

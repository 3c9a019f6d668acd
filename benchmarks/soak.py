"""A long steady load on a whole deployment: does memory stay, does the backlog go, is anything lost?

``python -m benchmarks.soak --minutes 10`` starts RabbitMQ, etcd, PostgreSQL, a simulated cloud, an engine and three
observers; publishes 300 real-format notifications a second (captured ones of nova in both families, ids put in),
a quarter of them about observed servers, some of which really change; samples the memory of every process; and at
the end compares every observed server with the cloud.

Exit code 1 when a process grew by 5 % or more after the warm-up (a fifth of the time), when anything is left in a
queue or unsettled, when an observer took fewer notifications than were published, or when a server's state is missing.
"""
from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import os
import pathlib
import random
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping

from obsvc.messaging import Publisher, topology
from obsvc.simcloud.replay import Message, read_messages
from tests.functional.deployment import Deployment, SimulatedCloud
from tests.functional.listening import connected
from tests.functional.servers import Etcd, PostgreSQL, RabbitMQ, wait_until
from tests.functional.watching import Watching

LIFE = pathlib.Path(__file__).resolve().parents[1] / "tests/data/nova-server-life.jsonl.gz"
LIFE_SERVER = b"57c82a76-704d-41b8-b696-37296903fda4"

#: Largest growth of a process's memory after the warm-up, and the warm-up as a share of the whole.
GROWTH = 0.05
WARM_UP = 0.2

#: Seconds between two samples of memory; each end is the median of several.
SAMPLE = 2.0

#: Share of the notifications about observed servers that follow a real change.
CHANGED = 0.05

_TICK = os.sysconf("SC_CLK_TCK")


def group_figures(leader: int) -> tuple[int, float]:
    """Resident memory in bytes and CPU seconds of the process group ``leader``."""
    memory, cpu = 0, 0.0
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[2]) == leader:
                memory += int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
                cpu += (int(fields[11]) + int(fields[12])) / _TICK
    return memory, cpu


class Load:
    """Publishes what a cloud would: mostly about servers that nobody observes."""

    def __init__(self, url: str, watching: Watching, observed: list[str], share: float) -> None:
        self._publisher = Publisher(url, "nova")
        self._watching = watching
        self._observed = observed
        self._share = share
        self._random = random.Random(1)
        life = read_messages(gzip.open(LIFE, "rt"))
        self._any = life
        # What is told of the observed is true of a server that is active.
        self._active = [each for each in life if each.event_type in ("compute.instance.update", "instance.update")
                        and b'\\"state\\": \\"active\\"' in each.body]
        assert self._active
        self.published = self.changes = 0

    def one(self) -> None:
        if self._random.random() < self._share:
            server_id = self._random.choice(self._observed)
            if self._random.random() < CHANGED:
                self._watching.change([server_id], notify=False)
                self.changes += 1
            self._send(self._random.choice(self._active), server_id)
        else:
            self._send(self._random.choice(self._any), str(uuid.UUID(int=self._random.getrandbits(128))))

    def _send(self, message: Message, server_id: str) -> None:
        self._publisher.publish(message.routing_key, message.body.replace(LIFE_SERVER, server_id.encode()))
        self.published += 1

    def close(self) -> None:
        self._publisher.close()


class Samples:
    """Memory and CPU of every process of the deployment over time."""

    def __init__(self, deployment: Deployment) -> None:
        self._pids = {name: process.pid for name, process in deployment.processes.items()}
        self.memory: dict[str, list[tuple[float, int]]] = {name: [] for name in self._pids}
        self._cpu_before = {name: group_figures(pid)[1] for name, pid in self._pids.items()}
        self._began = time.monotonic()

    def take(self) -> None:
        for name, pid in self._pids.items():
            self.memory[name].append((time.monotonic() - self._began, group_figures(pid)[0]))

    def cpu(self) -> dict[str, float]:
        return {name: group_figures(pid)[1] - self._cpu_before[name] for name, pid in self._pids.items()}

    def growth(self, seconds: float) -> dict[str, tuple[float, float, float]]:
        """By process: MB after the warm-up, MB at the end, growth; each end the median over a tenth of the time."""
        found = {}
        for name, samples in self.memory.items():
            first = _median(samples, WARM_UP * seconds, (WARM_UP + 0.1) * seconds)
            last = _median(samples, 0.9 * seconds, seconds + SAMPLE)
            found[name] = (first / 1e6, last / 1e6, last / first - 1)
        return found


def _median(samples: list[tuple[float, int]], since: float, until: float) -> float:
    return statistics.median(memory for at, memory in samples if since <= at <= until)


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
    return load.published / seconds


def observers(deployment: Deployment) -> list[str]:
    return deployment.of_kind("observer")


def taken(deployment: Deployment) -> dict[str, int]:
    """Notifications that each observer took from the bus."""
    return {name: int(sum(value for sample, value in deployment.metrics(name).items()
                          if sample.startswith("obsvc_notifications_total{"))) for name in observers(deployment)}


def left_over(deployment: Deployment) -> dict[str, float]:
    """What is still under way anywhere; empty when nothing is."""
    with connected(deployment.bus) as connection:
        found = {f"queue of {name}": topology.queue_length(connection, topology.queue_name(name, "cloud"))
                 for name in observers(deployment)}
    for gauge in ("obsvc_unsettled_deliveries", "obsvc_queue_depth", "obsvc_report_backlog"):
        found[gauge] = deployment.gauge("observer", gauge)
    return {what: count for what, count in found.items() if count}


def soak(deployment: Deployment, cloud: SimulatedCloud, options: argparse.Namespace) -> dict:
    watching = Watching(deployment, cloud)
    servers = watching.create_servers(options.servers)
    watching.observe("compute.server", servers)
    watching.wait_built(120)
    watching.wait_nothing_missing(120, "the creation")
    wait_until(lambda: not left_over(deployment), bound=60, what="calm before the load")
    before, looks = taken(deployment), watching.looks()
    load, samples = Load(deployment.bus, watching, servers, options.share), Samples(deployment)
    seconds = options.minutes * 60
    rate = drive(load, samples, rate=options.rate, seconds=seconds)
    ended = time.monotonic()
    wait_until(lambda: not left_over(deployment), bound=120, what="no backlog")
    backlog_gone = time.monotonic() - ended
    cpu = samples.cpu()
    watching.wait_nothing_missing(60, "the soak")
    load.close()
    took = {name: count - before[name] for name, count in taken(deployment).items()}
    return {
        "benchmark": "soak", "ratios": {}, "seconds": seconds, "rate": rate, "published": load.published,
        "real_changes": load.changes, "fetches": watching.looks() - looks, "backlog_gone_after": backlog_gone,
        "lost": {name: load.published - count for name, count in took.items() if count < load.published},
        "memory": samples.growth(seconds),
        "cpu_us_per_notification": {name: spent / load.published * 1e6 for name, spent in cpu.items()},
        "cpu_us_per_delivery": sum(cpu[name] for name in took) / sum(took.values()) * 1e6,
        "gaps": deployment.count("observer", "obsvc_bus_gaps_total"),
        "dead_letters": deployment.count("observer", "obsvc_dead_letters_total"),
    }


def run(folder: pathlib.Path, options: argparse.Namespace) -> dict:
    with RabbitMQ() as broker, Etcd() as etcd, PostgreSQL() as database, contextlib.ExitStack() as stack:
        cloud = SimulatedCloud(folder, broker.url, "--build-time", "1")
        stack.callback(cloud.process.kill)
        cloud.start()
        with Deployment(
            folder, database=database.create_database("soak"), coordination=etcd.tooz_url, bus=broker.url, cloud=cloud,
            observers=options.observers, workers=0, partitions=256,
            options={"observer": {"poll_initial": 15, "poll_max": 300, "mark_after": 10},
                     "cloud": {"requests_per_second": 200}},
        ) as deployment:
            try:
                return soak(deployment, cloud, options)
            except BaseException:
                print(deployment.tail(), file=sys.stderr)
                raise


def faults(found: Mapping) -> list[str]:
    """What the soak has shown to be wrong."""
    wrong = [f"{name} grew by {growth:.1%} from {first:.1f} MB" for name, (first, _, growth) in found["memory"].items()
             if growth >= GROWTH]
    wrong += [f"{name} took {count} fewer than were published" for name, count in found["lost"].items()]
    if found["gaps"] or found["dead_letters"]:
        wrong.append(f"{found['gaps']} gaps, {found['dead_letters']} dead letters")
    return wrong


def show(found: Mapping) -> None:
    print(f"{found['published']} notifications in {found['seconds']:.0f} s ({found['rate']:.0f}/s), each to "
          f"{sum(name.startswith('observer') for name in found['memory'])} observers; {found['real_changes']} real "
          f"changes, {found['fetches']} fetches; backlog 0 after {found['backlog_gone_after']:.1f} s more; "
          f"{found['cpu_us_per_delivery']:.0f} us of observers' CPU a delivery")
    print(f"{'process':14}{'MB warm':>10}{'MB end':>10}{'growth':>9}{'us CPU/notification':>21}")
    for name, (first, last, growth) in found["memory"].items():
        print(f"{name:14}{first:10.1f}{last:10.1f}{growth:9.1%}{found['cpu_us_per_notification'][name]:21.0f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=300.0, help="notifications a second (default: %(default)s)")
    parser.add_argument("--observers", type=int, default=3)
    parser.add_argument("--servers", type=int, default=300, help="observed (default: %(default)s)")
    parser.add_argument("--share", type=float, default=0.25, help="of notifications about those (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="one JSON object last on standard output")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="obsvc-soak-") as folder:
        found = run(pathlib.Path(folder), options)
    show(found)
    wrong = faults(found)
    print("\n".join(["not as it should be:", *wrong]) if wrong else "memory steady, nothing lost, nothing left over")
    if options.json:
        print(json.dumps({**found, "faults": wrong}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

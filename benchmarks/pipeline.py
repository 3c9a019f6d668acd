"""Notifications a second from the broker to the accepted report, and the CPU that each stage spends on one.

A deployment with real RabbitMQ, etcd and PostgreSQL and a simulated cloud: servers are observed, each changes once
without anybody being told, then a burst of recorded notifications is published as fast as the broker takes it, a
part of it about those servers.  The clock stops when the engine has accepted every change and nothing is left
unsettled, unreported or in a queue (so the second for which looks coalesce is in it).
"""
from __future__ import annotations

import argparse
import pathlib
import time

from benchmarks.deployed import Stage, left_over, observing
from benchmarks.harness import Results, cpu_of_session, main, progress
from benchmarks.pipeline_observer import METRIC, STAGES
from benchmarks.traffic import Bus, Traffic
from tests.support.processes.deployment import Deployment
from tests.support.processes.servers import wait_until

OBSERVER = pathlib.Path(__file__).with_name("pipeline_observer.py")

#: Seconds that one burst may take.
BOUND = 300.0

#: No poll falls into the measurement, and the cloud's own budget does not hold the fetches back.
OPTIONS = {"observer": {"poll_initial": 600, "poll_max": 600, "mark_after": 10, "backlog_limit": 100_000},
           "cloud": {"requests_per_second": 10_000}}

WHOLE = "whole"


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--notifications", type=int, default=20_000, help="in one burst (default %(default)s)")
    parser.add_argument("--servers", type=int, default=500, help="observed (default %(default)s)")
    parser.add_argument("--share", type=float, default=0.25, help="of notifications about those (default %(default)s)")
    parser.add_argument("--observers", type=int, default=1, help="(default %(default)s)")


def measure(asked: argparse.Namespace) -> Results:
    results = Results("pipeline", notes={
        "burst": f"{asked.notifications} notifications, {asked.share:.0%} about {asked.servers} observed servers",
        "observers": asked.observers,
    })
    with Stage() as stage:
        for number in range(asked.runs):
            with stage.deployed(observers=asked.observers, options=OPTIONS, program=OBSERVER) as deployment:
                for row, figures in burst(stage, deployment, asked).items():
                    results.add(row, figures)
            progress(f"run {number + 1}: {results.runs[WHOLE][-1]}")
    return results


def burst(stage: Stage, deployment: Deployment, asked: argparse.Namespace) -> dict[str, dict[str, float]]:
    """One measurement: the row of the whole, and one for each stage."""
    watching, servers = observing(deployment, asked.servers)
    traffic = Traffic(servers, asked.share)
    messages = [traffic.next() for _ in range(asked.notifications)]
    changed = {about for _, _, about in messages if about is not None}
    watching.change(changed, notify=False)

    def accepted() -> int:
        return deployment.count("observer", "obsvc_reports_total", verdict="accepted")

    def all_accepted() -> bool:
        return accepted() >= accepted_before + len(changed) and not left_over(deployment)

    accepted_before = accepted()
    reports, looks, spent = reported(deployment), watching.looks(), cpu(stage, deployment)
    began = time.perf_counter()
    with Bus(deployment.bus) as bus:
        for routing_key, body, _ in messages:
            bus.publish(routing_key, body)
    published = time.perf_counter() - began
    wait_until(all_accepted, bound=BOUND, interval=0.2, what="all accepted, and nothing left over")
    seconds = time.perf_counter() - began
    count = len(messages)
    found = {WHOLE: {
        "notifications_per_s": count / seconds, "published_per_s": count / published,
        "looks_per_notification": (watching.looks() - looks) / count,
        "reports_per_notification": (reported(deployment) - reports) / count,
    }}
    for name, after in cpu(stage, deployment).items():
        found[name] = {"cpu_us_per_notification": (after - spent[name]) / count * 1e6}
    found[WHOLE]["cpu_us_per_notification"] = sum(row["cpu_us_per_notification"] for name, row in found.items()
                                                  if name in (*STAGES, "engine"))
    return found


def reported(deployment: Deployment) -> int:
    """Reports judged so far, whatever the verdict."""
    return deployment.count("observer", "obsvc_reports_total")


def cpu(stage: Stage, deployment: Deployment) -> dict[str, float]:
    """CPU seconds so far: by stage of the observers, and of the processes behind them."""
    told = [deployment.metrics(name) for name in deployment.of_kind("observer")]
    found = {each: sum(metrics.get(f'{METRIC}_total{{stage="{each}"}}', 0.0) for metrics in told) for each in STAGES}
    found["engine"] = cpu_of_session(deployment.processes["engine-1"].pid)
    found["database"] = cpu_of_session(stage.database.pid)
    found["broker"] = cpu_of_session(stage.broker.pid)
    found["simulated cloud"] = cpu_of_session(deployment.cloud.process.pid)
    return found


if __name__ == "__main__":
    main("pipeline", __doc__, measure, runs=3, options=options)

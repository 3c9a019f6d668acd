"""``python benchmarks/pipeline_observer.py WORDS``: the command ``obsvc``, whose /metrics tell the CPU of each stage.

A stage is what a thread does, by its name; a fetch thread's time in the fetcher is ``fetch``, the rest of it ``looks``.
"""
from __future__ import annotations

import collections
import contextlib
import functools
import pathlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily

from obsvc.cmd.main import main
from obsvc.observer.fetching.fetcher import Fetcher

METRIC = "bench_stage_cpu_seconds"

LISTEN, LOOKS, FETCH, REPORT, REST = STAGES = (
    "listen, decode, take in", "queue, looks", "fetch", "report", "observer's rest")

_BY_THREAD = {"bus": LISTEN, "fetch": LOOKS, "reporter": REPORT}


class StageCpu:
    """Collects: CPU seconds of every thread that lives now, by stage."""

    def __init__(self) -> None:
        self._fetching = 0.0
        self._lock = threading.Lock()

    def collect(self) -> Iterator[CounterMetricFamily]:
        spent: collections.Counter[str] = collections.Counter()
        for thread in threading.enumerate():
            with contextlib.suppress(OSError, TypeError):  # it ended meanwhile, or has not begun
                spent[_BY_THREAD.get(thread.name.split("-")[0], REST)] += cpu_of_thread(thread.native_id)
        spent[LOOKS] -= self._fetching
        spent[FETCH] = self._fetching
        family = CounterMetricFamily(METRIC, "CPU seconds, by stage", labels=["stage"])
        for stage in STAGES:
            family.add_metric([stage], spent[stage])
        yield family

    def fetching(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, whose CPU is the fetches'."""

        @functools.wraps(function)
        def timed(*args: Any, **named: Any) -> Any:
            began = time.thread_time()
            try:
                return function(*args, **named)
            finally:
                with self._lock:
                    self._fetching += time.thread_time() - began

        return timed


def cpu_of_thread(native_id: int | None) -> float:
    """Seconds; /proc/.../schedstat's first field is nanoseconds on a CPU (Linux, scheduler/sched-stats.rst)."""
    return int(pathlib.Path(f"/proc/self/task/{native_id}/schedstat").read_text().split()[0]) / 1e9


if __name__ == "__main__":
    stages = StageCpu()
    for name in ("fetch", "fetch_many"):
        setattr(Fetcher, name, stages.fetching(getattr(Fetcher, name)))
    REGISTRY.register(stages)
    sys.exit(main())

"""Fetching one server with 32 threads: ours, keystoneauth as it comes, openstacksdk's get_server.

A stub answers each request after 20 ms with a server of 3.6 KB; CPU of the fetching process, a fetch.
"""
from __future__ import annotations

import argparse
import subprocess
import sys

from benchmarks.fetch_variants import VARIANTS
from benchmarks.harness import ROOT, Ratio, Results, child, main, progress

RATIOS = (
    Ratio("CPU per fetch: ours / openstacksdk", "cpu_ms", "obsvc", "openstacksdk", 0.15),
    Ratio("CPU per fetch: ours / keystoneauth default", "cpu_ms", "obsvc", "keystoneauth", 0.8),
)

ANSWER_SECONDS = 0.02


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=3.0, help="seconds a run (default 3)")
    parser.add_argument("--threads", type=int, default=32, help="fetches at once (default 32)")


def measure(asked: argparse.Namespace) -> Results:
    results = Results("fetch", RATIOS, notes={"threads": asked.threads, "answer after": f"{ANSWER_SECONDS} s"})
    with subprocess.Popen([sys.executable, "-m", "benchmarks.stub_server", str(ANSWER_SECONDS)], cwd=ROOT,
                          stdout=subprocess.PIPE, text=True) as stub:
        try:
            assert stub.stdout is not None
            port = int(stub.stdout.readline())
            for number in range(asked.runs):
                for variant in VARIANTS:
                    figures = child("fetch_variants", variant, port, asked.seconds, asked.threads)
                    results.add(variant, figures)
                    progress(f"run {number + 1} {variant}: {figures['cpu_ms']:.3f} ms CPU a fetch")
        finally:
            stub.terminate()
    return results


if __name__ == "__main__":
    main("fetch", __doc__, measure, options=options)

"""``python -m tests.fuzz``: run mutations, print counts by outcome; exit code 1 when anything was found.

In chunks, with a line each on standard error; a run that was ended goes on with ``--first`` at the number it names.
"""
from __future__ import annotations

import argparse
import collections
import json
import os
import pathlib
import sys
import time

from tests.fuzz.corpus import samples
from tests.fuzz.run import Fuzz

#: Messages in a chunk.
CHUNK = 20_000

#: Bytes that the process may have grown by from the first fifth of the run to its end.  The allocator keeps what a
#: body of megabytes needed, wherever in the run that came.
GROWTH = 96 * 1024 * 1024


def resident() -> int:
    """Bytes of this process in memory now (Linux)."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0, help="number to begin with")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    wanted = parser.parse_args()
    began = time.monotonic()
    corpus = samples()
    fuzz = Fuzz(corpus)
    outcomes: collections.Counter[str] = collections.Counter()
    failed, failures, largest, sizes = 0, [], 0, []
    end = wanted.first + wanted.count
    try:
        for first in range(wanted.first, end, CHUNK):
            result = fuzz.run(wanted.seed, first, min(CHUNK, end - first))
            outcomes += result.outcomes
            failed += result.failed
            failures += result.failures[: 20 - len(failures)]
            largest = max(largest, result.largest)
            sizes.append(resident())
            print(f"next --seed {wanted.seed} --first {min(first + CHUNK, end)}: {failed} failures, "
                  f"{sizes[-1] >> 20} MB, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    finally:
        fuzz.close()
    growth = sizes[-1] - sizes[len(sizes) // 5] if sizes else 0
    if growth > GROWTH:
        failed += 1
        failures.append(f"memory grew by {growth >> 20} MB")
    report = {
        "seed": wanted.seed, "first": wanted.first, "count": wanted.count, "samples": len(corpus),
        "largest_body": largest, "seconds": round(time.monotonic() - began, 1),
        "resident_mb": sizes[-1] >> 20 if sizes else 0,
        "growth_mb": growth >> 20, "outcomes": dict(sorted(outcomes.items())), "failed": failed, "failures": failures,
    }
    if wanted.json:
        print(json.dumps(report))
    else:
        for name, value in report.items():
            rows = value.items() if isinstance(value, dict) else ((name, value),)
            print("\n".join(f"{key:32} {what}" for key, what in rows))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""Each benchmark in its smallest size: it runs, and its last line is what docs/benchmarks.md promises."""
from __future__ import annotations

import json
import math
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]

#: Seconds for one, servers and processes started on a busy machine.
BOUND = 240

SIZES = {
    "fetch": "--runs 1 --seconds 0.3 --threads 2",
    "intake": "--runs 1 --messages 2000",
    "pipeline": "--runs 1 --notifications 300 --servers 5",
    "convergence": "--runs 1 --resources 2 --build uniform:0.5,1",
    "ownership": "--runs 1 --observations 500 --databases sqlite",
    "failover": "--modes kill --repetitions 1 --resources 6",
    "engine": "--runs 1 --databases sqlite --observations 500 --nodes 20,40",
    "waiters": "--runs 1 --waiters 30 --watchers 5 --hold 1",
    "soak": "--minutes 0.1 --rate 30 --servers 4 --observers 1",
}

COMPARED = {
    "fetch": {"CPU per fetch: ours / openstacksdk", "CPU per fetch: ours / keystoneauth default"},
    "intake": {"consumer CPU: ours / raw py-amqp", "consumer CPU: ours / kombu naive",
               "consumer CPU: ours / oslo.messaging", "broker CPU: ours / kombu naive"},
    "pipeline": set(),
    "convergence": {"API reads per resource: obsvc / polling", "median delay: obsvc / polling"},
    "ownership": set(),
    "failover": set(),
    "engine": {f"sqlite, batches of {size}: time a report, ours / executemany" for size in (1, 50, 500)},
    "waiters": {"API requests: waiters / pollers", "median delay: waiters / pollers"},
    "soak": set(),
}


def test_all_benchmarks_are_here():
    made = {path.stem for path in (ROOT / "benchmarks").glob("*.py")
            if re.search(r"^def (measure|soak)\(", path.read_text(), re.MULTILINE)}
    assert made == set(SIZES)


@pytest.mark.parametrize("name", [
    "fetch", "intake", "pipeline", "ownership", "engine", "waiters",
    *(pytest.param(name, marks=pytest.mark.long) for name in ("convergence", "failover", "soak")),
])
def test_the_last_line_is_one_json_object_with_numbers_by_name(name):
    done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", "--json", *SIZES[name].split()], cwd=ROOT,
                          capture_output=True, text=True, timeout=BOUND, check=False)
    assert done.stdout, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    # In a few seconds memory still grows to what it will be.
    wrong = [fault for fault in told.get("faults", ()) if " grew by " not in fault]
    assert wrong == [] and (done.returncode == 0 or told.get("faults")), done.stderr[-3000:]
    assert told["benchmark"] == name
    assert set(told["ratios"]) == COMPARED[name]
    assert told["figures"]
    for value in (*told["ratios"].values(), *told["figures"].values()):
        assert isinstance(value, int | float) and math.isfinite(value)

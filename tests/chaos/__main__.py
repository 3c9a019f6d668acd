"""``python -m tests.chaos --seed N --minutes M``: run, check, and print one JSON object last."""
from __future__ import annotations

import argparse
import json
import logging
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Sequence

from tests.chaos import check, run, schedule, unguarded
from tests.chaos.history import History

#: The faults that show best that a guard is missing, and of which variants.
PROVING = {
    "fence": ((1, 2, 4, 13), ""), "sequence": ((4, 7, 13), ""), "rejoin": ((3, 6, 11), ""), "memory": ((2,), ""),
    "marks": ((4,), "-then-sleep"),
}


def main(arguments: Sequence[str]) -> int:
    """0: no violation (with ``--without``: the violation was seen); 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, action="append", required=True, help="may be repeated: one run each")
    parser.add_argument("--minutes", type=float, default=3.0, help="of faults in each run (default: %(default)s)")
    parser.add_argument("--history", type=pathlib.Path, metavar="FILE",
                        help="keep the history (of several seeds: FILE with the seed before its suffix)")
    parser.add_argument("--without", choices=sorted(unguarded.GUARDS), help="take this guard out")
    parser.add_argument("--faults", metavar="N,N…", help="numbers of docs/design.md's list of faults (default: all)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    numbers, only = PROVING.get(options.without, (schedule.NUMBERS, ""))
    if options.faults:
        numbers, only = tuple(int(word) for word in options.faults.split(",")), ""
    findings = []
    for seed in options.seed:
        path = _path(options.history, seed, several=len(options.seed) > 1)
        folder = pathlib.Path(tempfile.mkdtemp(prefix="obsvc-chaos-"))
        run.run(seed, options.minutes, path, folder, without=options.without, numbers=numbers, only=only)
        findings.append(check.check(History.read(path)))
        kept = f"history: {path}"
        if findings[-1].violations:
            kept += f", logs: {folder}"
        else:
            shutil.rmtree(folder)
        print(f"seed {seed}: {findings[-1].summary()} ({kept})", file=sys.stderr, flush=True)
    whole = check.joined(findings)
    print(json.dumps({"seeds": options.seed, "minutes": options.minutes, "without": options.without,
                      **whole.as_json()}))
    return 0 if bool(whole.violations) is bool(options.without) else 1


def _path(wanted: pathlib.Path | None, seed: int, *, several: bool) -> pathlib.Path:
    if wanted is None:
        return pathlib.Path(tempfile.mkdtemp(prefix="obsvc-chaos-history-")) / f"{seed}.jsonl"
    return wanted.with_name(f"{wanted.stem}-{seed}{wanted.suffix}") if several else wanted


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

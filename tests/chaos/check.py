"""``python -m tests.chaos.check FILE…``: check kept histories again, and print one JSON object last."""
from __future__ import annotations

import argparse
import json
import pathlib
import sys
from collections.abc import Iterable, Sequence

from tests.chaos import ownership_checks, state_checks
from tests.chaos.findings import Findings
from tests.chaos.history import History


def check(history: History) -> Findings:
    """Everything that a history says for or against the invariants."""
    findings = Findings()
    over = {event["id"]: event for event in history.of("fault_over")}
    for fault in history.of("fault"):
        told = over.get(fault["id"], {"error": "it was never over"})
        if "error" in told:  # not injected as it should have been: counts for nothing
            findings.counts["faults that failed"] += 1
            continue
        findings.faults[fault["number"]] += 1
        if told.get("reached"):
            findings.counts[f"reached {fault['detail']}"] += 1
    for one in (*ownership_checks.CHECKS, *state_checks.CHECKS):
        one(history, findings)
    return findings


def joined(several: Iterable[Findings]) -> Findings:
    """The findings of several histories as one."""
    whole = Findings()
    for one in several:
        whole.faults += one.faults
        whole.facts += one.facts
        whole.counts += one.counts
        whole.violations += one.violations
    return whole


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.check", description=__doc__)
    parser.add_argument("files", nargs="+", type=pathlib.Path, metavar="FILE")
    whole = joined(check(History.read(path)) for path in parser.parse_args(arguments).files)
    for invariant, text in whole.violations:
        print(f"{invariant}: {text}", file=sys.stderr)
    print(json.dumps(whole.as_json()))
    return 1 if whole.violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What the demo's summary says: pure functions of the simulated cloud's call log and the members' counters."""
from __future__ import annotations

import bisect
import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

#: Fates of a notification that cost no fetch.
DISCARDED = ("not_owned", "not_observed", "no_resource", "no_look")


@dataclasses.dataclass(frozen=True)
class Call:
    """One GET of one resource as the cloud counted it; ``at``: seconds since the epoch."""

    at: float
    caller: str
    resource_id: str


def looks(calls: Iterable[Mapping[str, Any]]) -> list[Call]:
    """The looks of observers in the simulated cloud's call log: each GET of one resource, and of a list by ids one
    for each id that it answered."""
    return [
        Call(call["time"], call["caller"], resource_id)
        for call in calls
        if call["method"] == "GET" and call["caller"].startswith("observer ")
        for resource_id in ([call["resource_id"]] if call["resource_id"] else call["resource_ids"])
    ]


@dataclasses.dataclass(frozen=True)
class Double:
    """Two observers fetched one resource for one change, and its partition had not changed hands between."""

    resource_id: str
    first: str
    second: str
    at: float


def doubles(
    calls: Iterable[Call], changes: Mapping[str, Sequence[float]], granted_at: Mapping[str, Sequence[float]]
) -> list[Double]:
    """Fetches of one state by two observers.

    changes: times at which each resource changed in the cloud, ascending.
    granted_at: times at which each resource's partition was granted; a second observer's look after such a time
    belongs to the takeover, and is counted as one of its looks.
    """
    last: dict[tuple[str, int], Call] = {}
    seen_twice = []
    for call in sorted(calls, key=lambda call: call.at):
        state = bisect.bisect_right(changes.get(call.resource_id, ()), call.at)
        before = last.get((call.resource_id, state))
        if before is not None and before.caller != call.caller:
            grants = granted_at.get(call.resource_id, ())
            if not any(before.at <= at <= call.at for at in grants):
                seen_twice.append(Double(call.resource_id, before.caller, call.caller, call.at))
        last[call.resource_id, state] = call
    return seen_twice


def parse_metrics(text: str) -> dict[str, float]:
    """Prometheus text as ``{'name{labels}': value}``; lines that are no samples are left out."""
    samples = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            try:
                samples[name] = float(value)
            except ValueError:
                continue
    return samples


def total(samples: Iterable[Mapping[str, float]], name: str, **labels: str) -> int:
    """The sum of one counter over several processes, of the samples that carry all of ``labels``."""
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    return int(sum(
        value
        for process in samples
        for sample, value in process.items()
        if sample.partition("{")[0] == name and all(label in sample for label in wanted)
    ))


def by_label(samples: Iterable[Mapping[str, float]], name: str, label: str) -> dict[str, int]:
    """One counter summed over several processes, by the values of one label."""
    totals: dict[str, int] = {}
    for process in samples:
        for sample, value in process.items():
            match = re.search(rf'[{{,]{label}="([^"]*)"', sample)
            if sample.partition("{")[0] == name and match and value:
                totals[match[1]] = totals.get(match[1], 0) + int(value)
    return totals


def counted(members: Sequence[Mapping[str, float]], fetches: int, state_changes: int) -> dict[str, Any]:
    """The part of the summary that the observers' counters tell.  fetches: as the cloud counted them."""
    return {
        "notifications_seen": total(members, "obsvc_notifications_total"),
        "notifications_discarded": sum(
            total(members, "obsvc_notifications_fate_total", fate=fate) for fate in DISCARDED),
        "notifications_coalesced": total(members, "obsvc_notifications_fate_total", fate="coalesced"),
        "fetches": fetches,
        "fetches_by_cause": by_label(members, "obsvc_looks_total", "cause"),
        "state_changes": state_changes,
        "fetches_per_state_change": round(fetches / max(state_changes, 1), 2),
        "takeover_looks": total(members, "obsvc_looks_total", cause="takeover"),
    }

"""Owners looked up, assigned anew and claimed: a lookup, a recomputation, and one claim of everything.

The lookup and the recomputation are what every member does; the claim is one call to the engine, in this process, for
all 1,024 partitions with observations behind them, taken each time from another member that has vanished.
"""
from __future__ import annotations

import argparse
import contextlib
import pathlib
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator

from benchmarks.harness import Goal, Results, main, progress
from obsvc.engine.database import bootstrap
from obsvc.engine.database.store import Store
from obsvc.engine.schema.all import metadata
from obsvc.engine.service import EngineService
from obsvc.engine_client.contract import CONTRACT_VERSION
from obsvc.engine_client.observations import StartItem, StartRequest
from obsvc.engine_client.ownership import Beat, ClaimReason, ClaimRequest, MemberState, PartitionClaim
from obsvc.model import DEFAULT_PARTITIONS, MemberId, PartitionId, Ref, partition
from obsvc.partitioning.assignment import assign
from tests.support.processes.servers import MariaDB, PostgreSQL

MEMBERS = 50
LOOKUPS = 200_000
#: Lookups timed together: the clock itself costs a tenth of one.
TOGETHER = 100
#: Observations started with one request.
BATCH = 5000

GOALS = (
    Goal("lookup of a ref's owner, µs", "lookup_us", "member", 1.0),
    Goal(f"recomputation for {MEMBERS} members, ms", "recompute_ms", "member", 50.0),
    Goal("claim of 1,024 partitions on SQLite, s", "claim_s", "sqlite"),
    Goal("claim of 1,024 partitions on PostgreSQL, s", "claim_s", "postgresql"),
    Goal("claim of 1,024 partitions on MariaDB, s", "claim_s", "mariadb"),
)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--observations", type=int, default=100_000, help="behind the partitions (default 100000)")
    parser.add_argument("--databases", default="sqlite,postgresql,mariadb", help="comma-separated (%(default)s)")


def measure(asked: argparse.Namespace) -> Results:
    results = Results("ownership", goals=GOALS, notes={
        "observations": asked.observations, "partitions": DEFAULT_PARTITIONS, "members": MEMBERS})
    for _ in range(asked.runs):
        results.add("member", {"lookup_us": lookup(), "recompute_ms": recompute()})
    for kind in asked.databases.split(","):
        with database(kind) as url:
            service = filled(url, asked.observations)
            for _ in range(asked.runs):
                results.add(kind, {"claim_s": claim(service)})
            progress(f"{kind}: {results.runs[kind]}")
            service.store.engine.dispose()
    return results


def lookup() -> float:
    """Microseconds of one lookup, as the median over batches."""
    owners = assign([f"obs-{number}" for number in range(MEMBERS)], DEFAULT_PARTITIONS)
    refs = [Ref("RegionOne", "compute.server", str(uuid.uuid4())) for _ in range(LOOKUPS)]
    each = []
    for start in range(0, LOOKUPS, TOGETHER):
        some = refs[start:start + TOGETHER]
        began = time.perf_counter()
        for ref in some:
            owners[partition(ref, DEFAULT_PARTITIONS)]
        each.append((time.perf_counter() - began) / TOGETHER)
    return statistics.median(each) * 1e6


def recompute() -> float:
    """Milliseconds of one assignment."""
    names = [f"{uuid.uuid4().hex[:6]}-{number}" for number in range(MEMBERS)]
    began = time.perf_counter()
    assign(names, DEFAULT_PARTITIONS)
    return (time.perf_counter() - began) * 1e3


@contextlib.contextmanager
def database(kind: str) -> Iterator[str]:
    """SQLAlchemy URL of an empty database of its own."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory(prefix="obsvc-bench-") as folder:
            yield f"sqlite:///{pathlib.Path(folder) / 'obsvc.sqlite'}"
        return
    with {"postgresql": PostgreSQL, "mariadb": MariaDB}[kind]() as server:
        yield server.create_database("ownership")


def filled(url: str, observations: int) -> EngineService:
    """An engine over a new schema in which so many resources are observed."""
    store = Store(url)
    with store.engine.begin() as connection:
        metadata.create_all(connection)
        bootstrap.fill(connection, partitions=DEFAULT_PARTITIONS, now=store.clock.time())
    service = EngineService(store)
    began = time.monotonic()
    for start in range(0, observations, BATCH):
        service.start(StartRequest(tuple(
            StartItem(Ref("RegionOne", "compute.server", str(uuid.uuid4())))
            for _ in range(min(BATCH, observations - start))
        )))
    progress(f"{observations} observations started in {time.monotonic() - began:.1f} s")
    return service


def claim(service: EngineService) -> float:
    """Seconds of one claim of every partition by a member that was not there before."""
    member = MemberId(f"obs-{uuid.uuid4().hex[:8]}", "1")
    service.beat(Beat(member, CONTRACT_VERSION, DEFAULT_PARTITIONS, MemberState.ACTIVE, 0.0))
    claims = tuple(PartitionClaim(PartitionId(number), ClaimReason.VANISHED) for number in range(DEFAULT_PARTITIONS))
    began = time.monotonic()
    reply = service.claim(ClaimRequest(member, uuid.uuid4().hex, claims))
    took = time.monotonic() - began
    if len(reply.grants) != DEFAULT_PARTITIONS:
        raise RuntimeError(f"expected {DEFAULT_PARTITIONS} grants, got {len(reply.grants)}")
    return took


if __name__ == "__main__":
    main("ownership", __doc__, measure, runs=5, options=options)

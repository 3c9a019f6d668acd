"""Reports that the engine writes, beside the same rows written by the plain driver; and stacks of many nodes.

Each report is of another resource, all of them observed, and changes its status: so it is judged, fenced, written, and
makes a delta.  The raw bound writes the same columns of the same rows under the same fence condition, and the same
delta rows, by the driver's ``executemany`` in one transaction a batch; it reads and judges nothing.  On PostgreSQL
also as two statements over ``unnest``, in psycopg's binary format.  For stacks see ``engine_stacks``.
"""
from __future__ import annotations

import argparse
import itertools
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psycopg
import pymysql
import sqlalchemy as sa

from benchmarks.engine_stacks import Builder
from benchmarks.harness import Ratio, Results, main, progress
from benchmarks.ownership import database
from obsvc.engine.database.store import Store
from obsvc.engine.observations.records import SNAPSHOT_COLUMNS, store_snapshot
from obsvc.engine.schema import core
from obsvc.engine.service import EngineService
from obsvc.engine.upgrade import upgrade
from obsvc.engine_client.contract import CONTRACT_VERSION
from obsvc.engine_client.observations import StartItem, StartRequest
from obsvc.engine_client.ownership import Beat, ClaimReason, ClaimRequest, MemberState, PartitionClaim
from obsvc.engine_client.reports import Report, ReportRequest, Verdict
from obsvc.model import DEFAULT_PARTITIONS, Cause, Condition, MemberId, PartitionId, Ref, Snapshot, partition
from obsvc.process import gc_tuning

DATABASES = ("sqlite", "postgresql", "mariadb")
BATCHES = (1, 50, 500)
#: Batches of each size in one run.
REPEATS = {1: 200, 50: 20, 500: 8}

RATIOS = tuple(
    Ratio(f"{kind}, batches of {size}: time a report, ours / {raw}", "report_us", f"{kind} {size}: obsvc",
          f"{kind} {size}: {raw}", 2.0 if (size, raw) == (500, "executemany") else None)
    for kind in DATABASES for size in BATCHES
    for raw in (("executemany", "unnest") if kind == "postgresql" else ("executemany",))
) + tuple(
    Ratio(f"{shape}: time a node, 10000 nodes / 1000", "node_ms", f"{shape} of 10000", f"{shape} of 1000", 1.3)
    for shape in ("wide", "chains")
)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--databases", default=",".join(DATABASES), help="comma-separated (%(default)s)")
    parser.add_argument("--observations", type=int, default=5000, help="resources observed (default 5000)")
    parser.add_argument("--nodes", default="1000,10000", help="nodes of a stack, comma-separated; empty: no stacks")
    parser.add_argument("--stack-runs", type=int, default=1, help="rounds of stacks (default 1)")
    parser.add_argument("--stack-database", default="sqlite", choices=DATABASES, help="of the stacks (%(default)s)")


def measure(asked: argparse.Namespace) -> Results:
    results = Results("engine", ratios=RATIOS, notes={"observations": asked.observations})
    for kind in filter(None, asked.databases.split(",")):
        with database(kind) as url:
            upgrade(url, partitions=DEFAULT_PARTITIONS)
            bench = Bench(kind, url, asked.observations)
            gc_tuning.freeze_gc()  # as the engine's processes do
            for run in range(asked.runs):
                for size, (name, write) in itertools.product(BATCHES, bench.writers.items()):
                    took = bench.time(write, size)
                    results.add(f"{kind} {size}: {name}", {"report_us": took * 1e6, "reports_per_s": 1 / took})
                progress(f"run {run + 1} {kind} done")
            bench.close()
    for _ in range(asked.stack_runs):
        for size, shape in itertools.product(filter(None, asked.nodes.split(",")), ("wide", "chains")):
            with database(asked.stack_database) as url:
                upgrade(url, partitions=DEFAULT_PARTITIONS)
                store = Store(url)
                builder = Builder(store)
                results.add(f"{shape} of {size}", builder.build(int(size), chains=shape == "chains"))
                builder.close()
                store.close()
            progress(f"{shape} of {size}: {results.runs[f'{shape} of {size}'][-1]}")
    return results


class Bench:
    """One database with observed resources, each seen once, all granted to one member."""

    def __init__(self, kind: str, url: str, observations: int) -> None:
        self._store = Store(url)
        self._service = EngineService(self._store)
        self._member = MemberId("bench", "1")
        self._refs = [Ref("RegionOne", "compute.server", str(uuid.uuid4())) for _ in range(observations)]
        for some in _batches(self._refs, 500):
            self._service.start(StartRequest(tuple(StartItem(ref) for ref in some)))
        self._service.beat(Beat(self._member, CONTRACT_VERSION, DEFAULT_PARTITIONS, MemberState.ACTIVE, 0.0))
        everything = map(PartitionId, range(DEFAULT_PARTITIONS))
        claims = tuple(PartitionClaim(number, ClaimReason.VANISHED) for number in everything)
        reply = self._service.claim(ClaimRequest(self._member, uuid.uuid4().hex, claims))
        self._generation = reply.grants[0].generation
        self._sequence = itertools.count(1)
        self._next = itertools.cycle(self._refs)
        for some in _batches(self._refs, 500):
            self._service.report(ReportRequest(self._member, tuple(self._report(ref) for ref in some)))
        self._raw = _connect(kind, url)
        self._mark = "?" if kind == "sqlite" else "%s"
        self.writers: dict[str, Callable[[list[Report]], None]] = {"obsvc": self._ours, "executemany": self._many}
        if kind == "postgresql":
            self._raw.execute("ANALYZE")
            self._raw.commit()
            self.writers["unnest"] = self._unnest

    def time(self, write: Callable[[list[Report]], None], size: int) -> float:
        """Seconds a report.  SQLite's log is written back first: whose commit finds it full would pay for all."""
        batches = [[self._report(next(self._next)) for _ in range(size)] for _ in range(REPEATS[size])]
        if isinstance(self._raw, sqlite3.Connection):
            self._raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        began = time.perf_counter()
        for batch in batches:
            write(batch)
        return (time.perf_counter() - began) / (size * REPEATS[size])

    def close(self) -> None:
        self._raw.close()
        self._service.shutdown()
        self._store.close()

    def _report(self, ref: Ref) -> Report:
        sequence = next(self._sequence)
        snapshot = Snapshot(
            exists=True, condition=Condition.ACTIVE, status=f"S{sequence}", project_id="p", fetched_at=time.time(),
            attributes={"flavor": {"id": "42"}, "name": "one", "addresses": {"net": [{"addr": "10.0.0.7"}]}},
        )
        return Report(ref, partition(ref), self._generation, sequence, snapshot, Cause.NOTIFIED)

    def _ours(self, batch: list[Report]) -> None:
        outcomes = self._service.report(ReportRequest(self._member, tuple(batch))).outcomes
        if any(one.verdict is not Verdict.ACCEPTED for one in outcomes):
            raise RuntimeError(f"expected every report to be accepted, got {outcomes[0]}")

    # -- the raw bound

    def _rows(self, batch: list[Report]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """For each report the columns of its resource, and its delta but for the version."""
        now = time.time()
        for one in batch:
            yield (
                dict(zip(SNAPSHOT_COLUMNS, store_snapshot(one.snapshot), strict=True)) | {
                    "generation": one.generation, "sequence": one.sequence, "verdict": "accepted", "mark": None,
                    "looked": 0, "reported_by": str(self._member), "reported_at": now},
                {"at": now, "region": one.ref.region, "resource_type": one.ref.resource_type,
                 "resource_id": one.ref.resource_id, "condition": "active", "before_condition": "active",
                 "standing": "none", "status": one.snapshot.status, "before_status": "S", "settled": True,
                 "changed": '["status"]', "project_id": "p", "stack_id": None, "member": str(self._member),
                 "generation": one.generation, "cause": "notified", "fetched_at": one.snapshot.fetched_at},
            )

    def _versions(self, cursor: Any, count: int) -> int:
        cursor.execute(f"UPDATE feed SET version = version + {count}")
        cursor.execute("SELECT version FROM feed")
        return cursor.fetchone()[0] - count + 1

    def _many(self, batch: list[Report]) -> None:
        mark, cursor = self._mark, self._raw.cursor()
        rows = list(self._rows(batch))
        columns, others = list(rows[0][0]), list(rows[0][1])
        sets = ", ".join(f"{_quoted(self._raw, name)} = {mark}" for name in [*columns, "version", "verdict_version"])
        update = (f"UPDATE resource SET {sets} WHERE ref_key = {mark} AND EXISTS (SELECT 1 FROM partition_state p "
                  f"WHERE p.partition_id = {mark} AND p.owner_name = {mark} AND p.owner_incarnation = {mark} "
                  f"AND p.generation = {mark})")
        names = ", ".join(_quoted(self._raw, name) for name in ["version", *others])
        insert = f"INSERT INTO delta ({names}) VALUES ({', '.join([mark] * (len(others) + 1))})"
        first = self._versions(cursor, len(batch))
        cursor.executemany(update, [
            (*(resource[name] for name in columns), first + index, first + index, core.ref_key(one.ref), one.partition,
             self._member.name, self._member.incarnation, one.generation)
            for index, (one, (resource, _)) in enumerate(zip(batch, rows, strict=True))
        ])
        if cursor.rowcount != len(batch):
            raise RuntimeError(f"expected {len(batch)} rows to be written, got {cursor.rowcount}")
        cursor.executemany(insert, [(first + index, *(delta[name] for name in others))
                                    for index, (_, delta) in enumerate(rows)])
        self._raw.commit()

    def _unnest(self, batch: list[Report]) -> None:
        cursor = self._raw.cursor(binary=True)
        rows = list(self._rows(batch))
        first = self._versions(cursor, len(batch))
        resources = [
            resource | {"version": first + index, "verdict_version": first + index, "ref_key": core.ref_key(one.ref),
                        "partition_id": one.partition}
            for index, (one, (resource, _)) in enumerate(zip(batch, rows, strict=True))
        ]
        deltas = [{"version": first + index} | delta for index, (_, delta) in enumerate(rows)]
        sets = ", ".join(f"{name} = u.{name}" for name in resources[0] if name not in ("ref_key", "partition_id"))
        cursor.execute(
            f"UPDATE resource r SET {sets} FROM unnest({_arrays(core.resource, resources)})"
            f" AS u({', '.join(resources[0])}) JOIN partition_state p ON p.partition_id = u.partition_id"
            " WHERE r.ref_key = u.ref_key AND p.owner_name = %s AND p.owner_incarnation = %s"
            " AND p.generation = u.generation",
            [*_columns(resources), self._member.name, self._member.incarnation],
        )
        if cursor.rowcount != len(batch):
            raise RuntimeError(f"expected {len(batch)} rows to be written, got {cursor.rowcount}")
        arrays = _arrays(core.delta, deltas)
        cursor.execute(f"INSERT INTO delta ({', '.join(deltas[0])}) SELECT * FROM unnest({arrays})", _columns(deltas))
        self._raw.commit()


def _batches(refs: Sequence[Ref], size: int) -> Iterator[Sequence[Ref]]:
    return (refs[start:start + size] for start in range(0, len(refs), size))


def _columns(rows: list[dict[str, Any]]) -> list[list[Any]]:
    return [[row[name] for row in rows] for name in rows[0]]


def _arrays(table: sa.Table, rows: list[dict[str, Any]]) -> str:
    """Placeholders of arrays in the types of the table's columns."""
    dialect = sa.create_engine("postgresql+psycopg://").dialect
    return ", ".join(f"%s::{table.c[name].type.compile(dialect).partition(' COLLATE')[0]}[]" for name in rows[0])


def _connect(kind: str, url: str) -> Any:
    where = sa.make_url(url)
    if kind == "sqlite":
        connection = sqlite3.connect(where.database or "", timeout=30)
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection
    if kind == "postgresql":
        return psycopg.connect(where.set(drivername="postgresql").render_as_string(hide_password=False))
    return pymysql.connect(
        host=where.host or "127.0.0.1", port=where.port or 3306, user=where.username or "",
        password=where.password or "", database=where.database, charset="utf8mb4",
    )


def _quoted(connection: Any, name: str) -> str:
    """``condition`` is a word of MariaDB's own."""
    return f"`{name}`" if isinstance(connection, pymysql.connections.Connection) else f'"{name}"'


if __name__ == "__main__":
    main("engine", __doc__, measure, runs=5, options=options)

"""The transaction of a batch of reports: fence, judge, write, number the deltas.

Lock order: partitions ascending (their rows are the locks of their refs too: whatever writes a ref holds its
partition), then what ``progress`` locks (stacks, nodes), the change counters, and the feed last.
"""
from __future__ import annotations

import collections
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from obsvc import metrics
from obsvc.engine.database import due, outbox
from obsvc.engine.database.bulk import Bulk
from obsvc.engine.database.rows import to_json
from obsvc.engine.database.store import Transaction
from obsvc.engine.observations import selected, watches
from obsvc.engine.observations.deltas import DeltaDraft
from obsvc.engine.observations.judging import Judgement, Known, gone, judge
from obsvc.engine.observations.records import (
    SNAPSHOT_COLUMNS,
    StoredWatch,
    known_by_key,
    store_snapshot,
    waiting,
    watches_by_key,
)
from obsvc.engine.observations.watches import DEADLINE
from obsvc.engine.ownership.grants import Refusal, note_refused, refusal
from obsvc.engine.schema import core
from obsvc.engine.schema.rows import Fence
from obsvc.engine.stacks import progress
from obsvc.engine_client.observations import Delta, ObservationStatus
from obsvc.engine_client.reports import Report, ReportOutcome, ReportReply, ReportRequest, Verdict
from obsvc.exceptions import InvalidInput
from obsvc.model import Condition, MemberId, Snapshot, Version, partition

LOG = logging.getLogger(__name__)


#: Columns that a report writes, in the table's order.
_WRITTEN = Bulk(
    sa.update(core.resource).where(core.resource.c.ref_key == sa.bindparam("key")),
    ("version", *SNAPSHOT_COLUMNS, "generation", "sequence", "verdict", "verdict_version", "reported_by",
     "reported_at", "mark", "looked"),
    "key",
)
_DELTAS = Bulk(sa.insert(core.delta), [column.name for column in core.delta.columns])


class _Ref(msgspec.Struct):
    """One ref while its batch is judged.  draft: index of the draft that the last report in the batch made.

    version, verdict_version: of the ref and of its last report, as they stood before the batch.  selected: one of its
    observations is for selectors."""

    key: str
    version: int
    verdict_version: Version | None
    known: Known
    watches: list[StoredWatch]
    mark: int | None
    selected: bool
    written: Report | None = None
    draft: int | None = None
    met: list[StoredWatch] = []


def write_reports(tx: Transaction, request: ReportRequest) -> ReportReply:
    """Judge and write a batch; one outcome for each report, in order."""
    _check_partitions(request, tx.partitions)
    member = str(request.member)
    parts = tx.lock_partitions(report.partition for report in request.reports)
    keys = [core.ref_key(report.ref) for report in request.reports]
    refs = _read(tx, keys)
    selection = _Selected(tx, request.reports, keys, refs)
    drafts: list[DeltaDraft] = []
    judged: list[tuple[Judgement, _Ref | None, int | None]] = []
    refused: list[tuple[Fence, int, Refusal]] = []
    fence: dict[tuple[int, int], Refusal | None] = {}  # of each partition and generation: the same for all its refs
    for key, report in zip(keys, request.reports, strict=True):
        ref = refs.get(key)
        row = parts[report.partition]
        held = report.partition, report.generation
        why = fence[held] if held in fence else fence.setdefault(held, refusal(row, request.member, report.generation))
        if why is not None:
            refused.append((row, report.generation, why))
        if ref is not None:
            report = _with_lasting_names(report, ref.known.snapshot)
        known, waiting_for = (ref.known, ref.watches) if ref is not None else (None, ())
        judgement = judge(report, known, waiting_for, granted=why is None, member=member)
        if ref is not None and ref.selected and selection.ends(ref, report, judgement):
            del refs[key]  # nothing is written of it but that it is gone
            if not gone(report.snapshot) or ref.known.snapshot is None:
                judgement, ref = Judgement(Verdict.NOT_OBSERVED), None
        if ref is not None and not judgement.repeated and judgement.verdict in (Verdict.ACCEPTED, Verdict.UNCHANGED):
            _apply(ref, report, judgement, newest_mark=row.observation_version, draft=len(drafts))
            if judgement.draft is not None:
                drafts.append(judgement.draft)
        judged.append((judgement, ref, ref.draft if ref else None))
    if selection.leaving:
        watches.stop(tx, selection.leaving)
    first = _write(tx, request.member, [ref for ref in refs.values() if ref.written is not None], drafts)
    tx.after_commit(lambda: _record_outcomes(request, [judgement for judgement, _, _ in judged], refused, drafts))
    return ReportReply(tuple(_outcome(judgement, ref, draft, first) for judgement, ref, draft in judged))


def _check_partitions(request: ReportRequest, partitions: int) -> None:
    """Raise InvalidInput for a report whose member computes with another number of partitions."""
    for report in request.reports:
        expected = partition(report.ref, partitions)
        if report.partition != expected:
            raise InvalidInput(
                f"expected partition {expected} for {report.ref}, got {report.partition}: the member must compute "
                f"with {partitions} partitions"
            )


class _Selected:
    """What in a batch is observed for selectors, and which of those observations end with it."""

    def __init__(
        self, tx: Transaction, reports: Sequence[Report], keys: Sequence[str], refs: Mapping[str, _Ref]
    ) -> None:
        self.leaving: list[str] = []
        self._projects = selected.projects_of(tx, {
            (report.ref.region, report.ref.resource_type) for report, key in zip(reports, keys, strict=True)
            if key in refs and refs[key].selected})

    def ends(self, ref: _Ref, report: Report, judgement: Judgement) -> bool:
        """Whether the ref is observed no more: no selector selects it now (it is gone, or another project's), and
        nobody else observes it.  Notes which observations for selectors end."""
        if judgement.repeated or judgement.verdict not in (Verdict.ACCEPTED, Verdict.UNCHANGED):
            return False
        projects = self._projects[report.ref.region, report.ref.resource_type]
        if not gone(report.snapshot) and projects.select(report.snapshot.project_id):
            return False
        self.leaving += [watch.observation_id for watch in ref.watches if watch.selected]
        return all(watch.selected for watch in ref.watches)


def _record_outcomes(
    request: ReportRequest, judged: Sequence[Judgement], refused: Sequence[tuple[Fence, int, Refusal]],
    drafts: Sequence[DeltaDraft],
) -> None:
    """Metrics and log lines of a batch that is committed."""
    for verdict, count in collections.Counter(judgement.verdict for judgement in judged).items():
        metrics.VERDICTS.labels(verdict=verdict.value).inc(count)
    for (kind, standing), count in collections.Counter(
            (draft.ref.resource_type, draft.standing) for draft in drafts).items():
        metrics.DELTAS.labels(resource_type=kind, standing=standing.value).inc(count)
    note_refused("report", request.member, refused)
    for report, judgement in zip(request.reports, judged, strict=True):
        if judgement.repeated:
            metrics.REPEATED.inc()
            LOG.debug("%s: report %d of %s was in already", report.ref, report.sequence, request.member)
        elif judgement.verdict is Verdict.SUPERSEDED:
            metrics.REFUSED.labels(operation="report", reason=judgement.verdict.value).inc()
            LOG.info("%s: report %d of %s (partition %d, generation %d) is refused: a later look is in",
                     report.ref, report.sequence, request.member, report.partition, report.generation)


def _read(tx: Transaction, keys: Sequence[str]) -> dict[str, _Ref]:
    stored = known_by_key(tx, keys)
    watches = watches_by_key(tx, stored)
    return {key: _Ref(key, version, known.version, known, watches[key], mark,
                      True in [watch.selected for watch in watches[key]])
            for key, (known, version, mark) in stored.items()}


def _with_lasting_names(report: Report, before: Snapshot | None) -> Report:
    """A resource that is gone keeps the project and the name that it had: an answer of 404 has neither."""
    after = report.snapshot
    if before is None or not gone(after):
        return report
    after = msgspec.structs.replace(
        after, project_id=after.project_id or before.project_id, name=after.name or before.name
    )
    return msgspec.structs.replace(report, snapshot=after)


def _apply(ref: _Ref, report: Report, judgement: Judgement, *, newest_mark: int, draft: int) -> None:
    """Change the ref's state as the report does, for the next report of the same batch."""
    looked = max(ref.known.looked, min(report.mark or 0, newest_mark))
    if ref.mark is not None and report.mark is not None and ref.mark <= report.mark:
        ref.mark = None
    ref.draft = draft if judgement.draft is not None else None
    ref.known = Known(report.generation, report.sequence, report.snapshot, judgement.verdict, None, looked)
    ref.written = report
    if judgement.draft is not None:
        for index, touched in enumerate(judgement.draft.observations):  # one for each watch, in their order
            if touched.before_status is not touched.after_status:
                ref.watches[index] = msgspec.structs.replace(ref.watches[index], status=touched.after_status)
                ref.met.append(ref.watches[index])


def _write(tx: Transaction, member: MemberId, refs: Sequence[_Ref], drafts: Sequence[DeltaDraft]) -> int:
    """Write everything; the version of the first draft (0 where there is none)."""
    met = [watch for ref in refs for watch in ref.met]
    _write_met(tx, met)
    _write_resources(tx, member, [ref for ref in refs if ref.draft is None], 0)
    if not drafts:
        return 0
    progress.apply(tx, drafts)
    for watch in met:
        if watch.deadline is not None:
            due.cancel(tx, DEADLINE, watch.observation_id)
    first = tx.next_versions(len(drafts))
    # a ref that changed and then was seen unchanged in one batch has its version from the earlier draft
    _write_resources(tx, member, [ref for ref in refs if ref.draft is not None], first)
    _DELTAS.execute(tx, [_delta_row(draft, first + index, tx.now) for index, draft in enumerate(drafts)])
    if tx.emitting:
        outbox.put_many(tx, "obsvc.resource.changed", [
            msgspec.to_builtins(_delta(draft, Version(first + index), tx.now)) for index, draft in enumerate(drafts)])
    return first


def _write_met(tx: Transaction, met: Sequence[StoredWatch]) -> None:
    if not met:
        return
    table = core.observation
    tx.execute(
        sa.update(table)
        .where(table.c.observation_id == sa.bindparam("which"))
        .values(status=ObservationStatus.MET.value, met_at=tx.now),
        [{"which": watch.observation_id} for watch in met],
    )
    tx.touch("observation")


def _write_resources(tx: Transaction, member: MemberId, refs: Sequence[_Ref], first: int) -> None:
    if not refs:
        return
    reporter = str(member)[:255]
    rows = []
    for ref in refs:
        written = ref.written
        assert written is not None and ref.known.verdict is not None
        version = None if ref.draft is None else first + ref.draft
        rows.append((
            ref.version if version is None else version, *store_snapshot(written.snapshot), written.generation,
            written.sequence, str(ref.known.verdict), version, reporter, tx.now, ref.mark, ref.known.looked, ref.key,
        ))
    _WRITTEN.execute(tx, rows)


def _delta(draft: DeltaDraft, version: Version, now: float) -> Delta:
    before, after = draft.before, draft.after
    return Delta(
        version=version, at=now, ref=draft.ref, condition=after.condition,
        before_condition=before.condition if before else Condition.UNKNOWN, standing=draft.standing,
        status=after.status, before_status=before.status if before else None, settled=after.settled,
        changed=draft.changed, project_id=draft.project_id,
        stack_id=_stack_of(draft),
        member=draft.member, generation=draft.generation, cause=draft.cause and draft.cause.value,
        fetched_at=after.fetched_at,
    )


def _delta_row(draft: DeltaDraft, version: int, now: float) -> tuple[Any, ...]:
    """The same as a row of the table."""
    ref, before, after = draft.ref, draft.before, draft.after
    return (
        version, now, ref.region, ref.resource_type, ref.resource_id, str(after.condition),
        str(before.condition if before else Condition.UNKNOWN), str(draft.standing), after.status,
        before.status if before else None, after.settled, to_json(draft.changed), draft.project_id, _stack_of(draft),
        draft.member, draft.generation, draft.cause and str(draft.cause), after.fetched_at,
    )


def _stack_of(draft: DeltaDraft) -> str | None:
    return next((observation.stack_id for observation in draft.observations if observation.stack_id), None)


def _outcome(judgement: Judgement, ref: _Ref | None, draft: int | None, first: int) -> ReportOutcome:
    if ref is None or judgement.verdict is Verdict.STALE_GENERATION:
        return ReportOutcome(judgement.verdict)
    wanted, deadline = waiting(ref.watches)
    version = None
    if judgement.verdict is Verdict.ACCEPTED:
        version = ref.verdict_version if draft is None else Version(first + draft)
    return ReportOutcome(judgement.verdict, version=version, wanted=wanted, deadline=deadline)

"""What an engine guarantees of reports: the fence, their order, and the marks that they clear."""
from __future__ import annotations

from obsvc.engine_client import observations as obs
from obsvc.engine_client import ownership as own
from obsvc.engine_client import reports
from obsvc.engine_client.conformance.kit import (
    ACTIVE,
    BUILD,
    Actor,
    Checks,
    expect,
    expect_error,
    new_ref,
    start,
    status_of,
)
from obsvc.engine_client.contract import Engine
from obsvc.engine_client.ownership import ClaimReason
from obsvc.exceptions import InvalidInput
from obsvc.model import Cause, PartitionId

CHECKS = Checks()


@CHECKS
def a_report_under_an_old_generation_writes_nothing(engine: Engine) -> None:
    ref = new_ref()
    start(engine, ref)
    stale, owner = Actor(engine), Actor(engine)
    old = stale.take(ref)
    new = owner.take(ref)
    expect("the old one's verdict", reports.Verdict.STALE_GENERATION, stale.report(ref, old.generation, BUILD).verdict)
    expect("another member under the right generation", reports.Verdict.STALE_GENERATION,
           stale.report(ref, new.generation, BUILD).verdict)
    expect("what is known", None, engine.read_resource(obs.ResourceRequest(ref)).snapshot)
    expect("the owner's verdict", reports.Verdict.ACCEPTED, owner.report(ref, new.generation, ACTIVE).verdict)
    expect("the old one again", reports.Verdict.STALE_GENERATION,
           stale.report(ref, old.generation, BUILD, sequence=99).verdict)
    known = engine.read_resource(obs.ResourceRequest(ref))
    expect("what is known", ("ACTIVE", new.generation), (status_of(known), known.generation))


@CHECKS
def a_batch_is_judged_item_by_item_in_order(engine: Engine) -> None:
    held, not_held = new_ref(), new_ref()
    actor = Actor(engine)
    while actor.partition(not_held) == actor.partition(held):
        not_held = new_ref()
    for ref in (held, not_held):
        start(engine, ref)
    grant = actor.take(held)
    batch = tuple(
        reports.Report(ref, actor.partition(ref), grant.generation, 1, ACTIVE, Cause.NOTIFIED)
        for ref in (not_held, held)
    )
    other = Actor(engine)
    other.take(not_held)
    outcomes = engine.report(reports.ReportRequest(actor.member, batch)).outcomes
    expect("verdicts", [reports.Verdict.STALE_GENERATION, reports.Verdict.ACCEPTED],
           [outcome.verdict for outcome in outcomes])


@CHECKS
def reports_are_ordered_by_their_sequence_and_an_equal_one_is_the_same_again(engine: Engine) -> None:
    ref = new_ref()
    start(engine, ref)
    actor = Actor(engine)
    grant = actor.take(ref)
    first = actor.report(ref, grant.generation, BUILD, sequence=5)
    expect("the first verdict", reports.Verdict.ACCEPTED, first.verdict)
    again = actor.report(ref, grant.generation, BUILD, sequence=5)
    expect("the same report again", (reports.Verdict.ACCEPTED, first.version), (again.verdict, again.version))
    expect("a report of an earlier look", reports.Verdict.SUPERSEDED,
           actor.report(ref, grant.generation, ACTIVE, sequence=4).verdict)
    expect("the same state later", reports.Verdict.UNCHANGED,
           actor.report(ref, grant.generation, BUILD, sequence=6).verdict)
    known = engine.read_resource(obs.ResourceRequest(ref))
    expect("what is known", ("BUILD", first.version), (status_of(known), known.version))
    heir = Actor(engine)
    newer = heir.take(ref)
    expect("a low sequence of a higher generation", reports.Verdict.ACCEPTED,
           heir.report(ref, newer.generation, ACTIVE, sequence=1).verdict)


@CHECKS
def what_nobody_observes_is_not_written(engine: Engine) -> None:
    ref = new_ref()
    actor = Actor(engine)
    grant = actor.take(ref)
    expect("never observed", reports.Verdict.NOT_OBSERVED, actor.report(ref, grant.generation, ACTIVE).verdict)
    observation = start(engine, ref)
    engine.stop(obs.StopRequest((observation.observation_id,)))
    expect("no longer observed", reports.Verdict.NOT_OBSERVED, actor.report(ref, grant.generation, ACTIVE).verdict)


@CHECKS
def a_report_of_a_wrong_partition_is_refused(engine: Engine) -> None:
    ref = new_ref()
    actor = Actor(engine)
    grant = actor.take(ref)
    wrong = PartitionId((grant.partition + 1) % actor.info.partitions)
    report = reports.Report(ref, wrong, grant.generation, 1, ACTIVE, Cause.NOTIFIED)
    expect_error("a wrong partition", InvalidInput,
                  lambda: engine.report(reports.ReportRequest(actor.member, (report,))))
    request = own.ClaimRequest(actor.member, "x", (own.PartitionClaim(PartitionId(10**9), ClaimReason.VACANT),))
    expect_error("a partition that is not there", InvalidInput, lambda: engine.claim(request))


@CHECKS
def a_mark_stays_until_a_report_that_had_read_it(engine: Engine) -> None:
    ref = new_ref()
    start(engine, ref)
    actor = Actor(engine)
    grant = actor.take(ref)
    [first] = engine.mark(reports.MarkRequest((ref,), "conformance")).marks
    [second] = engine.mark(reports.MarkRequest((ref,), "conformance")).marks
    expect("marks rise", True, first is not None and second is not None and first < second)
    expect("nothing is stored for what nobody observes", (None,),
           engine.mark(reports.MarkRequest((new_ref(),), "conformance")).marks)
    held = (grant.partition, grant.generation)
    for mark, left in ((None, second), (first, second), (second, None)):
        actor.report(ref, grant.generation, BUILD, mark=mark)
        expect(f"what is left after a report that read {mark}", left, actor.list(held)[0][ref].mark)

"""What selectors select: observed as soon as it is found, until it is gone or turns out to be another project's.

A ref that a selector may want is observed by one observation that is marked ``selected``, however many selectors want
it; whether one does is known with its snapshot, by the project there.  Functions belong to the thread of their
Transaction.
"""
from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

import sqlalchemy as sa

from obsvc.engine.database.rows import check_ref, chunks
from obsvc.engine.database.store import Transaction
from obsvc.engine.observations import watches
from obsvc.engine.ownership import duties
from obsvc.engine.schema import core
from obsvc.engine.schema.selectors import selector as table
from obsvc.engine_client.duties import DutyRequest, SweepBatch
from obsvc.engine_client.observations import StartItem
from obsvc.engine_client.selectors import Selector, SelectorsReply, SelectorStart, SelectorStop
from obsvc.exceptions import Conflict, NotFound
from obsvc.model import Ref

#: A region and a resource type.
Kind = tuple[str, str]

#: Observations that one transaction stops.
STOPPED_AT_ONCE = 500

#: The namespace of selectors' ids: the same region, type and project is the same selector.
_NAMESPACE = uuid.UUID("1f6a4a5e-6d1c-4b0a-9f52-0c6c1f0d5a3e")


class SelectedProjects:
    """The projects whose resources of one kind are selected; None among them stands for all projects."""

    def __init__(self, projects: Iterable[str | None] = ()) -> None:
        self._projects = set(projects)

    def __bool__(self) -> bool:
        return bool(self._projects)

    def select(self, project_id: str | None) -> bool:
        """Whether a resource that is known to be of this project (None: of none) is selected."""
        return None in self._projects or (project_id is not None and project_id in self._projects)

    def may_select(self, project_id: str | None) -> bool:
        """As ``select`` for a project that a list or a message names; None: it does not say."""
        return self.select(project_id) or (project_id is None and bool(self._projects))


#: A selector's columns, as its message has them.
_SELECTOR = [table.c[name] for name in Selector.__struct_fields__]


def start(tx: Transaction, request: SelectorStart) -> Selector:
    """Start selecting, and ask for a sweep that finds what is there."""
    check_ref(Ref(request.region, request.resource_type, "any"))
    parts = (request.region, request.resource_type, request.project_id)
    selector_id = str(uuid.uuid5(_NAMESPACE, "\0".join(map(str, parts))))
    row = tx.execute(sa.select(*_SELECTOR).where(table.c.selector_id == selector_id)).one_or_none()
    if row is not None:
        return Selector(*row)
    _check_room(tx, request.project_id)
    selector = Selector(selector_id, request.region, request.resource_type, tx.now, request.project_id)
    tx.execute(sa.insert(table).values(
        selector_id=selector_id, region=selector.region, resource_type=selector.resource_type,
        project_id=selector.project_id,
        started_at=tx.now))
    if request.service is not None:
        duties.ask(tx, DutyRequest(request.region, f"selector {selector_id}", request.service))
    tx.touch("selector")
    return selector


def _check_room(tx: Transaction, project_id: str | None) -> None:
    """Conflict where the project has all the selectors it may have; a few more may slip in at the same moment."""
    if project_id is None:
        return
    there = tx.execute(sa.select(sa.func.count()).where(table.c.project_id == project_id)).scalar_one()
    if there >= (most := tx.settings.selectors_per_project):
        raise Conflict(f"project {project_id} has {there} selectors, and a project may have {most} ([engine] "
                       "selectors_per_project): stop one that is not needed")


def stop(tx: Transaction, request: SelectorStop) -> Selector:
    """Stop selecting.  What was observed for it alone stays until :func:`stop_unselected`."""
    query = sa.select(*_SELECTOR).where(table.c.selector_id == request.selector_id)
    if request.project_id is not None:
        query = query.where(table.c.project_id == request.project_id)
    row = tx.execute(query).one_or_none()
    if row is None:
        raise NotFound(f"no selector {request.selector_id}: list those there are")
    tx.execute(sa.delete(table).where(table.c.selector_id == request.selector_id))
    tx.touch("selector")
    return Selector(*row)


def stop_unselected(tx: Transaction, kind: Kind) -> int:
    """Stop, a batch at a time, what is observed for selectors of this kind but selected by none any more; how many.

    A ref without a snapshot is left to its first report."""
    projects = projects_of(tx, {kind})[kind]
    observation, resource = core.observation, core.resource
    query = (
        sa.select(observation.c.observation_id, resource.c.project_id)
        .join(resource, resource.c.ref_key == observation.c.ref_key)
        .where(observation.c.selected, resource.c.region == kind[0], resource.c.resource_type == kind[1])
    )
    if projects:
        query = query.where(resource.c.snapshot.is_not(None))
    ending = [row.observation_id for row in tx.execute(query) if not projects.select(row.project_id)]
    watches.stop(tx, ending[:STOPPED_AT_ONCE])
    return len(ending[:STOPPED_AT_ONCE])


def read(tx: Transaction) -> SelectorsReply:
    """All selectors.  The version is read before the rows, so a change in between is sent twice rather than never."""
    counter = core.change_counter
    version = tx.execute(sa.select(counter.c.value).where(counter.c.name == "selector")).scalar_one()
    rows = tx.execute(sa.select(*_SELECTOR).order_by(table.c.started_at, table.c.selector_id))
    return SelectorsReply(version, tuple(Selector(*row) for row in rows))


def projects_of(tx: Transaction, kinds: Collection[Kind]) -> Mapping[Kind, SelectedProjects]:
    """The selected projects of each kind."""
    by_kind: dict[Kind, set[str | None]] = {kind: set() for kind in kinds}
    if kinds:
        query = sa.select(table.c.region, table.c.resource_type, table.c.project_id).where(
            table.c.resource_type.in_({resource_type for _, resource_type in kinds}))
        for region, resource_type, project_id in tx.execute(query):
            if (region, resource_type) in by_kind:
                by_kind[region, resource_type].add(project_id)
    return defaultdict(SelectedProjects, {kind: SelectedProjects(projects) for kind, projects in by_kind.items()})


def discover(tx: Transaction, refs: Sequence[Ref]) -> int:
    """Observe those of ``refs`` that a selector may want; how many are new.  Those already observed are marked: a
    discovery may be news of them."""
    projects = projects_of(tx, {(ref.region, ref.resource_type) for ref in refs})
    wanted = [ref for ref in dict.fromkeys(refs) if projects[ref.region, ref.resource_type]]
    tx.lock_partitions(watches.partitions_of(tx, wanted))
    there = _selected(tx, wanted)
    new = [ref for ref in wanted if core.ref_key(ref) not in there]
    _observe(tx, new)
    known = [ref for ref in wanted if core.ref_key(ref) in there]
    if known:
        watches.mark(tx, known, "discovered")
    return len(new)


def unobserved_in_list(tx: Transaction, region: str, batch: SweepBatch) -> list[Ref]:
    """The refs in a listing that a selector may want and that are not observed for one yet."""
    kind = (region, batch.resource_type)
    projects = projects_of(tx, {kind})[kind]
    refs = [Ref(region, batch.resource_type, item.resource_id) for item in batch.items
            if not item.gone and projects.may_select(item.project_id)]
    there = _selected(tx, refs)
    return [ref for ref in refs if core.ref_key(ref) not in there]


def admit(tx: Transaction, refs: Sequence[Ref]) -> int:
    """Observe these refs of a listing; their partitions are locked.  How many were still new."""
    there = _selected(tx, refs)
    new = [ref for ref in refs if core.ref_key(ref) not in there]
    _observe(tx, new)
    return len(new)


def _observe(tx: Transaction, refs: Sequence[Ref]) -> None:
    if refs:
        watches.start(tx, [StartItem(ref) for ref in refs], selected=True)


def _selected(tx: Transaction, refs: Iterable[Ref]) -> set[str]:
    """The ref_keys of those that are observed for selectors."""
    observation = core.observation
    keys: set[str] = set()
    for chunk in chunks(sorted({core.ref_key(ref) for ref in refs})):
        keys.update(tx.execute(sa.select(observation.c.ref_key).where(
            observation.c.ref_key.in_(chunk), observation.c.selected)).scalars())
    return keys

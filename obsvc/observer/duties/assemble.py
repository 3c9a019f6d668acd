"""The parts of a member's duties, put together."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from obsvc.catalog import Catalog
from obsvc.engine_client.contract import DutiesApi
from obsvc.model import Generation, MemberId
from obsvc.observer.duties.leader import KindSource, Leader, LeaderSettings
from obsvc.observer.duties.listing import Lister
from obsvc.observer.duties.pace import PaceSettings
from obsvc.observer.duties.sweep import Sweeper
from obsvc.observer.fetching.fetcher import Sessions
from obsvc.observer.fetching.gate import ServiceGate
from obsvc.process.clock import Clock


def make_leader(
    conf: Any, *, engine: DutiesApi, member: MemberId, catalog: Catalog, sessions: Sessions, gate: ServiceGate,
    kinds: Sequence[KindSource], leads: Callable[[str], Generation | None],
    consumes: Callable[[str], bool], wall: Callable[[], float], clock: Clock,
) -> Leader:
    """As ``[sweep]`` says; the arguments are those of the parts."""
    pace = PaceSettings.from_conf(conf)
    sweeper = Sweeper(
        engine=engine, member=member, catalog=catalog, lister=Lister(catalog, sessions, gate, wall=wall, clock=clock),
        pace=pace, overlap=conf.sweep.overlap,
    )
    return Leader(
        LeaderSettings(pace, enabled=conf.sweep.enabled), engine=engine, catalog=catalog, sweeper=sweeper,
        kinds=kinds, leads=leads, consumes=consumes, clock=clock,
    )

"""The engine as one object: everything that the contract asks, over one store.

Safe from any thread.  ``obsvc.engine.http`` serves it; ``obsvc.engine_client.local`` calls it in the same process.
"""
from __future__ import annotations

from obsvc.engine.database.schema_version import check_schema
from obsvc.engine.database.store import Store
from obsvc.engine.database.waiters import Waiters
from obsvc.engine.operations.duties import DutyOperations
from obsvc.engine.operations.jobs import JobOperations
from obsvc.engine.operations.members import MemberOperations
from obsvc.engine.operations.observations import ObservationOperations
from obsvc.engine.operations.selectors import SelectorOperations
from obsvc.engine.operations.stacks import StackOperations
from obsvc.engine.reports import upkeep
from obsvc.engine.settings import EngineSettings
from obsvc.engine_client.contract import CONTRACT_VERSION, CONTRACT_VERSION_MIN, Empty, EngineInfo
from obsvc.exceptions import ObsvcError


class EngineService(
    MemberOperations, DutyOperations, ObservationOperations, SelectorOperations, StackOperations, JobOperations
):
    """Implements :class:`obsvc.engine_client.contract.Engine`.

    settings: those of the store unless given.  waiters_limit: long polls at once; more are cut short.
    """

    def __init__(self, store: Store, settings: EngineSettings | None = None, *, waiters_limit: int = 1000) -> None:
        self.store = store
        self.settings = settings or store.settings
        store.settings = self.settings
        self.waiters = Waiters(
            store.counters, poll_interval=self.settings.poll_interval, limit=waiters_limit
        )
        store.on_commit(self.waiters.notify)

    def info(self, request: Empty) -> EngineInfo:
        deployment = self.store.deployment()
        return EngineInfo(
            contract_version=CONTRACT_VERSION, contract_version_min=CONTRACT_VERSION_MIN,
            database_id=deployment.database_id, partitions=deployment.partitions,
            engine_time=self.store.clock.time(), drain_timeout=self.settings.drain_timeout,
            member_timeout=self.settings.member_timeout,
        )

    def prepare(self) -> None:
        """Begin the endless due work; once per start of an engine."""
        self.store.run(upkeep.ensure_retention)

    def ready(self) -> str | None:
        """None where the database answers and its schema is this version's; else why not."""
        try:
            check_schema(self.store)
        except ObsvcError as error:
            return error.message
        return None

    def shutdown(self) -> None:
        """Answer every waiting request now; may be called from a signal handler."""
        self.waiters.shutdown()

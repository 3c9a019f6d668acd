"""What members ask of the engine about duties."""
from __future__ import annotations

from obsvc.engine.database.store import Store
from obsvc.engine.ownership import duties
from obsvc.engine.reports import sweeping
from obsvc.engine_client import duties as messages
from obsvc.engine_client.contract import Empty


class DutyOperations:
    """What leads to one leader a duty; safe from any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def duties(self, request: Empty) -> messages.DutiesReply:
        return self._store.read(duties.read)

    def ensure_duties(self, request: messages.EnsureDutiesRequest) -> Empty:
        if request.duties:
            self._store.run(lambda tx: duties.ensure(tx, request.duties))
        return Empty()

    def request_duty(self, request: messages.DutyRequest) -> messages.DutyRequestReply:
        return messages.DutyRequestReply(tuple(self._store.run(lambda tx: duties.ask(tx, request))))

    def begin_duty(self, request: messages.DutyBegin) -> messages.DutyBegun:
        return self._store.run(lambda tx: duties.begin(tx, request))

    def sweep(self, request: messages.SweepBatch) -> messages.SweepReply:
        return self._store.run(lambda tx: sweeping.sweep(tx, request))

    def end_duty(self, request: messages.DutyEnd) -> messages.DutyEnded:
        return self._store.run(lambda tx: duties.end(tx, request))

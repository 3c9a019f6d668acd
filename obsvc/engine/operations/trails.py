"""Trails, from the owner that tells one to the caller that asked."""
from __future__ import annotations

from obsvc.engine.database.store import Store
from obsvc.engine.database.waiters import Waiters
from obsvc.engine.observations import trails
from obsvc.engine_client.contract import Empty
from obsvc.engine_client.trails import TellTrailsRequest, TrailReply, TrailRequest


class TrailOperations:
    """Safe from any thread."""

    def __init__(self, store: Store, waiters: Waiters) -> None:
        self._store = store
        self._waiters = waiters

    def tell_trails(self, request: TellTrailsRequest) -> Empty:
        if request.trails:
            self._store.run(lambda tx: trails.tell(tx, request))
        return Empty()

    def trail(self, request: TrailRequest) -> TrailReply:
        """NotFound where nobody observes the ref; no trail where its owner does not tell it in time."""
        asked_at = self._store.run(lambda tx: trails.ask(tx, request.ref))
        return self._waiters.wait(
            {"partition"}, lambda: self._store.read(lambda tx: trails.read(tx, request.ref, asked_at)), request.wait,
        ) or TrailReply()

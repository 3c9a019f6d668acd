"""What the public API and the members ask of the engine about selectors."""
from __future__ import annotations

from obsvc.engine.database.rows import check_ref
from obsvc.engine.database.store import Store
from obsvc.engine.database.waiters import Waiters
from obsvc.engine.observations import selected
from obsvc.engine_client import selectors as messages
from obsvc.engine_client.contract import Empty
from obsvc.exceptions import InvalidInput

#: Refs of one discovery at most.
DISCOVER_MAX = 1000


class SelectorOperations:
    """Selectors, and what members find for them; safe from any thread."""

    def __init__(self, store: Store, waiters: Waiters) -> None:
        self._store = store
        self._waiters = waiters

    def start_selector(self, request: messages.SelectorStart) -> messages.Selector:
        return self._store.run(lambda tx: selected.start(tx, request))

    def stop_selector(self, request: messages.SelectorStop) -> Empty:
        stopped = self._store.run(lambda tx: selected.stop(tx, request))
        while self._store.run(lambda tx: selected.stop_unselected(tx, (stopped.region, stopped.resource_type))):
            pass
        return Empty()

    def selectors(self, request: messages.SelectorsRequest) -> messages.SelectorsReply:
        return self._waiters.wait_until(
            {"selector"}, lambda: self._store.read(selected.read), lambda reply: reply.version != request.known,
            request.wait)

    def discover(self, request: messages.DiscoverRequest) -> messages.DiscoverReply:
        if len(request.refs) > DISCOVER_MAX:
            raise InvalidInput(f"expected at most {DISCOVER_MAX} refs, got {len(request.refs)}: send them in parts")
        for ref in request.refs:
            check_ref(ref)
        return messages.DiscoverReply(self._store.run(lambda tx: selected.discover(tx, request.refs)))

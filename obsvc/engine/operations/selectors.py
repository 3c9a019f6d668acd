"""What the public API and the members ask of the engine about selectors."""
from __future__ import annotations

from obsvc.engine.database.rows import check_ref
from obsvc.engine.database.store import Store
from obsvc.engine.database.waiters import Waiters
from obsvc.engine.observations import selected
from obsvc.engine.operations.members import WAIT_MAX
from obsvc.engine_client import selectors
from obsvc.engine_client.contract import Empty
from obsvc.exceptions import InvalidInput

#: Refs of one discovery at most.
DISCOVER_MAX = 1000


class SelectorOperations:
    """The part of the engine's service behind selectors; safe from any thread."""

    store: Store
    waiters: Waiters

    def start_selector(self, request: selectors.SelectorStart) -> selectors.Selector:
        return self.store.run(lambda tx: selected.start(tx, request))

    def stop_selector(self, request: selectors.SelectorStop) -> Empty:
        stopped = self.store.run(lambda tx: selected.stop(tx, request))
        while self.store.run(lambda tx: selected.left_over(tx, (stopped.region, stopped.resource_type))):
            pass
        return Empty()

    def selectors(self, request: selectors.SelectorsRequest) -> selectors.SelectorsReply:
        last: selectors.SelectorsReply | None = None

        def check() -> selectors.SelectorsReply | None:
            nonlocal last
            last = self.store.read(selected.read)
            return last if last.version != request.known else None

        found = self.waiters.wait({"selector"}, check, min(request.wait, WAIT_MAX)) or last
        assert found is not None
        return found

    def discover(self, request: selectors.DiscoverRequest) -> selectors.DiscoverReply:
        if len(request.refs) > DISCOVER_MAX:
            raise InvalidInput(f"expected at most {DISCOVER_MAX} refs, got {len(request.refs)}: send them in parts")
        for ref in request.refs:
            check_ref(ref)
        return selectors.DiscoverReply(self.store.run(lambda tx: selected.discover(tx, request.refs)))

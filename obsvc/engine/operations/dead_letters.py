"""Messages that members could not read."""
from __future__ import annotations

from obsvc import metrics
from obsvc.engine.database.store import Store
from obsvc.engine.observations import dead_letters
from obsvc.engine_client import reports
from obsvc.engine_client.contract import Empty


class DeadLetterOperations:
    """Safe from any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def bury(self, request: reports.BuryRequest) -> Empty:
        if request.letters:
            self._store.run(lambda tx: dead_letters.bury(tx, request.letters))
        return Empty()

    def dead_letters(self, request: reports.DeadLettersRequest) -> reports.DeadLettersPage:
        return self._store.read(lambda tx: dead_letters.page(tx, request))

    def dead_letter(self, request: reports.DeadLetterRequest) -> reports.DeadLetter:
        return self._store.read(lambda tx: dead_letters.read(tx, request.letter_id))

    def replay_dead_letter(self, request: reports.ReplayRequest) -> reports.ReplayReply:
        reply = self._store.run(lambda tx: dead_letters.replayed(tx, request))
        metrics.MARKS.labels(reason="replay").inc(sum(number is not None for number in reply.marks))
        return reply

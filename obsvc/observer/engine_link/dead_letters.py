"""Messages that can't be read are kept at the engine, for whoever looks into them.  Any thread may call."""
from __future__ import annotations

from obsvc.engine_client.contract import DeadLetterIntakeApi
from obsvc.engine_client.reports import BuryRequest, DeadLetter


class DeadLetters:
    """Where dead letters go."""

    def __init__(self, engine: DeadLetterIntakeApi) -> None:
        self._engine = engine

    def bury(self, letter: DeadLetter) -> None:
        """Store ``letter``; raises Unavailable when the engine can't."""
        self._engine.bury(BuryRequest((letter,)))

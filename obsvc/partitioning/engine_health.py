"""How this member stands with the engine: when it answered last, and what is wrong.  Any thread may call."""
from __future__ import annotations

import logging

from obsvc.exceptions import ObsvcError

LOG = logging.getLogger(__name__)


class EngineHealth:
    """seen: monotonic seconds when the newest beat that was answered was sent.  error: the newest trouble, None when
    it answers."""

    def __init__(self) -> None:
        self.seen = float("-inf")
        self.error: str | None = None

    def failed(self, what: str, error: ObsvcError) -> None:
        """One line a trouble, however long it lasts."""
        if self.error != error.message:
            LOG.warning("the engine did not take a %s, it is tried again: %s", what, error)
        self.error = error.message

    def answered(self) -> None:
        if self.error is not None:
            LOG.info("the engine answers again")
            self.error = None

"""Whether the engine answers this member: since when, and what the newest error is.  Any thread may call."""
from __future__ import annotations

import logging

from obsvc.exceptions import ObsvcError
from obsvc.process.outage_log import OutageLog

LOG = logging.getLogger(__name__)


class EngineHealth:
    """seen: monotonic seconds when the newest beat that was answered was sent.  error: what the newest failure said;
    None when the engine answers."""

    def __init__(self) -> None:
        self.seen = float("-inf")
        self.error: str | None = None
        self._outage = OutageLog(LOG, "the engine takes no beat or no claim", back="the engine answers again")

    def failed(self, error: ObsvcError) -> None:
        """A beat, a claim or a release was not taken."""
        self.error = error.message
        self._outage.failed(error)

    def answered(self) -> None:
        self.error = None
        self._outage.recovered()

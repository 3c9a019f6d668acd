"""One log line for a trouble that lasts, however often it is met, and one when it is over.  Any thread may call."""
from __future__ import annotations

import logging


class OutageLog:
    """what: names what does not work, as the subject of a sentence.  logger: who says so."""

    def __init__(self, logger: logging.Logger, what: str) -> None:
        self._logger = logger
        self._what = what
        self._present = False

    @property
    def present(self) -> bool:
        return self._present

    def failed(self, error: Exception) -> None:
        """It failed (again)."""
        if not self._present:
            self._present = True
            self._logger.warning("%s, it is tried again: %s", self._what, error)

    def recovered(self) -> None:
        """It worked."""
        if self._present:
            self._present = False
            self._logger.info("over: %s", self._what)

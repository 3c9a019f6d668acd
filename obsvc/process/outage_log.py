"""One log line when something fails, however often it goes on failing, and one when it works again.  Any thread."""
from __future__ import annotations

import logging


class OutageLog:
    """The state of one thing that works or does not.

    logger: who says so.  what: names what does not work, as the subject of a sentence.  back: the line when it works
    again; None: made of ``what``.  note: stands between ``what`` and the error; empty: nothing does.
    """

    def __init__(
        self, logger: logging.Logger, what: str, *, back: str | None = None, note: str = "trying again"
    ) -> None:
        self._logger = logger
        self._what = f"{what}, {note}" if note else what
        self._back = f"over: {what}" if back is None else back
        self._failing = False

    @property
    def failing(self) -> bool:
        """It failed when it was last tried."""
        return self._failing

    def failed(self, error: Exception) -> None:
        """It failed (again)."""
        if not self._failing:
            self._failing = True
            self._logger.warning("%s: %s", self._what, error)

    def recovered(self) -> None:
        """It worked."""
        if self._failing:
            self._failing = False
            self._logger.info("%s", self._back)

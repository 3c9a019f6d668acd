"""The engine's clock as well as this member knows it: its own monotonic clock and an offset.

Deadlines and the times in grants are the engine's.  The offset is off by at most what the request took; it is measured
again by :meth:`EngineClock.ask`.  Any thread may call.
"""
from __future__ import annotations

from obsvc.engine_client.contract import Empty, EngineInfo, InfoApi
from obsvc.exceptions import ObsvcError
from obsvc.process.clock import Clock


class EngineClock:
    """info: what the engine answered just now."""

    def __init__(self, engine: InfoApi, info: EngineInfo, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._offset = info.engine_time - clock.monotonic()

    def time(self) -> float:
        """Seconds since the epoch; asks nobody."""
        return self._clock.monotonic() + self._offset

    def ask(self) -> float:
        """As :meth:`time`, after asking the engine; while the engine is away, by what was known before."""
        try:
            self._offset = self._engine.info(Empty()).engine_time - self._clock.monotonic()
        except ObsvcError:
            pass  # the two clocks drift apart by far less than what the takeover rule allows for
        return self.time()

"""Whether this member and the engine are compatible; checked once before anything else.  Any thread may call."""
from __future__ import annotations

import logging
import threading

from obsvc.engine_client.contract import CONTRACT_VERSION, CONTRACT_VERSION_MIN, Empty, EngineInfo, InfoApi
from obsvc.exceptions import ConfigError, IncompatibleContract, Unavailable
from obsvc.process.outage_log import OutageLog

LOG = logging.getLogger(__name__)

#: Seconds between two attempts while the engine does not answer.
RETRY_PAUSE = 0.5


def check_engine(info: EngineInfo, partitions: int) -> None:
    """Raises IncompatibleContract or ConfigError, one line, when a member can't work with this engine."""
    if info.contract_version < CONTRACT_VERSION_MIN or info.contract_version_min > CONTRACT_VERSION:
        raise IncompatibleContract(
            f"the engine speaks contract versions {info.contract_version_min} to {info.contract_version}, this member "
            f"{CONTRACT_VERSION_MIN} to {CONTRACT_VERSION}: upgrade the older one"
        )
    if info.partitions != partitions:
        raise ConfigError(
            f"this member computes with {partitions} partitions, the engine's database was made with "
            f"{info.partitions}: they can't be mixed; start the member with the engine's number"
        )


def wait_for_engine(engine: InfoApi, stop: threading.Event, *, pause: float = RETRY_PAUSE) -> EngineInfo | None:
    """Ask until the engine answers ``info``; one log line however long that lasts.  None when stopped first."""
    outage = OutageLog(LOG, "waiting for the engine", back="the engine answers", note="")
    while not stop.is_set():
        try:
            info = engine.info(Empty())
        except Unavailable as error:
            outage.failed(error)
            stop.wait(pause)
        else:
            outage.recovered()
            return info
    return None

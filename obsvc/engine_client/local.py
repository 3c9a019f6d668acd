"""The in-process carrier: an engine's service object in the same process, for tests and small tools.

Everything goes through JSON both ways, as it would over the wire, so that a caller can neither share a mutable
value with the engine nor rely on a type that would not survive the trip.  As thread-safe as the service is.
"""
from __future__ import annotations

import msgspec

from obsvc.engine_client.carrier import Carrier, encoded
from obsvc.engine_client.contract import Engine, Operation
from obsvc.exceptions import InvalidInput


class LocalEngine(Carrier):
    """Carries every operation to ``service``, anything that implements ``contract.Engine``."""

    def __init__(self, service: Engine) -> None:
        self._service = service

    def call(self, operation: Operation, request: msgspec.Struct) -> msgspec.Struct:
        try:
            carried = msgspec.json.decode(encoded(operation, request), type=operation.request)
        except msgspec.MsgspecError as error:
            raise InvalidInput(f"a {operation.request.__name__} does not survive JSON: {error}") from error
        reply = getattr(self._service, operation.name)(carried)
        return msgspec.json.decode(msgspec.json.encode(reply), type=operation.reply)

"""What every carrier of the contract shares: one method for each operation, made from ``contract.OPERATIONS``.

A carrier brings a request struct to an engine and its reply back; it implements :meth:`Carrier.call` alone.
"""
from __future__ import annotations

import abc
from collections.abc import Callable

import msgspec

from obsvc.engine_client.contract import OPERATIONS, Engine, ErrorReply, Operation
from obsvc.exceptions import InvalidInput, ObsvcError, UndecodableMessage, by_code

_ENCODE = msgspec.json.Encoder()


class Carrier(Engine):
    """An ``Engine`` whose every operation goes through :meth:`call`.  As thread-safe as its ``call`` is.

    The protocol says what each method takes and gives; what they do is set below, from the table of operations.
    """

    @abc.abstractmethod
    def call(self, operation: Operation, request: msgspec.Struct) -> msgspec.Struct:
        """Carry one request over.  Returns the reply struct, raises ObsvcError."""


def encoded(operation: Operation, request: msgspec.Struct) -> bytes:
    """``request`` as JSON; InvalidInput for what JSON in UTF-8 can't hold (a lone surrogate in a text)."""
    try:
        return _ENCODE.encode(request)
    except (msgspec.MsgspecError, ValueError, TypeError, OverflowError) as error:
        raise InvalidInput(f"a {operation.request.__name__} can't be written as JSON: {error}") from error


def _method(operation: Operation) -> Callable[[Carrier, msgspec.Struct], msgspec.Struct]:
    def method(self: Carrier, request: msgspec.Struct) -> msgspec.Struct:
        if not isinstance(request, operation.request):
            raise InvalidInput(
                f"expected a {operation.request.__name__} for {operation.name}, got {type(request).__name__}"
            )
        return self.call(operation, request)

    method.__name__ = operation.name
    method.__qualname__ = f"Carrier.{operation.name}"
    method.__doc__ = f"{operation.request.__name__} to {operation.reply.__name__}; see ``contract.Engine``."
    return method


for _operation in OPERATIONS.values():
    setattr(Carrier, _operation.name, _method(_operation))


def error_from(body: bytes) -> ObsvcError | None:
    """The error that an engine's error answer carries; None when ``body`` is not of that shape."""
    try:
        error = msgspec.json.decode(body, type=ErrorReply).error
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    cls = by_code(error.code)
    if issubclass(cls, UndecodableMessage):
        return cls(error.message, reason=error.code)
    return cls(error.message, code=error.code)

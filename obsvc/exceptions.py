"""Errors that obsvc raises on purpose.

Each message says what was expected, what came, and what to do; each is fit to be shown to an operator as it is.
"""
from __future__ import annotations


class ObsvcError(Exception):
    """Base of every error that obsvc raises on purpose; ``code`` is stable and goes over the wire."""

    code = "internal"
    http_status = 500

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class ConfigError(ObsvcError):
    """An option's value can't be used; the process that finds it ends with the message as its one line."""

    code = "bad_configuration"


class InvalidInput(ObsvcError):
    """What a caller sent can't be taken."""

    code = "invalid_input"
    http_status = 400


class Unauthorized(ObsvcError):
    """The caller is not known; ``challenge`` says how to become so (``WWW-Authenticate``, RFC 9110 11.6.1)."""

    code = "unauthorized"
    http_status = 401

    def __init__(self, message: str, *, challenge: str = "", code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.challenge = challenge


class Forbidden(ObsvcError):
    code = "forbidden"
    http_status = 403


class NotFound(ObsvcError):
    code = "not_found"
    http_status = 404


class Conflict(ObsvcError):
    """The request is well formed but the present state does not allow it."""

    code = "conflict"
    http_status = 409


class FeedTruncated(ObsvcError):
    """A changes feed was asked from a version older than what is kept: list again, then follow."""

    code = "version_too_old"
    http_status = 410


class IncompatibleContract(ObsvcError):
    """The two sides speak contract versions, or partition counts, that can't work together."""

    code = "incompatible_contract"
    http_status = 412


class Unavailable(ObsvcError):
    """Nothing is wrong with the request; try it again later.  Its outcome is *unknown*, not negative."""

    code = "unavailable"
    http_status = 503


class UndecodableMessage(ObsvcError):
    """A message on a bus can't be read as a notification; ``reason`` is a short stable word for metrics."""

    code = "undecodable_message"
    http_status = 400

    def __init__(self, message: str, *, reason: str = "", code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.reason = reason


def by_code(code: str) -> type[ObsvcError]:
    """The error class that carries ``code`` on the wire; :class:`ObsvcError` for one that is not known here.

    Only classes of this module go over the wire: what others derive may need more than a message to be made.
    """
    pending = [ObsvcError]
    while pending:
        cls = pending.pop()
        if cls.__module__ == __name__ and cls.__dict__.get("code") == code:
            return cls
        pending.extend(cls.__subclasses__())
    return ObsvcError

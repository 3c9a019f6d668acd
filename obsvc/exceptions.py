"""Errors that obsvc raises on purpose.

Each message says what was expected, what came, and what to do; each is fit to be shown to an operator as it is.
"""
from __future__ import annotations


class ObsvcError(Exception):
    """Base of every error that obsvc raises on purpose; ``code`` is stable and goes over the wire.

    expected, remedy: what would have been right and what to do, of every error of the class; ``message`` says it of
    this one.
    """

    code = "internal"
    http_status = 500
    expected = "a request that obsvc can carry out"
    remedy = "look for the request's id in the log of the obsvc process that answered"

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
    expected = "a request as this API's OpenAPI document describes it"
    remedy = "correct what the message names, then send it again"


class Unauthorized(ObsvcError):
    """The caller is not known; ``challenge`` says how to become so (``WWW-Authenticate``, RFC 9110 11.6.1)."""

    code = "unauthorized"
    http_status = 401
    expected = "credentials that are valid here"
    remedy = "send a valid token or password, as WWW-Authenticate says"

    def __init__(self, message: str, *, challenge: str = "", code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.challenge = challenge


class Forbidden(ObsvcError):
    code = "forbidden"
    http_status = 403
    expected = "a role that the policy allows this to"
    remedy = "use credentials with such a role, or ask the operator"


class NotFound(ObsvcError):
    code = "not_found"
    http_status = 404
    expected = "something that there is, and that these credentials may see"
    remedy = "check the id and the project; list what there is"


class MethodNotAllowed(ObsvcError):
    code = "method_not_allowed"
    http_status = 405
    expected = "a method that this path has"
    remedy = "use one of those that the Allow header names"


class Conflict(ObsvcError):
    """The request is well formed but the present state does not allow it."""

    code = "conflict"
    http_status = 409
    expected = "a state in which this can be done"
    remedy = "read the present state, then decide anew"


class FeedTruncated(ObsvcError):
    """A changes feed was asked from a version older than what is kept: list again, then follow."""

    code = "version_too_old"
    http_status = 410
    expected = "a version that is still kept"
    remedy = "list again, then follow from there"


class IncompatibleContract(ObsvcError):
    """The two sides speak contract versions, or partition counts, that can't work together."""

    code = "incompatible_contract"
    http_status = 412


class TooLarge(ObsvcError):
    """The body is larger than is read."""

    code = "too_large"
    http_status = 413
    expected = "a smaller body"
    remedy = "send it in parts"


class UriTooLong(ObsvcError):
    """The request's line is longer than is read."""

    code = "uri_too_long"
    http_status = 414
    expected = "a shorter path and query"
    remedy = "ask with fewer or shorter filters"


class HeadersTooLarge(ObsvcError):
    """The request's headers are more or longer than is read."""

    code = "headers_too_large"
    http_status = 431
    expected = "fewer or shorter headers"
    remedy = "leave out what no service asked for"


class TooManyRequests(ObsvcError):
    """A project asks for more than its share; nothing was done.  retry_after: whole seconds."""

    code = "too_many_requests"
    http_status = 429
    expected = "fewer requests, or fewer that wait at once"
    remedy = "send it again after as many seconds as Retry-After says"

    def __init__(self, message: str, *, retry_after: int = 1, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after


class Unavailable(ObsvcError):
    """Nothing is wrong with the request; try it again later.  Its outcome is *unknown*, not negative."""

    code = "unavailable"
    http_status = 503
    expected = "a service that can answer now"
    remedy = "send it again after as many seconds as Retry-After says"


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


def one_line(error: object) -> str:
    """What ``error`` says, on one line; the name of its class where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__

"""What the status of a service's answer says of the service itself, whatever it says of the resource.  Pure."""
from __future__ import annotations

import enum


class ServiceVerdict(enum.StrEnum):
    """How the service stands by one answer of it."""

    ANSWERS = "answers"  #: it works, also where it refuses just this request (400, 403, 404 …)
    THROTTLES = "throttles"  #: it works and wants fewer requests
    FAILS = "fails"  #: it would fail another request as well; enough of them open its breaker


def verdict(status: int) -> ServiceVerdict:
    """By the HTTP status.

    401 is a failure although the service answered: it will not have us at all, and each try costs Keystone a token
    besides.  Any other refusal may be of the one request alone: many services answer 400 for an id that is not a UUID,
    and whoever may observe such ids must not shut the service for everybody.
    """
    if status == 429:
        return ServiceVerdict.THROTTLES
    return ServiceVerdict.FAILS if status == 401 or status >= 500 else ServiceVerdict.ANSWERS

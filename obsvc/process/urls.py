"""URLs as they may be shown in logs and messages.  Pure; any thread."""
from __future__ import annotations

import re

_USER = re.compile(r"[\w.-]{1,64}")


def without_secrets(url: str) -> str:
    """``url`` without password and options: ``amqp://user:***@host:5672//``.

    Meant for URLs that may be wrong, so what it leaves out it leaves out whatever the URL is: all between ``://`` and
    the last ``@`` but a plain user name, since a password may hold any character that should have been quoted, and
    all from the first ``?`` or ``#`` behind that.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return "…"  # it may be a password as well as anything else
    credentials, at, rest = rest.rpartition("@")
    user, colon, _ = credentials.partition(":")
    shown = f"{user}:***@" if colon and _USER.fullmatch(user) else "***@" if at else ""
    for mark in "?#":
        rest = rest.partition(mark)[0]
    return f"{scheme}://{shown}{rest}"

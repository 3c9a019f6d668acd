"""The header ``Retry-After`` (RFC 9110, 10.2.3).  Pure; any thread."""
from __future__ import annotations

from email.utils import parsedate_to_datetime


def seconds(value: str | None, now: float) -> float | None:
    """Seconds from ``now`` (since the epoch), of either form; None where it is absent or can't be read."""
    if value is None:
        return None
    try:
        return max(0.0, float(value) if value.strip().isdigit() else parsedate_to_datetime(value).timestamp() - now)
    except (TypeError, ValueError):
        return None

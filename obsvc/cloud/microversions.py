"""Which microversion a service is asked for: the catalogue's, or the newest that an older service takes.

A service that does not know the microversion answers 406.  Then its version document is read, once, and the newest one
that it supports is used instead; if it names none, requests are sent without.  Newer fields are missing then.

Any thread may call; :meth:`Microversions.refused` makes a request.
"""
from __future__ import annotations

import logging
import threading
from typing import Any

from keystoneauth1 import adapter as ks_adapter
from keystoneauth1 import discover
from keystoneauth1 import exceptions as ks_exceptions

from obsvc.process.clock import Clock

LOG = logging.getLogger(__name__)

#: Seconds for which a service's newest microversion is remembered: after an upgrade the fields are back within this
#: time.
REMEMBERED = 3600.0

Key = tuple[str, str]


class Microversions:
    """What services take, by (region, service type), of those that refused what they were asked for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._newest: dict[Key, tuple[str | None, float]] = {}

    def usable(self, key: Key, wanted: str | None) -> str | None:
        """What to ask for where the catalogue says ``wanted``; None: nothing."""
        known = self._newest.get(key)
        if wanted is None or known is None or known[1] <= self._clock.monotonic():
            return wanted
        return known[0] if known[0] is None or _number(known[0]) < _number(wanted) else wanted

    def refused(self, key: Key, wanted: str, adapter: ks_adapter.Adapter) -> str | None:
        """The service has refused ``wanted``: what to ask for instead."""
        newest = _newest(adapter)
        if newest is not None and _number(newest) >= _number(wanted):
            newest = None  # it takes that by its own word, and yet refused it
        with self._lock:
            self._newest[key] = (newest, self._clock.monotonic() + REMEMBERED)
        LOG.warning("%s in %s does not take microversion %s and is asked for %s: it is older than the catalogue "
                    "expects; fields that it does not have yet are left out", key[1], key[0], wanted, newest or "none")
        return newest

    def forget(self, key: Key) -> None:
        """It may be another service by now."""
        with self._lock:
            self._newest.pop(key, None)


def _newest(adapter: ks_adapter.Adapter) -> str | None:
    """What the service's version document names as its newest; None where it names none or can't be read."""
    try:
        data: Any = adapter.get_endpoint_data()
    except (ks_exceptions.ClientException, ValueError, TypeError) as error:
        LOG.debug("no version document: %s", type(error).__name__)
        return None
    newest = getattr(data, "max_microversion", None)
    return discover.version_to_string(newest) if newest else None


def _number(microversion: str) -> tuple[int | float, ...]:
    return discover.normalize_version_number(microversion)

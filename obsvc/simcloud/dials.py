"""The dials of the simulated cloud: how long things take, and what goes wrong.

A :class:`Dials` is frozen; ``turned`` makes the next one from a partial change, checked.  Whoever holds the cloud's
present dials (:class:`Panel`) may be read from any thread.
"""
from __future__ import annotations

import math
import random
import threading
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from obsvc.exceptions import InvalidInput

#: The services, as in the first part of a path.
SERVICES = ("identity", "compute", "network", "volume", "image", "sim")


class BuildTime(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long a build takes, in seconds.

    fixed: always ``seconds``.  uniform: from ``seconds`` to ``most``.  lognormal: median ``seconds``, with ``sigma``
    as the deviation of the logarithm, never more than ``most`` where that is above zero.
    """

    distribution: Literal["fixed", "uniform", "lognormal"] = "fixed"
    seconds: float = 2.0
    most: float = 0.0
    sigma: float = 0.5

    def draw(self, source: random.Random) -> float:
        """One build time in seconds, never negative."""
        if self.distribution == "uniform":
            return source.uniform(self.seconds, max(self.seconds, self.most))
        if self.distribution == "lognormal" and self.seconds > 0:
            drawn = source.lognormvariate(math.log(self.seconds), self.sigma)
            return min(drawn, self.most) if self.most > 0 else drawn
        return self.seconds


class Dials(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that can be turned.

    build: of resources that build (servers, volumes, images, sim resources); build_by_type: for one type instead.
    failed_share: share of builds that end in error.  failed_names: builds of resources so named always fail.
    held_names: builds, changes and deletions of sim resources so named do not end before the name is taken out.
    api_latency: seconds before every answer of a cloud API.  api_behind: seconds by which the API shows a change
    later than its notification.  lost_share, duplicated_share: of notifications.  delayed_share of them go out
    ``delayed_seconds`` late.  silent_exchanges: every notification on them is lost.  down_services (of SERVICES) and
    requests for one of down_resources (ids) are answered 503, throttled_services 429, with retry_after in seconds.
    reordered_share: of notifications, each of which goes out up to ``reordered_seconds`` late, so that later ones
    overtake it.  throttled_share, unavailable_share: of requests that are answered 429 and 503 (never identity's).
    """

    build: BuildTime = BuildTime()
    build_by_type: dict[str, BuildTime] = {}
    failed_share: float = 0.0
    failed_names: tuple[str, ...] = ()
    held_names: tuple[str, ...] = ()
    api_latency: float = 0.0
    api_behind: float = 0.0
    lost_share: float = 0.0
    duplicated_share: float = 0.0
    delayed_share: float = 1.0
    delayed_seconds: float = 0.0
    down_services: tuple[str, ...] = ()
    down_resources: tuple[str, ...] = ()
    throttled_services: tuple[str, ...] = ()
    retry_after: int = 1
    reordered_share: float = 0.0
    reordered_seconds: float = 1.0
    throttled_share: float = 0.0
    unavailable_share: float = 0.0
    silent_exchanges: tuple[str, ...] = ()

    def build_time(self, resource_type: str) -> BuildTime:
        return self.build_by_type.get(resource_type, self.build)


_SHARES = ("failed_share", "lost_share", "duplicated_share", "delayed_share", "reordered_share",
           "throttled_share", "unavailable_share")
_SECONDS = ("api_latency", "api_behind", "delayed_seconds", "reordered_seconds")


def checked(dials: Dials) -> Dials:
    """``dials`` itself; raises InvalidInput for a value out of its range."""
    for name in _SHARES:
        if not 0.0 <= getattr(dials, name) <= 1.0:
            raise InvalidInput(f"expected a share from 0 to 1 for {name}, got {getattr(dials, name)}")
    for name in _SECONDS:
        if not 0.0 <= getattr(dials, name) < math.inf:
            raise InvalidInput(f"expected seconds >= 0 for {name}, got {getattr(dials, name)}")
    for name in (*dials.down_services, *dials.throttled_services):
        if name not in SERVICES:
            raise InvalidInput(f"expected a service out of {', '.join(SERVICES)}, got {name!r}")
    if dials.retry_after < 0:
        raise InvalidInput(f"expected seconds >= 0 for retry_after, got {dials.retry_after}")
    for build in (dials.build, *dials.build_by_type.values()):
        if min(build.seconds, build.most, build.sigma) < 0:
            raise InvalidInput(f"expected seconds, most and sigma >= 0 of a build time, got {build}")
    return dials


def turned(dials: Dials, change: Mapping[str, Any]) -> Dials:
    """``dials`` with the fields of ``change`` instead; raises InvalidInput naming what is wrong."""
    if not isinstance(change, Mapping):
        raise InvalidInput(f"expected an object of dials to turn, got {type(change).__name__}")
    merged = {**msgspec.to_builtins(dials), **change}
    if isinstance(change.get("build"), Mapping):
        merged["build"] = {**msgspec.to_builtins(dials.build), **change["build"]}
    try:
        return checked(msgspec.convert(merged, Dials))
    except msgspec.ValidationError as error:
        raise InvalidInput(f"these dials can't be set: {error}") from error


def parse_build_time(text: str) -> BuildTime:
    """``2.5``, ``fixed:2.5``, ``uniform:1,4`` or ``lognormal:2,0.5[,most]``; raises InvalidInput."""
    name, _, numbers = text.rpartition(":")
    try:
        values = [float(number) for number in numbers.split(",")]
    except ValueError:
        values = []
    match name or "fixed", values:
        case "fixed", [seconds]:
            build = BuildTime("fixed", seconds)
        case "uniform", [least, most] if most >= least:
            build = BuildTime("uniform", least, most)
        case "lognormal", [median, sigma]:
            build = BuildTime("lognormal", median, 0.0, sigma)
        case "lognormal", [median, sigma, most]:
            build = BuildTime("lognormal", median, most, sigma)
        case _:
            raise InvalidInput(
                f"expected a build time as SECONDS, uniform:LEAST,MOST or lognormal:MEDIAN,SIGMA[,MOST], got {text!r}"
            )
    return checked(Dials(build=build)).build


class Panel:
    """Holds the present dials; every method may be called from any thread."""

    def __init__(self, dials: Dials) -> None:
        self._dials = checked(dials)
        self._lock = threading.Lock()

    @property
    def now(self) -> Dials:
        return self._dials

    def turn(self, change: Mapping[str, Any]) -> Dials:
        """Set the named fields; raises InvalidInput and then changes nothing."""
        with self._lock:
            self._dials = turned(self._dials, change)
            return self._dials

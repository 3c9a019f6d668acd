"""How long to wait before trying again what has failed: exponential, jittered, capped.  Pure; any thread."""
from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

#: Doublings after which the delay grows no more whatever its cap: 2.0 ** 64 seconds is for ever.
_STEPS_MAX = 64


@dataclass(frozen=True, slots=True)
class Backoff:
    """The delays after one failure, two failures in a row, and so on.

    first: seconds after the first failure.  most: upper bound, seconds.  growth: factor from one delay to the next.
    jitter: least and greatest factor by which a delay is multiplied at random, so that many that failed at once do not
    all come back at once; ``(1.0, 1.0)``: none.
    """

    first: float
    most: float
    growth: float = 2.0
    jitter: tuple[float, float] = (0.5, 1.0)

    def delay(self, failures: int, uniform: Callable[[float, float], float] = random.uniform) -> float:
        """Seconds before the next attempt after ``failures`` failures in a row (at least 1)."""
        seconds = self.without_jitter(failures)
        return seconds if self.jitter == (1.0, 1.0) else seconds * uniform(*self.jitter)

    def without_jitter(self, failures: int) -> float:
        """As :meth:`delay`, not jittered."""
        return min(self.most, self.first * self.growth ** min(max(failures - 1, 0), _STEPS_MAX))

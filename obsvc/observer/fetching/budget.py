"""A request budget: a token bucket.  Pure: every method takes the time, monotonic seconds; not thread-safe."""
from __future__ import annotations

#: Seconds' worth of requests that may be made at once after quiet.
BURST_SECONDS = 1.0


class Budget:
    """``rate`` requests a second on average, up to ``rate * BURST_SECONDS`` (at least one) at once."""

    def __init__(self, rate: float, now: float) -> None:
        self._set(rate)
        self._tokens = self._most
        self._at = now

    def change_rate(self, rate: float, now: float) -> None:
        """From ``now`` on another rate; what was saved up is kept as far as the new burst allows."""
        self._refill(now)
        self._set(rate)
        self._tokens = min(self._tokens, self._most)

    def _set(self, rate: float) -> None:
        if rate <= 0:
            raise ValueError(f"expected requests a second above 0, got {rate}")
        self._rate = rate
        self._most = max(1.0, rate * BURST_SECONDS)

    def wait(self, now: float) -> float:
        """Seconds until a request may be made; 0.0: now."""
        self._refill(now)
        return 0.0 if self._tokens >= 1.0 else (1.0 - self._tokens) / self._rate

    def take(self, now: float) -> None:
        """Spend one request."""
        self._refill(now)
        self._tokens -= 1.0

    def _refill(self, now: float) -> None:
        self._tokens = min(self._most, self._tokens + max(0.0, now - self._at) * self._rate)
        self._at = max(self._at, now)
        if 1.0 - 1e-9 <= self._tokens < 1.0:
            self._tokens = 1.0  # what rounding took away

"""A token bucket: how many requests may be made, on average and at once.

Pure: every method takes the time, monotonic seconds.  Not thread-safe.
"""
from __future__ import annotations

#: Part of a token that rounding may have taken away.
_ROUNDING = 1e-9


class TokenBucket:
    """``rate`` requests a second on average, up to ``burst`` (at least one) at once after quiet; full at first."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._set(rate, burst)
        self._tokens = self._burst
        self._at = now

    def change_rate(self, rate: float, burst: float, now: float) -> None:
        """Another rate and burst from ``now`` on; what was saved up is kept as far as the new burst allows."""
        self._refill(now)
        self._set(rate, burst)
        self._tokens = min(self._tokens, self._burst)

    def _set(self, rate: float, burst: float) -> None:
        if rate <= 0:
            raise ValueError(f"expected requests a second above 0, got {rate}")
        self._rate = rate
        self._burst = max(1.0, burst)

    def wait(self, now: float) -> float:
        """Seconds until a request may be made; 0.0: now."""
        self._refill(now)
        return 0.0 if self._tokens >= 1.0 else (1.0 - self._tokens) / self._rate

    def take(self, now: float) -> None:
        """Spend one request."""
        self._refill(now)
        self._tokens -= 1.0

    def full(self, now: float) -> bool:
        """Whether nothing is remembered of what was spent."""
        self._refill(now)
        return self._tokens >= self._burst

    def _refill(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._at) * self._rate)
        self._at = max(self._at, now)
        if 1.0 - _ROUNDING <= self._tokens < 1.0:
            self._tokens = 1.0

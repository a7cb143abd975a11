"""A token bucket: how much of something a peer may use, with a burst. Pure; time is an argument, in seconds of any steady clock."""

from __future__ import annotations


class TokenBucket:
    """Fills with `rate` tokens a second up to `burst`, and begins full."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        if rate <= 0 or burst <= 0:
            raise ValueError("A rate and its burst are above zero.")
        self._rate, self._burst = rate, burst
        self._level, self._at = burst, now

    def take(self, amount: float, now: float) -> float:
        """Take `amount` if that much is there: 0.0. Otherwise take nothing: the seconds until it would be there."""
        self._fill(now)
        if amount <= self._level:
            self._level -= amount
            return 0.0
        return (min(amount, self._burst) - self._level) / self._rate

    def give_back(self, amount: float) -> None:
        """Return what was taken and not used."""
        self._level = min(self._burst, self._level + amount)

    def _fill(self, now: float) -> None:
        self._level = min(self._burst, self._level + max(0.0, now - self._at) * self._rate)
        self._at = max(self._at, now)

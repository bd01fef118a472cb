"""When a token counts as stale and as expired: pure arithmetic over a token set and the time."""

from __future__ import annotations

import enum
import math
import time
from dataclasses import dataclass
from typing import Protocol

from atlassian_auth_adapter.tokens import TokenSet

__all__ = ["SYSTEM_CLOCK", "Clock", "ExpiryPolicy", "Freshness", "SystemClock"]


class Clock(Protocol):
    """Where the package takes the time from; tests pass one that they move themselves."""

    def time(self) -> float:
        """POSIX timestamp, seconds; may jump in both directions."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""

    def sleep(self, seconds: float) -> None:
        """Return after `seconds`, or early when the process is about to end."""


class SystemClock:
    """The machine's clocks."""

    def time(self) -> float:
        """POSIX timestamp, seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds from an arbitrary start."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Return after `seconds`, or early when the process is about to end.

        A process that wants to exit waits for a token request in flight, not for our patience.
        """
        from atlassian_auth_adapter.threads import is_exiting  # who does not wait needs no threads

        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not is_exiting():
            time.sleep(min(left, 0.25))


SYSTEM_CLOCK = SystemClock()


class Freshness(enum.Enum):
    """What may be done with an access token."""

    FRESH = "fresh"  # use it
    STALE = "stale"  # use it, and renew it beside the traffic
    EXPIRED = "expired"  # renew it first


@dataclass(frozen=True, slots=True)
class ExpiryPolicy:
    """How long before its end a token is renewed.

    Two windows, scaled to the token's lifetime so that a short-lived token is not renewed all the
    time: in the *stale* window a renewal runs beside the traffic, in the *expired* window the
    traffic waits for it.

    Attributes:
        stale: Longest stale window, seconds before the end.
        stale_fraction: The stale window is at most this part of the lifetime.
        jitter: The stale window of each token starts up to this many seconds later, drawn once per
            token, so that a fleet does not renew in one instant.
        expired: Longest expired window, seconds before the end.
        expired_fraction: The expired window is at most this part of the lifetime.
        minimum: The expired window is never shorter than this many seconds, so what a caller gets
            is valid for at least as long (half its life, for a token that lives less than twice
            that).
            Source: the seed document, "10-second expiry buffer".
    """

    stale: float = 600.0
    stale_fraction: float = 0.25
    jitter: float = 60.0
    expired: float = 60.0
    expired_fraction: float = 0.1
    minimum: float = 10.0

    def freshness(self, token_set: TokenSet, remaining: float, luck: float = 0.0) -> Freshness:
        """What may be done with the token when it has `remaining` seconds to live.

        Args:
            token_set: Whose lifetime scales the windows.
            remaining: Seconds until the end; the smaller of what wall and monotonic clock say.
            luck: The token's share of the jitter, 0 to 1.
        """
        if remaining == math.inf:
            return Freshness.FRESH
        lifetime = token_set.lifetime
        expired = max(
            min(self.minimum, lifetime / 2), min(self.expired, lifetime * self.expired_fraction)
        )
        if remaining <= expired:
            return Freshness.EXPIRED
        stale = min(self.stale, lifetime * self.stale_fraction)
        stale -= min(self.jitter, stale / 4) * luck
        return Freshness.STALE if remaining <= stale else Freshness.FRESH

"""When a token counts as stale and as expired: pure arithmetic over a token set and the time."""

from __future__ import annotations

import enum
import math
from typing import NamedTuple

from atlassian_auth_adapter.tokens import TokenSet

__all__ = ["NO_LIMITS", "ExpiryPolicy", "Freshness", "Limits"]

#: A snapshot of a login, its token set, and the timestamp and the monotonic time until when that is
#: certainly fresh, by the clocks of this machine, in seconds.
Limits = tuple[object, TokenSet | None, float, float]
#: With them nothing is fresh.
NO_LIMITS: Limits = None, None, -math.inf, -math.inf


class Freshness(enum.Enum):
    """What may be done with an access token."""

    FRESH = "fresh"  # use it
    STALE = "stale"  # use it, and refresh it in the background
    EXPIRED = "expired"  # refresh it first


class ExpiryPolicy(NamedTuple):
    """How long before its end a token is refreshed.

    There are two windows before the end. In the *stale* window a refresh runs in the background, in
    the *expired* window requests wait for it. Both depend on the lifetime, so that a short-lived
    token is not refreshed all the time.

    Attributes:
        stale: Longest stale window, seconds before the end. Cloud ends a token ten minutes after
            its refresh, and until its expired window another process may still use it. Source:
            community 54172 and 83103 (staff).
        stale_fraction: The stale window is at most this part of the lifetime.
        jitter: The stale window of each token starts up to this many seconds later, and half of it
            at most, so that tokens which were issued at one moment are not refreshed at one moment.
        expired: Longest expired window, seconds before the end.
        expired_fraction: The expired window is at most this part of the lifetime.
        minimum: The expired window is never shorter than this many seconds, so a caller's token is
            valid for at least as long (half its life, for a token that lives less than twice that).
            Source: the first design, "10-second expiry buffer".
    """

    stale: float = 660.0
    stale_fraction: float = 0.25
    jitter: float = 180.0
    expired: float = 60.0
    expired_fraction: float = 0.1
    minimum: float = 10.0

    def freshness(
        self, token_set: TokenSet, remaining: float, jitter_share: float = 0.0
    ) -> Freshness:
        """What may be done with the token when it is valid for `remaining` more seconds.

        `jitter_share` is the token's share of the jitter, 0 to 1.
        """
        stale, expired = self.windows(token_set, jitter_share)
        if remaining <= expired:
            return Freshness.EXPIRED
        return Freshness.STALE if remaining <= stale else Freshness.FRESH

    def windows(self, token_set: TokenSet, jitter_share: float = 0.0) -> tuple[float, float]:
        """Seconds before the end of the token at which its stale and its expired window begin.

        The stale window may be the shorter one: then the token is never stale.
        """
        lifetime = token_set.lifetime
        if lifetime == math.inf:
            return 0.0, 0.0
        expired = max(
            min(self.minimum, lifetime / 2), min(self.expired, lifetime * self.expired_fraction)
        )
        stale = min(self.stale, lifetime * self.stale_fraction)
        jitter = min(self.jitter, max(stale - expired, 0.0) / 2)
        return stale - jitter * jitter_share, expired

"""Pacing: how soon a path that goes on rejecting tokens may have another one fetched.

A resource server may reject a token that is fine: the site is wrong, a right is missing. Then the
next token is rejected as well, and each costs a rotation. So a path that rejects the very token
that a refresh has brought for it has to wait, longer each time. Where a token is accepted, the next
rejection is believed at once: a token that was revoked early is replaced each time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from atlassian_auth_adapter.errors import FreshTokenRejectedError

__all__ = ["Pacing"]

#: Seconds of the first pause, and of the longest: it doubles in between.
FIRST_PAUSE, LONGEST_PAUSE = 30.0, 3600.0
#: Paths that are remembered; the oldest give way.
MOST_PATHS = 1000


@dataclass(slots=True)
class _Path:
    """What is known of a path.

    Attributes:
        brought: The hash of the token that the last refresh for this path has brought.
        pause: Seconds of the last pause, 0 before the first.
        until: Monotonic time (seconds) of its end; None while `brought` was not rejected here.
    """

    brought: int = 0
    pause: float = 0.0
    until: float | None = None

    def begin_pause(self, now: float) -> None:
        """Twice as long as the last one, from now on."""
        self.pause = min(2 * self.pause or FIRST_PAUSE, LONGEST_PAUSE)
        self.until = now + self.pause


class Pacing:
    """The paths of one token source that reject tokens.

    Threads share it without a lock, so that neither a signal handler nor a forked child finds one
    taken: when two are told of the same path at once, at worst one more token is fetched.

    Args:
        monotonic: The source's monotonic clock, seconds.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._paths: dict[str, _Path] = {}

    def check(self, path: str, rejected: str | None) -> None:
        """A rejection by this path may have a token fetched.

        Args:
            path: Method, origin and path, without a query.
            rejected: The access token that it has rejected, which is the newest one.

        Raises:
            FreshTokenRejectedError: Not yet.
        """
        known = self._paths.get(path)
        if known is None or known.brought != hash(rejected):
            return
        now = self._monotonic()
        if known.until is None:
            known.begin_pause(now)
        left = (known.until or now) - now
        if left > 0:
            raise FreshTokenRejectedError(
                "the resource server rejects a token that a refresh brought because it had "
                "rejected the one before: it is not the token. Check site, scopes and rights. The "
                f"next refresh for this path is possible in {left:.0f} s.",
                retry_after=left,
            )

    def brought(self, path: str, token: str, *, is_rejected: bool | None = None) -> None:
        """A refresh has brought this token because the path had rejected the one before.

        Args:
            path: As for `check`.
            token: The new access token.
            is_rejected: What the path says of it; None when it was not tried yet.
        """
        known = self._paths.pop(path, None) or _Path()
        if is_rejected is False:
            return
        known.brought, known.until = hash(token), None
        if is_rejected:
            known.begin_pause(self._monotonic())
        self._paths[path] = known
        for oldest in list(self._paths)[:-MOST_PATHS]:
            self._paths.pop(oldest, None)

    def accepted(self, path: str) -> None:
        """The path has accepted a token."""
        if self._paths:
            self._paths.pop(path, None)

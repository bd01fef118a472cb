"""How often a path that keeps rejecting tokens may cause a refresh.

A resource server may reject a valid token: the site is wrong, or a right is missing. Then it
rejects the next token as well, and each one costs a rotation. So after a path has rejected the
token of a refresh that it had caused itself, its next refresh has to wait, longer each time. After
a token was accepted, the next rejection causes a refresh at once: a token may be revoked early.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from atlassian_auth_adapter.errors import FreshTokenRejectedError

__all__ = ["Pacing"]

#: Seconds of the first pause, and of the longest: it doubles in between.
FIRST_PAUSE, LONGEST_PAUSE = 30.0, 3600.0
#: Paths that are remembered; beyond that the oldest are dropped.
MOST_PATHS = 1000


@dataclass(slots=True)
class _Path:
    """What is known of a path.

    Attributes:
        brought: Hash of the token of the last refresh that this path has caused.
        pause: Seconds of the last pause, 0 before the first.
        until: Monotonic time (seconds) of its end; None before this path has rejected that token.
    """

    brought: int = 0
    pause: float = 0.0
    until: float | None = None

    def begin_pause(self, now: float) -> None:
        """Begin a pause that is twice as long as the last one."""
        self.pause = min(2 * self.pause or FIRST_PAUSE, LONGEST_PAUSE)
        self.until = now + self.pause


class Pacing:
    """The paths of one token source that reject tokens.

    Threads share it without a lock, because a signal handler or a forked child could find a lock
    taken. When two threads report the same path at once, at worst one more token is fetched.
    `monotonic` is the source's clock, seconds.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._paths: dict[str, _Path] = {}

    def check(self, path: str, rejected: str | None) -> None:
        """Return if a rejection by this path may cause a refresh now.

        Args:
            path: Method, origin and path, without a query.
            rejected: The access token that it has rejected, which is the newest one.

        Raises:
            FreshTokenRejectedError: It may not.
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
                "the resource server rejects a new token as it rejected the one before, so the "
                "token is not the reason. Check site, scopes and rights. The next refresh for this "
                f"path is possible in {left:.0f} s.",
                retry_after=left,
            )

    def brought(self, path: str, token: str, *, is_rejected: bool | None = None) -> None:
        """A refresh that this path has caused brought this token.

        Args:
            path: As for `check`.
            token: The new access token.
            is_rejected: Whether the path rejects it as well; None: it was not tried yet.
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

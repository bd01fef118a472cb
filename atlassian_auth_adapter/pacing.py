"""How often a path that keeps rejecting tokens may cause a refresh.

A resource server may reject a valid token: the site is wrong, or a right is missing. Then it
rejects the next token as well, and each one costs a rotation. So after a path has rejected the
token of a refresh that it had caused itself, its next refresh has to wait, longer each time; and
after some such refreshes in a row that of every path which is not known to accept tokens. After a
token was accepted, the next rejection causes a refresh at once: a token may be revoked early.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from atlassian_auth_adapter.errors import FreshTokenRejectedError

__all__ = ["Pacing"]

#: Seconds of the first pause, and of the longest: it doubles in between.
FIRST_PAUSE, LONGEST_PAUSE = 30.0, 3600.0
#: Refreshes in a row that have not helped, before they are no longer a matter of single paths.
MOST_UNHELPFUL = 3
#: Paths that are remembered; beyond that the oldest are dropped.
MOST_PATHS = 1000


class _Refreshes:
    """What is known of the refreshes that a path, or any path, has caused.

    Attributes:
        brought: Hash of the token of the last one.
        pause: Seconds of the last pause, 0 before the first.
        until: Monotonic time (seconds) of its end; None before the token was rejected.
    """

    __slots__ = ("brought", "pause", "until")

    def __init__(self) -> None:
        self.brought = 0
        self.pause = 0.0
        self.until: float | None = None

    def begin_pause(self, now: float) -> None:
        """Begin a pause that is twice as long as the last one."""
        self.pause = min(2 * self.pause or FIRST_PAUSE, LONGEST_PAUSE)
        self.until = now + self.pause

    def seconds_left(self, now: float) -> float:
        """Of the pause."""
        left = (self.until or now) - now
        return left if 0 < left <= self.pause else 0.0  # a test library may replace the clock


class Pacing:
    """The paths of one token source that reject tokens.

    Threads share it without a lock, because a signal handler or a forked child could find a lock
    taken. When two threads report the same path at once, at worst one more token is fetched.
    `monotonic` is the source's clock, seconds.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        # That have caused refreshes which did not help, and that have accepted the last token.
        self._paths: OrderedDict[str, _Refreshes] = OrderedDict()
        self._accepting: OrderedDict[str, None] = OrderedDict()
        self._of_any_path, self._unhelpful = _Refreshes(), 0

    def check(self, path: str, rejected: str | None) -> None:
        """Return if a rejection by this path may cause a refresh now.

        Args:
            path: Method, origin and path, without a query.
            rejected: The access token that it has rejected, which is the newest one.

        Raises:
            FreshTokenRejectedError: It may not.
        """
        now, left = self._monotonic(), 0.0
        if known := self._paths.get(path):
            if known.until is None and known.brought == hash(rejected):
                known.begin_pause(now)
            left = known.seconds_left(now)
        if path not in self._accepting:
            left = max(left, self._of_any_path.seconds_left(now))
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
        known = self._paths.pop(path, None) or _Refreshes()
        if is_rejected is False:
            self._of_any_path, self._unhelpful = _Refreshes(), 0
            self.accepted(path)
            return
        if known.brought != hash(token):  # requests at one moment share one refresh
            known.brought, known.until = hash(token), None
        if is_rejected:
            self._accepting.pop(path, None)
            self._note_unhelpful(known, hash(token))
        self._paths[path] = known
        _drop_oldest(self._paths)

    def _note_unhelpful(self, known: _Refreshes, token: int) -> None:
        now = self._monotonic()
        if known.until is None:
            known.begin_pause(now)
        if self._of_any_path.brought != token:
            self._of_any_path.brought = token
            self._unhelpful += 1
            if self._unhelpful >= MOST_UNHELPFUL:
                self._of_any_path.begin_pause(now)

    def accepted(self, path: str) -> None:
        """The path has accepted a token."""
        if self._paths and self._paths.pop(path, None) is not None:
            self._of_any_path, self._unhelpful = _Refreshes(), 0
        if path not in self._accepting:
            self._accepting[path] = None
            _drop_oldest(self._accepting)


def _drop_oldest(paths: OrderedDict[str, Any]) -> None:
    while len(paths) > MOST_PATHS:
        paths.popitem(last=False)

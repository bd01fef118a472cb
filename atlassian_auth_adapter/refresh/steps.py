"""The steps of the protocols: what they ask for, and what they get back."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

from atlassian_auth_adapter.events import EventName
from atlassian_auth_adapter.expiry import ExpiryPolicy, Freshness
from atlassian_auth_adapter.oauth.server import AuthorizationServer
from atlassian_auth_adapter.records import Login, TokenKey
from atlassian_auth_adapter.tokens import TokenSet

__all__ = [
    "FENCE",
    "Delete",
    "Hold",
    "Instant",
    "Load",
    "Locked",
    "Memory",
    "PausedError",
    "Protocol",
    "Publish",
    "Recall",
    "Report",
    "Request",
    "Rules",
    "Save",
    "Seen",
    "Send",
    "Sleep",
    "Snapshot",
    "Step",
    "Unsaved",
    "token_set_of",
]

T = TypeVar("T")

#: Seconds after the lock was taken in which a request may be sent. A lease lasts longer, so that
#: until then no other process has the lock, however long this one was paused in between. For
#: another request the lock is taken again.
FENCE = 20.0


@dataclass(frozen=True, slots=True)
class Instant:
    """What the two clocks say: POSIX timestamp and monotonic time, both in seconds."""

    wall: float
    monotonic: float

    def since(self, earlier: Instant) -> float:
        """Seconds that have passed, by the clock that says more.

        The monotonic clock of some systems stands still while the machine sleeps; the wall clock
        may be set back.
        """
        return max(self.wall - earlier.wall, self.monotonic - earlier.monotonic)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A login with a token set, as this process hands it out.

    Attributes:
        login: The record.
        deadline: Monotonic time (seconds) of the access token's end.
        jitter_share: Of this token, 0 to 1; in all processes nearly the same.
        store: Through which the process has got it.
    """

    login: Login
    deadline: float
    jitter_share: float = 0.0
    store: object = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, login: Login, now: Instant, jitter_share: float = 0.0) -> Snapshot:
        """A snapshot of a record that was just loaded, or just made."""
        token_set = token_set_of(login)
        # Saved by a clock that was ahead, it would seem to live longer than it was given.
        remaining = min(token_set.expires_at - now.wall, token_set.lifetime)
        return cls(login, now.monotonic + remaining, jitter_share)

    def freshness(self, wall: float, monotonic: float, policy: ExpiryPolicy) -> Freshness:
        """What may be done with the access token; the end has come when either clock says so."""
        token_set = token_set_of(self.login)
        remaining = min(token_set.expires_at - wall, self.deadline - monotonic)
        return policy.freshness(token_set, remaining, self.jitter_share)

    def fresh(self, wall: float, monotonic: float, policy: ExpiryPolicy) -> TokenSet | None:
        """The token set if it is fresh, as `freshness` says, and can be sent; otherwise None."""
        token_set, end, deadline, window = self.limits(policy)
        return token_set if end - wall > window < deadline - monotonic else None

    def limits(self, policy: ExpiryPolicy) -> tuple[TokenSet, float, float, float]:
        """What `fresh` compares with the time.

        That is the token set, the timestamp and the monotonic time of its end, and how long before
        its end it ceases to be fresh; all in seconds.
        """
        token_set = token_set_of(self.login)
        window = max(policy.windows(token_set, self.jitter_share))
        end = token_set.expires_at if token_set.is_sendable else -math.inf
        return token_set, end, self.deadline, window


@dataclass(frozen=True, slots=True)
class Unsaved:
    """A login that was brought, and is not saved yet.

    Attributes:
        login: What is to be saved.
        before: The record that it follows.
        version: Of that record.
        token_hash: Names the refresh token that was spent for it, as journals do; "" for a code.
        replayable_until: Monotonic time (seconds) until when the refresh token that was spent for
            it may be sent again, certainly; 0 when the server has no grace.
    """

    login: Login
    before: Login | None
    version: int | None
    token_hash: str = ""
    replayable_until: float = 0.0


@dataclass(frozen=True, slots=True)
class Memory:
    """What this process knows of the login."""

    snapshot: Snapshot | None = None
    unsaved: Unsaved | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What is stored, its version, what this process knows, and the time."""

    login: Login | None
    version: int | None
    memory: Memory
    now: Instant


@dataclass(frozen=True, slots=True)
class Recall:
    """What this process knows; no I/O. Gives `Seen` without login and version."""


@dataclass(frozen=True, slots=True)
class Load:
    """Look into the store. Gives `Seen`.

    Attributes:
        joins: Whether the login that is found is the one to share from now on. Not while another
            one is being saved.
    """

    joins: bool = True


@dataclass(frozen=True, slots=True)
class Save:
    """Compare-and-swap: save the login if that version is stored. Gives the `Instant` after it."""

    login: Login
    expected: int | None


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the entry, whatever is in it."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send the token request. Gives the new token set.

    Attributes:
        token_set: Whose refresh token is sent.
        since: When the lock was taken; None: it does not matter.

    Raises PausedError, with nothing sent, when that is longer ago than `FENCE`.
    """

    token_set: TokenSet
    since: Instant | None = None


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait. Gives False when the process wants to end, and nothing more should be waited for."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Hold:
    """Remember what is not saved yet, or that everything is."""

    unsaved: Unsaved | None


@dataclass(frozen=True, slots=True)
class Publish:
    """What this process hands out from now on; None: nothing. It is the answer for callers."""

    login: Login | None


@dataclass(frozen=True, slots=True)
class Report:
    """An event, reported as soon as no lock is held."""

    name: EventName
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Locked(Generic[T]):
    """Perform a protocol while the lock is held. Gives what it returns, raises what it raises.

    Attributes:
        attempt: Makes the protocol, from the time at which the lock was asked for.
    """

    attempt: Callable[[Instant], Protocol[T]]


Step: TypeAlias = (
    Recall | Load | Save | Delete | Send | Sleep | Hold | Publish | Report | Locked[Any]
)
Protocol: TypeAlias = Generator[Step, Any, T]


class PausedError(Exception):
    """Nothing was sent: this process was paused, and another one may have the lock by now."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for every refresh of one login.

    Attributes:
        key: Which login.
        server: What the authorization server does.
        expiry: When a token is stale or expired.
        needs_login: Whether a person has to sign in first; not for client credentials, where a
            token request needs nothing of the token set that it succeeds.
    """

    key: TokenKey
    server: AuthorizationServer
    expiry: ExpiryPolicy = field(default_factory=ExpiryPolicy)
    needs_login: bool = True

    def hashed(self, token_set: TokenSet) -> str:
        """Names a refresh token without revealing it."""
        return self.key.hashed(token_set.refresh_token)


@dataclass(frozen=True, slots=True)
class Request:
    """What one flight is asked for.

    Attributes:
        rejected: An access token that a resource server has rejected; never returned.
        obtained_before: POSIX timestamp (seconds); token sets up to then are renewed in any case.
        owner: Host and process, for the journal.
        login_id: The name of a login that is saved for the first time: random.
        only: `Login.named` of the login that may be refreshed, "" for any: no caller is there whose
            store it is.
        jitter_share: This flight's share of every jitter, 0 to 1.
    """

    rejected: str | None = field(default=None, repr=False)
    obtained_before: float = -math.inf
    owner: str = ""
    login_id: str = ""
    only: str = ""
    jitter_share: float = 0.0


def token_set_of(login: Login) -> TokenSet:
    """The token set of a login that has one."""
    assert login.token_set is not None  # noqa: S101 - the callers have looked
    return login.token_set

"""TokenStatus: what is known of a login, without a request and without secrets."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from atlassian_auth_adapter.expiry import Freshness
from atlassian_auth_adapter.oauth.server import AuthorizationServer
from atlassian_auth_adapter.records import Login

__all__ = ["TokenStatus", "status_of"]


@dataclass(frozen=True, slots=True)
class TokenStatus:
    """What is known of a login, without a request and without secrets.

    Attributes:
        account: Whose login.
        state: "none" (there is no login), "fresh", "stale", "expired" (the next use renews it) or
            "login_required" (the refresh token was refused; what is left of the access token's
            hour may still work).
        expires_at: POSIX timestamp (seconds) of the access token's end, or None.
        obtained_at: POSIX timestamp (seconds) of the last token request, or None.
        scopes: The granted scopes.
        generation: Rotations and logins so far.
        throttled_until: POSIX timestamp (seconds) before which the server is not asked, or None.
        pending_since: POSIX timestamp (seconds) of a refresh whose end is not on record, or None.
        pending_owner: "host:process" that has sent it, or "".
        reason: Why the refresh token is dead, as in `LoginRequiredError.reason`, or "": the last
            refresh, that of `obtained_at`, went well.
        idle_until: POSIX timestamp (seconds) at which the login dies unless it is refreshed before,
            by itself or with `refresh()`; None when not known: 90 days after the last one. Without
            a refresh token: the end of the access token. None when the refresh token is dead.
        reauthorize_by: POSIX timestamp (seconds) by which a person has to log in again: the end of
            `idle_until`, or of the 365 days after the consent that Cloud once documented, whichever
            comes first; None when not known, or when the refresh token is dead: that is now.
    """

    account: str
    state: Literal["none", "fresh", "stale", "expired", "login_required"]
    expires_at: float | None = None
    obtained_at: float | None = None
    scopes: tuple[str, ...] = ()
    generation: int = 0
    throttled_until: float | None = None
    pending_since: float | None = None
    idle_until: float | None = None
    reauthorize_by: float | None = None
    pending_owner: str = ""
    reason: Literal["", "refused", "answer_lost"] = ""


def status_of(
    account: str,
    login: Login | None,
    freshness: Callable[[Login], Freshness],
    server: AuthorizationServer,
    *,
    needs_login: bool,
) -> TokenStatus:
    """The status of a login as it is stored.

    `needs_login` says whether a person has to log in when there is no refresh token.
    """
    if login is None or login.token_set is None:
        return TokenStatus(account, "none")
    token_set, journal = login.token_set, login.journal
    state = freshness(login)
    ends_with_token = needs_login and not token_set.refresh_token
    is_over = state is Freshness.EXPIRED and ends_with_token
    idle_until = server.idle_until(token_set.obtained_at)
    reauthorize_by = server.reauthorize_by(token_set.obtained_at, login.authorized_at)
    if ends_with_token:
        idle_until = reauthorize_by = token_set.expires_at
    if login.dead:
        idle_until = reauthorize_by = math.inf
    return TokenStatus(
        account,
        "login_required" if login.dead or is_over else state.value,
        expires_at=token_set.expires_at,
        obtained_at=token_set.obtained_at or None,
        scopes=tuple(token_set.scope.split()),
        generation=login.generation,
        throttled_until=login.throttled_until or None,
        pending_since=journal.started_at if journal else None,
        idle_until=_finite(idle_until),
        reauthorize_by=_finite(reauthorize_by),
        pending_owner=journal.owner if journal else "",
        reason=login.dead_reason if login.dead else "",
    )


def _finite(instant: float) -> float | None:
    return instant if math.isfinite(instant) else None

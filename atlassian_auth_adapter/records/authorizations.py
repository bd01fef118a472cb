"""What is kept of authorizations: those that wait for their redirects, and the claimed ones."""

from __future__ import annotations

from typing import NamedTuple

from atlassian_auth_adapter.oauth.authorization import AuthorizationRequest

__all__ = ["Authorizations", "Claim"]


class Claim(NamedTuple):
    """An authorization that one call has claimed: its code was sent, or is about to be.

    Attributes:
        code_hash: Salted hash of the code, which is never sent again.
        state_hash: Salted hash of the state; "" if the authorization waits for another code.
        claimed_at: POSIX timestamp (seconds).
        claimant: Random name of the call.
        replaces: login_id of the login that was stored at that time, or "".
    """

    code_hash: str
    state_hash: str
    claimed_at: float
    claimant: str
    replaces: str = ""


class Authorizations(NamedTuple):
    """The authorizations of the last minutes, and what is remembered of earlier ones.

    Attributes:
        requests: Those that wait for their redirects, the oldest first.
        claims: Those whose redirects have come, in this order.
    """

    requests: tuple[AuthorizationRequest, ...] = ()
    claims: tuple[Claim, ...] = ()

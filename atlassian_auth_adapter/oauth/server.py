"""AuthorizationServer: what a client must know of an authorization server, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["AuthorizationServer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationServer:
    """Endpoints and rules of one authorization server.

    Attributes:
        issuer: Identifies the server in token keys.
        authorization_endpoint: URL. Source: RFC 6749 section 3.1.
        token_endpoint: URL. Source: RFC 6749 section 3.2.
        revocation_endpoint: URL, or "" without one. Source: RFC 7009.
        client_authentication: How the client secret is sent. Source: RFC 6749 section 2.3.1.
        pkce: Whether authorization requests carry an S256 code challenge. Source: RFC 7636.
        authorization_parameters: What the server wants beside the RFC's parameters.
        redirect_uri_on_refresh: Whether a refresh names the redirect URI as well.
        scope_on_client_credentials: Whether a client credentials request names its scopes.
        rotation_grace: Seconds for which a spent refresh token may be sent again.
        resend_window: Seconds, a safe part of the grace, during which we do so after a lost answer;
            0 without grace: the request is sent once more and then given up.
        dead_refresh_token: How the server says that a refresh token is dead: pairs of error code
            and a part of the description (lower case, "" for any).
    """

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    revocation_endpoint: str = ""
    client_authentication: Literal["client_secret_post", "client_secret_basic"] = (
        "client_secret_post"
    )
    pkce: bool = False
    authorization_parameters: tuple[tuple[str, str], ...] = ()
    redirect_uri_on_refresh: bool = False
    scope_on_client_credentials: bool = False
    rotation_grace: float = 0.0
    resend_window: float = 0.0
    dead_refresh_token: tuple[tuple[str, str], ...] = (("invalid_grant", ""),)

    def refuses_refresh_token(self, error: str, description: str) -> bool:
        """Whether this error answer means that the refresh token is dead."""
        return any(
            error == code and part in description.lower() for code, part in self.dead_refresh_token
        )

"""AuthorizationServer: the properties of an authorization server, as data."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

__all__ = ["AuthorizationServer", "ErrorPages"]

#: What the error pages of a server mean, see `AuthorizationServer.error_pages`.
ErrorPages = tuple[tuple[str, Literal["scopes", "callback_url", "client_id"]], ...]


class AuthorizationServer(NamedTuple):
    """Endpoints and rules of one authorization server.

    Attributes:
        issuer: Identifies the server in token keys.
        authorization_endpoint: URL. Source: RFC 6749 section 3.1.
        token_endpoint: URL. Source: RFC 6749 section 3.2.
        revocation_endpoint: URL, or "" without one. Source: RFC 7009.
        client_authentication: How the client secret is sent. Source: RFC 6749 section 2.3.1.
        public_clients: Whether a client may have no secret. Source: RFC 6749 section 2.1.
        authorization_parameters: Parameters that the server requires beside those of the RFC.
        refresh_token_scope: The scope without which there is no refresh token, or "".
        scopes_include_others: Whether a scope may include others, so that an answer need not
            name those.
        revokes_one_login: Whether a revoked refresh token certainly ends no other login, not even
            one of the same person and client.
        redirect_uri_on_refresh: Whether a refresh sends the redirect URI as well.
        scope_on_client_credentials: Whether a client credentials request sends its scopes.
        rotation_grace: Seconds for which a used refresh token may be sent again.
        resend_window: Seconds, a safe part of the grace, during which a refresh is sent again after
            a lost answer. 0, without grace: it is sent again once.
        refresh_token_lifetime: Seconds after which a refresh token that is not used expires.
        authorization_lifetime: Seconds after the resource owner's consent until all its tokens
            expire, however often they are refreshed.
        bad_code: The error answers for an invalid authorization code: pairs of error code and a
            part of the description (both lower case, "" for any description).
        dead_refresh_token: The same for an invalid refresh token.
        client_grants: Whether a client may get tokens for itself. Source: RFC 6749 section 4.4.
        registered_at: Where a person registers its clients.
        error_pages: What its error pages mean that do not lead back to the client: pairs of a
            sentence and the value that a person compares, the most probable cause first.
    """

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    revocation_endpoint: str = ""
    client_authentication: Literal["client_secret_post", "client_secret_basic"] = (
        "client_secret_post"
    )
    public_clients: bool = False
    authorization_parameters: tuple[tuple[str, str], ...] = ()
    refresh_token_scope: str = ""
    scopes_include_others: bool = False
    revokes_one_login: bool = False
    redirect_uri_on_refresh: bool = False
    scope_on_client_credentials: bool = False
    rotation_grace: float = 0.0
    resend_window: float = 0.0
    refresh_token_lifetime: float = math.inf
    authorization_lifetime: float = math.inf
    # A request of this package lacks nothing but a good code: so invalid_request means the code.
    bad_code: tuple[tuple[str, str], ...] = (("invalid_grant", ""), ("invalid_request", ""))
    dead_refresh_token: tuple[tuple[str, str], ...] = (("invalid_grant", ""),)
    client_grants: bool = True
    registered_at: str = ""
    error_pages: ErrorPages = ()

    def for_client_credentials(self) -> AuthorizationServer:
        """The same server for client credentials, which have no refresh token.

        A request whose answer was lost may be sent again at any time, and the client has a secret.
        Source: RFC 6749 section 4.4.
        """
        return self._replace(
            public_clients=False,
            rotation_grace=math.inf,
            resend_window=120.0,  # as for the logins of resource owners
            refresh_token_lifetime=math.inf,
            authorization_lifetime=math.inf,
            dead_refresh_token=(),
        )

    def idle_until(self, obtained_at: float) -> float:
        """When a refresh token expires unless it is used: POSIX timestamp (seconds), or infinity.

        `obtained_at` is when it was issued, 0 when that is not known.
        """
        return obtained_at + self.refresh_token_lifetime if obtained_at else math.inf

    def reauthorize_by(self, obtained_at: float, authorized_at: float) -> float:
        """When a person has to log in again unless a refresh comes before; like `idle_until`.

        `authorized_at` is when a person consented, 0 when that is not known.
        """
        absolute = authorized_at + self.authorization_lifetime if authorized_at else math.inf
        return min(self.idle_until(obtained_at), absolute)

    def refuses_refresh_token(self, error: str, description: str) -> bool:
        """Whether this error answer means that the refresh token is invalid."""
        return _fits(self.dead_refresh_token, error, description)

    def refuses_code(self, error: str, description: str) -> bool:
        """Whether this error answer means that the authorization code is invalid."""
        return _fits(self.bad_code, error, description)


def _fits(pairs: tuple[tuple[str, str], ...], error: str, description: str) -> bool:
    return any(error.lower() == code and part in description.lower() for code, part in pairs)

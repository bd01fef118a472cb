"""The authorization request: state, code verifier and URL, and what comes back through the browser.

Source: RFC 6749 section 4.1, RFC 7636.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from atlassian_auth_adapter.errors import (
    AuthorizationDeniedError,
    AuthorizationError,
    StateMismatchError,
)
from atlassian_auth_adapter.oauth.server import AuthorizationServer

__all__ = ["LIFETIME", "AuthorizationRequest", "AuthorizationResponse"]

#: Seconds for which a started authorization may be completed.
LIFETIME = 600.0


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """An authorization that was started and waits for its redirect.

    Attributes:
        state: Ties the redirect to this request. Not in the repr.
        code_verifier: PKCE's secret, "" without PKCE. Not in the repr.
        created: POSIX timestamp, seconds.
        scope: Requested scopes, separated by spaces.
    """

    state: str = field(repr=False)
    code_verifier: str = field(default="", repr=False)
    created: float = 0.0
    scope: str = ""

    @classmethod
    def new(cls, server: AuthorizationServer, scope: str, now: float) -> AuthorizationRequest:
        """A request with a fresh state, and a fresh code verifier if the server wants PKCE."""
        from secrets import token_urlsafe  # who only reads a store needs none

        verifier = token_urlsafe(48) if server.pkce else ""  # 64 characters of 43 to 128
        return cls(token_urlsafe(24), verifier, now, scope)

    def url(self, server: AuthorizationServer, client_id: str, redirect_uri: str) -> str:
        """The URL to open in the resource owner's browser."""
        from authlib.oauth2.client import OAuth2Client

        client = OAuth2Client(
            session=None,
            client_id=client_id,
            redirect_uri=redirect_uri,
            scope=self.scope,
            code_challenge_method="S256" if self.code_verifier else None,
        )
        url, _ = client.create_authorization_url(
            server.authorization_endpoint,
            state=self.state,
            code_verifier=self.code_verifier or None,
            **dict(server.authorization_parameters),
        )
        # Authlib writes a space as "+", which Atlassian's documentation never does. A real plus
        # sign is "%2B" at this point.
        return str(url).replace("+", "%20")

    def is_alive(self, now: float) -> bool:
        """Whether it may still be completed."""
        return now - self.created < LIFETIME


@dataclass(frozen=True, slots=True)
class AuthorizationResponse:
    """What came back: an authorization code, and the state if the whole redirect URL is known."""

    code: str = field(repr=False)
    state: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, code_or_url: str) -> AuthorizationResponse:
        """Take a bare code or the full redirect URL.

        Raises:
            AuthorizationDeniedError: The redirect says that the resource owner declined.
            AuthorizationError: There is no code in it, or the server reports an error.
        """
        text = code_or_url.strip()
        if not text.isprintable() or " " in text or not text:
            raise AuthorizationError(
                "that is neither a code nor a redirect URL. Paste the URL whole, on one line."
            )
        if "?" not in text and "://" not in text:
            return cls(text)
        parameters = parse_qs(text.partition("?")[2].partition("#")[0])
        if "error" in parameters:
            raise _refusal(parameters)
        codes, states = parameters.get("code", []), parameters.get("state", [])
        if len(codes) != 1 or len(states) != 1:
            raise AuthorizationError(
                "the redirect URL must hold one `code` and one `state`. "
                "Paste it whole, or call oauth_start() again."
            )
        return cls(codes[0], states[0])

    def request_among(
        self, requests: Iterable[AuthorizationRequest], now: float
    ) -> AuthorizationRequest | None:
        """The started request this is the response to; for a bare code the latest, if any.

        Raises:
            StateMismatchError: The response names a state that none of the requests has.
        """
        from secrets import compare_digest

        alive = [request for request in requests if request.is_alive(now)]
        if self.state is None:
            return max(alive, key=lambda request: request.created, default=None)
        matching = [
            request
            for request in alive
            if compare_digest(request.state.encode(), self.state.encode())
        ]
        if not matching:
            raise StateMismatchError(
                "this redirect belongs to no authorization started here in the last 10 minutes. "
                "If you expected it, call oauth_start() again and use its URL."
            )
        return matching[0]


def _refusal(parameters: dict[str, list[str]]) -> AuthorizationError:
    code = "".join(c for c in parameters["error"][0] if c.isalnum() or c == "_")[:60]
    if code == "access_denied":
        return AuthorizationDeniedError(
            "the resource owner declined the authorization. Ask again, or stop.", error=code
        )
    return AuthorizationError(
        f"the authorization server answered {code!r}. Check the scopes and the callback URL of "
        "the OAuth 2.0 app, then call oauth_start() again.",
        error=code,
    )

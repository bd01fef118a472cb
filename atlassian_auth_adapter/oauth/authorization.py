"""The authorization request: state, code verifier and URL, and what comes back through the browser.

Source: RFC 6749 section 4.1, RFC 7636.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode

from atlassian_auth_adapter.errors import (
    AuthorizationDeniedError,
    AuthorizationError,
    StateMismatchError,
)
from atlassian_auth_adapter.oauth.server import AuthorizationServer
from atlassian_auth_adapter.secret_text import SecretText, hidden

__all__ = ["LIFETIME", "AuthorizationRequest", "AuthorizationResponse"]

#: Seconds for which a started authorization may be completed.
LIFETIME = 600.0


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """An authorization that was started and waits for its redirect.

    Attributes:
        state: The redirect to this request has the same state. Not in the repr.
        code_verifier: The secret of PKCE, or "". Not in the repr.
        created: POSIX timestamp, seconds.
        scope: Requested scopes, separated by spaces.
    """

    state: str = field(repr=False)
    code_verifier: str = field(default="", repr=False)
    created: float = 0.0
    scope: str = ""

    def __post_init__(self) -> None:
        for name in ("state", "code_verifier"):
            object.__setattr__(self, name, hidden(getattr(self, name)))

    @classmethod
    def new(cls, server: AuthorizationServer, scope: str, now: float) -> AuthorizationRequest:
        """A request with a new state, and a new code verifier if the server uses PKCE."""
        from secrets import token_urlsafe  # not needed to read a store

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
        # Authlib writes a space as "+", Atlassian's documentation always as "%20". A plus sign is
        # "%2B" at this point.
        return SecretText(str(url).replace("+", "%20"))

    def is_alive(self, now: float) -> bool:
        """Whether it may still be completed."""
        return now - self.created < LIFETIME


@dataclass(frozen=True, slots=True)
class AuthorizationResponse:
    """What came back through the browser. Neither code nor state is in the repr.

    Attributes:
        code: The authorization code; "" if the server answered with an error.
        state: The state; None for a code alone, and for an error without exactly one state.
        error: The error code of the server, or "".
    """

    code: str = field(repr=False)
    state: str | None = field(default=None, repr=False)
    error: str = ""

    def __post_init__(self) -> None:
        for name in ("code", "state"):
            object.__setattr__(self, name, hidden(getattr(self, name)))

    @classmethod
    def parse(cls, code_or_url: str) -> AuthorizationResponse:
        """The response in a redirect URL, or in its path and query; or a code alone.

        Raises:
            AuthorizationError: It is not a redirect URL, a path with a query, or a code.
        """
        text = hidden(code_or_url.strip())
        if not text.isprintable() or " " in text or not text:
            raise AuthorizationError(
                "that is neither a code nor a redirect URL. Paste the URL whole, on one line."
            )
        if "?" not in text and "://" not in text:
            return cls(text)
        parameters = hidden(parse_qs(text.partition("?")[2].partition("#")[0]))
        codes, errors, states = (parameters.get(name, []) for name in ("code", "error", "state"))
        is_clear = len(codes) + len(errors) == len(states) == 1
        if errors:
            return cls("", states[0] if is_clear else None, errors[0])
        if not is_clear:
            raise AuthorizationError(
                "the redirect URL must hold one `code` and one `state`. "
                "Paste it whole, or call oauth_start() again."
            )
        return cls(codes[0], states[0])

    def query(self) -> str:
        """It as the query of a redirect URL, from which `parse` makes it again."""
        parameters = {"code": self.code, "state": self.state, "error": self.error}
        query = urlencode({name: value for name, value in parameters.items() if value})
        return SecretText(f"?{query}")

    def answers(self, state: str) -> bool:
        """Whether the response has that state."""
        from secrets import compare_digest

        return self.state is not None and compare_digest(state.encode(), self.state.encode())

    def raise_for_error(self) -> None:
        """Raise the server's error, if there is one.

        Raises:
            AuthorizationDeniedError: The resource owner declined.
            AuthorizationError: The server answered with another error.
        """
        if not self.error:
            return
        code = "".join(c for c in self.error if c.isalnum() or c == "_")[:60]
        if code == "access_denied":
            raise AuthorizationDeniedError(
                "the resource owner declined the authorization. Ask again, or stop.", error=code
            )
        raise AuthorizationError(
            f"the authorization server answered {code!r}. Check the scopes and the callback URL of "
            "the OAuth 2.0 app, then call oauth_start() again.",
            error=code,
        )

    def request_among(
        self, requests: Iterable[AuthorizationRequest], now: float
    ) -> AuthorizationRequest | None:
        """The started request that this is the response to; for a code alone the latest, if any.

        Raises:
            StateMismatchError: The response names a state that none of the requests has.
        """
        alive = [request for request in requests if request.is_alive(now)]
        if self.state is None:
            return max(alive, key=lambda request: request.created, default=None)
        # Each one is compared, so that the time tells nothing.
        matching = [request for request in alive if self.answers(request.state)]
        if not matching:
            raise StateMismatchError(
                "this redirect belongs to no authorization started here in the last 10 minutes. "
                "If you expected it, call oauth_start() again and use its URL."
            )
        return matching[0]

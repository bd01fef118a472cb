"""The authorization request: state, code verifier and URL, and what comes back through the browser.

Source: RFC 6749 section 4.1, RFC 7636, RFC 9207.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from atlassian_auth_adapter.errors import (
    AuthorizationDeniedError,
    AuthorizationError,
    StateMismatchError,
)
from atlassian_auth_adapter.oauth.server import AuthorizationServer
from atlassian_auth_adapter.secret_text import SecretText, hidden
from atlassian_auth_adapter.values import Value

__all__ = ["LIFETIME", "AuthorizationRequest", "AuthorizationResponse"]

#: Seconds for which a started authorization may be completed.
LIFETIME = 600.0

#: What stands around a URL that was copied from a mail, a chat, a list or a shell: quotes,
#: brackets, white space, and characters that cannot be seen.
_AROUND = (
    "\"'`<>()[]{},;\u201c\u201d\u201e\u2018\u2019\u201a\u00ab\u00bb"
    " \t\r\n\u00a0\u200b\u200e\u200f\u2060\ufeff"
)
_IS_QUERY = re.compile(r"&?(code|state|iss|error|error_description)=")
_HAS_FIELD = re.compile(r"(^|[?&])(code|state)=")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class AuthorizationRequest(Value):
    """An authorization that was started and waits for its redirect.

    Attributes:
        state: The redirect to this request has the same state. Not in the repr.
        code_verifier: The secret of PKCE. Not in the repr.
        created: POSIX timestamp, seconds; `math.inf` if it is not known.
        scope: Requested scopes, separated by spaces.
    """

    state: str
    code_verifier: str
    created: float
    scope: str
    __slots__ = ("code_verifier", "created", "scope", "state")
    _hidden: ClassVar[frozenset[str]] = frozenset({"state", "code_verifier"})

    def __init__(
        self, state: str, code_verifier: str = "", created: float = 0.0, scope: str = ""
    ) -> None:
        state, code_verifier = hidden(state), hidden(code_verifier)
        self._set(state=state, code_verifier=code_verifier, created=created, scope=scope)

    @classmethod
    def new(cls, scope: str, now: float) -> AuthorizationRequest:
        """A request with a new state and a new code verifier.

        Every server gets the challenge, and later the verifier: one that does not know PKCE ignores
        both (RFC 6749 sections 3.1 and 3.2), and one that begins to check the challenge needs the
        verifier. Source: RFC 9700 section 2.1.1.
        """
        from secrets import token_urlsafe  # not needed to read a store

        return cls(token_urlsafe(24), token_urlsafe(48), now, scope)  # a verifier of 64 characters

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
        """Whether it may still be completed; not if a clock was set back since it was created."""
        return self.created == math.inf or abs(now - self.created) < LIFETIME


@dataclass(frozen=True, slots=True)
class AuthorizationResponse:
    """What came back through the browser. Neither code nor state is in the repr.

    Attributes:
        code: The authorization code; "" if the server answered with an error.
        state: The state; None for a code alone, and for an error without exactly one state.
        error: The error code of the server, or "".
        issuer: The server that claims to have answered, or "". Source: RFC 9207.
        redirect_uri: Where the browser was sent to, or "" when only the path or the query is known.
    """

    code: str = field(repr=False)
    state: str | None = field(default=None, repr=False)
    error: str = ""
    issuer: str = ""
    redirect_uri: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        for name in ("code", "state"):
            object.__setattr__(self, name, hidden(getattr(self, name)))

    @classmethod
    def parse(cls, code_or_url: str) -> AuthorizationResponse:
        """The response in a redirect URL, its path and query, or its query; or a code alone.

        Quotes, brackets and white space around it do no harm, nor does the escaping of HTML or of a
        URL.

        Raises:
            AuthorizationError: It is something else.
        """
        if not isinstance(code_or_url, str):
            raise AuthorizationError(
                f"that is a {type(code_or_url).__name__}, not text. Paste the whole redirect URL: "
                "it also says why there is no code."
            )
        text = _undisguised(hidden(code_or_url.strip(_AROUND)))
        if not text.isprintable() or " " in text or not text:
            raise AuthorizationError(
                "that is neither a code nor a redirect URL. Paste the URL whole, on one line."
            )
        place, mark, query = text.partition("?")
        is_url = mark or "://" in text
        if _IS_QUERY.match(text) or (_HAS_FIELD.search(text) and not is_url):
            place, query = "", text
        elif not is_url and "&" not in text:
            return cls(text)
        parameters = hidden(parse_qs(query.partition("#")[0]))
        codes, errors, states, issuers = (
            parameters.get(name, []) for name in ("code", "error", "state", "iss")
        )
        is_clear = len(codes) + len(errors) == len(states) == 1
        if len(issuers) > 1 or not (errors or is_clear):
            raise AuthorizationError(
                "the redirect URL must hold one `code` and one `state`, and one `iss` at most.",
                advice="Paste it whole, or call oauth_start() again.",
            )
        return cls(
            "" if errors else codes[0],
            states[0] if is_clear else None,
            errors[0] if errors else "",
            "".join(issuers),
            place if "://" in place else "",
        )

    def url(self) -> str:
        """It as a redirect URL, or the query of one; `parse` makes the response of it again."""
        parameters = {
            "code": self.code,
            "state": self.state,
            "error": self.error,
            "iss": self.issuer,
        }
        query = urlencode({name: value for name, value in parameters.items() if value})
        return SecretText(f"{self.redirect_uri}?{query}")

    def answers(self, state: str) -> bool:
        """Whether the response has that state."""
        from secrets import compare_digest

        return self.state is not None and compare_digest(state.encode(), self.state.encode())

    def check_origin(self, issuer: str, callback_url: str) -> None:
        """Raise if another authorization server has answered, or to another address.

        A server of an attacker may send the browser on to an honest one, whose code the client
        would then send to the attacker (a mix-up attack: RFC 9207, RFC 9700 section 4.4). Two
        clients can be told apart by `iss`, or by callback URLs of their own. The scheme tells
        nothing: behind a proxy that ends TLS, an application sees http in place of https, and
        perhaps another port.

        Raises:
            StateMismatchError: Do not trust this redirect.
        """
        if self.issuer and self.issuer.rstrip("/") != issuer.rstrip("/"):
            raise StateMismatchError(
                f"this redirect is not from {issuer}: its `iss` names another authorization "
                "server. Nothing was sent.",
                advice="If you expected it, call oauth_start() again.",
            )
        if self.redirect_uri and callback_url and not _is_same(self.redirect_uri, callback_url):
            raise StateMismatchError(
                f"this redirect was not sent to the callback URL {callback_url}. Nothing was sent.",
                advice="If a proxy rewrites the URLs of this application, pass the query alone, "
                "beginning with `?`.",
            )

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
                "the resource owner declined the authorization.",
                advice="Ask again, or stop.",
                error=code,
            )
        raise AuthorizationError(
            f"the authorization server answered {code!r}.",
            advice="Check the scopes and the callback URL of the OAuth 2.0 app, then call "
            "oauth_start() again.",
            error=code,
        )

    def request_among(
        self, requests: Iterable[AuthorizationRequest], now: float
    ) -> AuthorizationRequest:
        """The started request that this is the response to; for a code alone the latest.

        Raises:
            StateMismatchError: No request has that state; or, for a code alone, there is no
                request.
        """
        alive = [request for request in requests if request.is_alive(now)]
        if self.state is None:
            if not alive:
                raise StateMismatchError(
                    "no authorization is waiting in this store: the code verifier is not known, "
                    "and a code alone may be that of a stranger.",
                    advice=_START_AGAIN,
                )
            return max(alive, key=lambda request: request.created)
        # Each one is compared, so that the time tells nothing.
        matching = [request for request in alive if self.answers(request.state)]
        if not matching:
            raise StateMismatchError(
                "this redirect belongs to no authorization started here in the last 10 minutes.",
                advice=_START_AGAIN,
            )
        return matching[0]


#: The usual cause is a second worker of a web application, whose MemoryTokenStore is another one.
_START_AGAIN = (
    "If you expected it, call oauth_start() again and use its URL within 10 minutes, with the same "
    "account and the same store: each process has a MemoryTokenStore of its own, so workers need a "
    "store that they share, such as FileTokenStore."
)


def _undisguised(text: str) -> str:
    """What was pasted without the escaping of a page of HTML, or of a URL within another one."""
    plain = hidden(unquote(text))
    if _HAS_FIELD.search(plain) and "=" not in text:
        return plain
    return hidden(text.replace("&amp;", "&"))


def _is_same(url: str, callback_url: str) -> bool:
    """Whether both lead to one address; the first may have http where TLS ends at a proxy."""
    try:
        (scheme, *place, port), (its_scheme, *its_place, its_port) = map(
            _parts, (url, callback_url)
        )
    except ValueError:
        return False
    is_behind_proxy = (scheme, its_scheme) == ("http", "https")
    return place == its_place and (is_behind_proxy or (scheme, port) == (its_scheme, its_port))


def _parts(url: str) -> tuple[str, str, str, int | None]:
    """Scheme, host, path and port, as they are compared; raises ValueError if it is no URL."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not host.isascii():  # web frameworks decode it
        host = host.encode("idna").decode()
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    return parts.scheme, host, unquote(parts.path) or "/", port

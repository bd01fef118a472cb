"""The token endpoint: exchange, refresh, client credentials, revoke.

Authlib builds the requests; the answers are checked here. Only a 200 with a JSON object that holds
a usable `access_token` is accepted. Of the other fields of RFC 6749 section 5.1 (`refresh_token`,
`expires_in`, `scope`, `token_type`) each has been seen missing.

Source: RFC 6749 sections 4.1.3, 4.4, 5 and 6; RFC 7009; the answers of Atlassian's servers:
`atlassian.md` section 1.4, read 2026-11-22.
"""

from __future__ import annotations

import math
import re
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, urlencode

from atlassian_auth_adapter.clock import Clock
from atlassian_auth_adapter.errors import (
    ConfigurationError,
    TokenEndpointError,
    TokenEndpointUnavailableError,
    TokenRequestRefusedError,
    drop_frames,
    raise_clean,
    without_frames,
)
from atlassian_auth_adapter.foreign_text import printable
from atlassian_auth_adapter.oauth.server import AuthorizationServer
from atlassian_auth_adapter.secret_text import SecretText
from atlassian_auth_adapter.tokens import TokenSet, is_token
from atlassian_auth_adapter.transport import Answer, NoAnswerError, Transport, origin_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from authlib.oauth2.auth import ClientAuth
    from authlib.oauth2.client import OAuth2Client

__all__ = ["TokenEndpoint", "checked_secret", "load_libraries", "was_sent"]

#: Source: RFC 6749 appendix A.2. Quotes around it are valid there, and in no secret of Atlassian.
_CLIENT_SECRET = re.compile(r"(?!([\"'`]).*\1$)[!-~](?:[ -~]*[!-~])?")
#: Lifetime in seconds of an access token whose answer does not name one.
#: Source: 60 minutes, developer.atlassian.com oauth-2-3lo-apps, copy of 2026-09-26.
DEFAULT_LIFETIME = 3600.0
#: No access token lives longer than this many seconds, whatever an answer claims: 365 days.
LONGEST_LIFETIME = 365 * 86400.0
#: Seconds after which a server that has issued a token of an unknown type is asked again.
UNKNOWN_TYPE_LIFETIME = 60.0
#: Error codes of a temporary state. Source: RFC 6749 section 4.1.2.1.
TEMPORARY_ERRORS = frozenset({"temporarily_unavailable", "server_error", "slow_down"})


@dataclass(frozen=True, slots=True)
class TokenEndpoint:
    """Token requests of one client. Threads may share it; every call may block on the network.

    Attributes:
        server: The authorization server.
        client_id: Identifies the client.
        client_secret: Returns the secret, "" for a public client.
        redirect_uri: The registered callback URL, or "".
        transport: How to reach the server.
        clock: Tells when a token set was obtained.
    """

    server: AuthorizationServer
    client_id: str
    client_secret: Callable[[], str] = field(repr=False)
    redirect_uri: str
    transport: Transport
    clock: Clock

    @without_frames
    def exchange(self, code: str, code_verifier: str = "", scope: str = "") -> TokenSet:
        """The token set for an authorization code. Source: RFC 6749 section 4.1.3.

        Raises:
            TokenRequestRefusedError: The server refused; with `.error == "invalid_grant"` the code.
            TokenEndpointUnavailableError: No usable answer. With `.outcome == "not_sent"` the code
                may be sent later; else start again.
        """
        fields = {"code": code, "redirect_uri": self.redirect_uri}
        if code_verifier:
            fields["code_verifier"] = code_verifier
        try:
            answered = self._token_request("authorization_code", fields, TokenSet("", scope=scope))
            return answered.checked()
        except TokenEndpointError as error:
            if not was_sent(error):
                raise
            failure = error.copied()
            failure.advice = (
                "The code was sent, and a code counts once: start again with oauth_start()."
            )
            raise_clean(failure, error.__cause__)

    @without_frames
    def refresh(self, previous: TokenSet) -> TokenSet:
        """The successor of a token set. Source: RFC 6749 section 6.

        A token of a type that cannot be sent is returned as well, with a short lifetime: it brings
        the refresh token that replaces the one just used. `TokenSet.checked` refuses it.

        Raises:
            TokenRequestRefusedError: The server refused; `server.refuses_refresh_token` tells
                whether it means the refresh token.
            TokenEndpointUnavailableError: No usable answer; `.outcome` says whether the server may
                have rotated the refresh token.
        """
        fields = {"refresh_token": previous.refresh_token}
        if self.server.redirect_uri_on_refresh and self.redirect_uri:
            fields["redirect_uri"] = self.redirect_uri
        return self._token_request("refresh_token", fields, previous)

    @without_frames
    def client_credentials(self, scope: str = "") -> TokenSet:
        """A token set for the client itself. Source: RFC 6749 section 4.4.

        Raises:
            TokenRequestRefusedError: The server refused.
            TokenEndpointUnavailableError: No usable answer.
        """
        send_scope = self.server.scope_on_client_credentials and scope
        fields = {"scope": scope} if send_scope else {}
        token_set = self._token_request("client_credentials", fields, TokenSet("", scope=scope))
        return token_set.checked()

    @without_frames
    def revoke(self, token: str) -> None:
        """Revoke the token. Source: RFC 7009 section 2.1.

        Raises:
            TokenRequestRefusedError: The server refused.
            TokenEndpointUnavailableError: No usable answer.
        """
        secret = self._secret()
        answer = self._ask(
            secret,
            lambda client: client.revoke_token(  # type: ignore[no-untyped-call]
                self.server.revocation_endpoint, token=token, token_type_hint="refresh_token"
            ),
        )
        if answer.status != HTTPStatus.OK:
            raise _failure(answer, self.server.revocation_endpoint, (token, secret))

    def _secret(self) -> str:
        return checked_secret(self.client_secret(), public=self.server.public_clients)

    def _token_request(
        self, grant_type: str, fields: Mapping[str, str], previous: TokenSet
    ) -> TokenSet:
        secret = self._secret()
        sent_at = self.clock.time()
        answer = self._ask(
            secret,
            lambda client: client.fetch_token(
                self.server.token_endpoint, grant_type=grant_type, **fields
            ),
        )
        token_set = _token_set(answer, sent_at, previous)
        if token_set is None:
            raise _failure(answer, self.server.token_endpoint, (*fields.values(), secret))
        return token_set

    def _ask(self, secret: str, call: Callable[[OAuth2Client], Any]) -> Answer:
        """The answer to the request that `call` makes with a new Authlib client."""
        client = _authlib_client(self, secret)
        try:
            answer: Answer = call(client)
            return answer
        except NoAnswerError as error:
            failure = TokenEndpointUnavailableError(
                f"no answer from {origin_of(self.server.token_endpoint)}: {error}. Check network, "
                "proxy and `verify` if it goes on.",
                outcome="ambiguous" if error.sent else "not_sent",
                advice="Nothing is lost; try again.",
            )
            raise_clean(failure, error.__cause__)
        except BaseException as error:  # the frames of Authlib hold the plain request
            drop_frames(error)
            raise


def load_libraries() -> None:
    """Load what a token request needs beside its transport."""
    _client_class()


@cache
def _client_class() -> type[OAuth2Client]:
    """Authlib's client, which returns the answer as it is."""
    from authlib.oauth2.client import OAuth2Client

    class Client(OAuth2Client):
        def parse_response_token(self, resp: Answer) -> Answer:
            return resp

    return Client


def _authlib_client(endpoint: TokenEndpoint, secret: str) -> OAuth2Client:
    """Authlib's client: it sends with our transport, and returns the answer as it is."""
    # A public client names itself in the body. Source: RFC 6749 section 3.2.1.
    authentication = endpoint.server.client_authentication if secret else "none"
    return _client_class()(
        session=_Sender(endpoint.transport),
        client_id=endpoint.client_id,
        client_secret=secret,
        token_endpoint_auth_method=authentication,
        revocation_endpoint_auth_method=authentication,
        redirect_uri=endpoint.redirect_uri,
    )


@dataclass(frozen=True, slots=True)
class _Sender:
    """The HTTP session that Authlib uses."""

    transport: Transport

    def post(
        self, url: str, data: Mapping[str, str], headers: Mapping[str, str], auth: ClientAuth
    ) -> Answer:
        url, headers, body = auth.prepare(  # type: ignore[no-untyped-call]
            "POST", url, dict(headers), urlencode(data)
        )
        return self.transport.send("POST", url, headers=headers, body=body)


def was_sent(error: TokenEndpointError) -> bool:
    """Whether a request that has failed so may have reached a server: unless that is excluded."""
    is_unsent = isinstance(error, TokenEndpointUnavailableError) and error.outcome == "not_sent"
    return error.status is not None or not is_unsent


def checked_secret(secret: object, *, public: bool = False) -> str:
    """The client secret, if it is valid.

    Args:
        secret: What was given.
        public: Whether "" is valid: the client is a public one, which has no secret.

    Raises:
        ConfigurationError: It is empty, is in quotes, or holds something invalid, such as a line
            break.
    """
    if public and secret == "":
        return ""
    if isinstance(secret, str) and _CLIENT_SECRET.fullmatch(secret):
        return SecretText(secret)
    raise ConfigurationError(
        "client_secret is missing or malformed: it is a text of printable ASCII on one line, "
        "without quotes around it. All products but Trello ask for it even where PKCE is used; one "
        "that was read from a file may need .strip()."
    )


def _token_set(answer: Answer, sent_at: float, previous: TokenSet) -> TokenSet | None:
    """The token set in the answer, or None if the answer is not usable."""
    parsed = answer.json() if answer.status == HTTPStatus.OK else None
    if not isinstance(parsed, dict) or parsed.get("error"):  # some write null or ""
        return None
    access_token = parsed.get("access_token")
    # A server that leaves out the refresh token lets the client keep the one it has.
    # Source: sample code of developer.atlassian.com oauth-2-3lo-apps, copy of 2026-09-26.
    refresh_token = parsed.get("refresh_token") or previous.refresh_token
    if not is_token(access_token) or (refresh_token and not is_token(refresh_token)):
        return None
    lifetime = _lifetime(parsed.get("expires_in"))
    token_type = _token_type(parsed.get("token_type"))
    if token_type.lower() != "bearer":
        lifetime = min(lifetime, UNKNOWN_TYPE_LIFETIME)
    return TokenSet(
        access_token=access_token,
        refresh_token=refresh_token,
        expires_at=sent_at + lifetime,
        scope=printable(parsed.get("scope")) or previous.scope,
        token_type=token_type,
        obtained_at=sent_at,
    )


def _token_type(named: object) -> str:
    """As the server spelled it; in lower case if it is not a bearer token's.

    An answer without a type brings a bearer token.
    """
    if named is None or named == "":
        return "Bearer"
    text = printable(named) or "unknown"
    return text if text.lower() == "bearer" else text.lower()


def _lifetime(expires_in: object) -> float:
    """Seconds; the default lifetime if the field is missing or invalid."""
    seconds = math.nan
    if isinstance(expires_in, int | float | str) and not isinstance(expires_in, bool):
        with suppress(ValueError, OverflowError):
            seconds = float(expires_in)
    return DEFAULT_LIFETIME if math.isnan(seconds) else min(max(seconds, 0.0), LONGEST_LIFETIME)


def _failure(answer: Answer, url: str, secrets: tuple[str, ...]) -> TokenEndpointError:
    """The error for an answer of the endpoint at this URL that holds no token set."""
    error, description = (_without(secrets, text) for text in _error_of(answer.json()))
    retry_after = _retry_after(answer)
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS or (
        answer.status == HTTPStatus.SERVICE_UNAVAILABLE and retry_after is not None
    ):
        return TokenEndpointUnavailableError(
            f"the token endpoint asks to wait (HTTP {answer.status}).",
            status=answer.status,
            retry_after=retry_after,
            outcome="throttled",
            advice="Nothing is lost; try again "
            f"{'later' if retry_after is None else f'in {retry_after:.0f} s'}.",
        )
    understood = HTTPStatus.BAD_REQUEST <= answer.status < HTTPStatus.INTERNAL_SERVER_ERROR
    if error and understood and error not in TEMPORARY_ERRORS:
        return TokenRequestRefusedError(
            f"the token endpoint refused the request: {error}"
            f"{f' ({description})' if description else ''}, HTTP {answer.status}. Check client_id, "
            "client_secret, callback_url and scopes against the registration of the OAuth 2.0 app; "
            "logging in again does not help.",
            status=answer.status,
            error=error,
            error_description=description,
        )
    what = f"HTTP {answer.status}, {answer.content_type or 'no content type'}"
    what += f", {error}" if error else ""
    is_of_another = _is_of_another_server(answer, error)
    return TokenEndpointUnavailableError(
        f"unusable answer from the token endpoint ({what}). {_likely_cause(answer, url)}",
        status=answer.status,
        retry_after=retry_after,
        outcome="not_sent" if is_of_another else "ambiguous",
        advice="Nothing is lost." if is_of_another else "Nothing is lost; try again.",
    )


def _is_of_another_server(answer: Answer, error: str) -> bool:
    """Whether something else has answered: a proxy, a firewall, a login page, a wrong URL.

    The token endpoint refuses with an error code. A 408 comes from proxies that have waited for it.
    """
    first = HTTPStatus.MULTIPLE_CHOICES
    refuses = first <= answer.status < HTTPStatus.INTERNAL_SERVER_ERROR
    return refuses and not error and answer.status != HTTPStatus.REQUEST_TIMEOUT


def _likely_cause(answer: Answer, url: str) -> str:
    """Why that URL gives an unusable answer, and what to do about it."""
    if target := answer.redirect_from(url):
        return (
            f"It redirects from {url} to {target}, which is not followed, since the client secret "
            "would go along. Is the server's URL the one that it redirects to, with https and the "
            "context path, such as https://jira.company.com/jira? If it is a login page, the token "
            "endpoint has to be exempt from it."
        )
    if answer.status == HTTPStatus.NOT_FOUND:
        return (
            f"There is nothing at {url}. Check the server's URL: does it lack a context path, such "
            "as the last part of https://jira.company.com/jira?"
        )
    if _is_of_another_server(answer, ""):
        return (
            f"Something else than the token endpoint seems to answer at {url}, such as a proxy, a "
            "firewall or a login page: ask who runs it to let these requests through."
        )
    return "If it goes on, ask whether a proxy or a login page answers in place of the server."


def _error_of(parsed: object) -> tuple[str, str]:
    """Error code and description, in the format of RFC 6749 or in the second one of Data Center."""
    if not isinstance(parsed, dict):
        return "", ""
    if error := printable(parsed.get("error")):
        return error, printable(parsed.get("error_description"))
    errors = parsed.get("errors")
    if isinstance(errors, list) and errors:
        return "invalid_request", printable(errors[0])
    return "", ""


def _without(secrets: tuple[str, ...], text: str) -> str:
    """The first 200 characters of the text, with each secret replaced."""
    spellings = {
        spelling
        for secret in filter(None, secrets)
        for spelling in (secret, quote(secret), quote(secret, safe=""), quote_plus(secret))
    }
    if spellings:
        longest_first = sorted(spellings, key=len, reverse=True)
        text = re.sub("|".join(map(re.escape, longest_first)), "[secret]", text)
    return text[:200]


def _retry_after(answer: Answer) -> float | None:
    """Seconds to wait. Source: RFC 9110 section 10.2.3."""
    value = answer.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value), 3600.0)
    from email.utils import parsedate_to_datetime  # large, and seldom needed

    try:
        at = parsedate_to_datetime(value).timestamp()
        now = parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (ValueError, TypeError, KeyError, OverflowError):
        return None
    return min(max(at - now, 0.0), 3600.0)

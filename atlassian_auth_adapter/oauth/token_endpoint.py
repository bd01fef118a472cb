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
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, urlencode

from atlassian_auth_adapter.clock import Clock
from atlassian_auth_adapter.errors import (
    ConfigurationError,
    TokenEndpointError,
    TokenEndpointUnavailableError,
    TokenRequestRefusedError,
    raise_clean,
    without_frames,
)
from atlassian_auth_adapter.oauth.server import AuthorizationServer
from atlassian_auth_adapter.tokens import TokenSet, is_token
from atlassian_auth_adapter.transport import Answer, NoAnswerError, Transport, origin_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from authlib.oauth2.auth import ClientAuth
    from authlib.oauth2.client import OAuth2Client

__all__ = ["TokenEndpoint", "checked_secret"]

#: Lifetime in seconds of an access token whose answer does not name one.
#: Source: 60 minutes, developer.atlassian.com oauth-2-3lo-apps, copy of 2026-09-26.
DEFAULT_LIFETIME = 3600.0
#: No access token lives longer than this many seconds, whatever an answer claims: 365 days.
LONGEST_LIFETIME = 365 * 86400.0
#: Error codes of a temporary state. Source: RFC 6749 section 4.1.2.1.
TEMPORARY_ERRORS = frozenset({"temporarily_unavailable", "server_error", "slow_down"})


@dataclass(frozen=True, slots=True)
class TokenEndpoint:
    """Token requests of one client. Threads may share it; every call may block on the network.

    Attributes:
        server: The authorization server.
        client_id: Identifies the client.
        client_secret: Returns the secret.
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
            TokenEndpointUnavailableError: No usable answer. A code works once: start again.
        """
        fields = {"code": code, "redirect_uri": self.redirect_uri}
        if code_verifier:
            fields["code_verifier"] = code_verifier
        return self._token_request("authorization_code", fields, TokenSet("", scope=scope))

    @without_frames
    def refresh(self, previous: TokenSet) -> TokenSet:
        """The successor of a token set. Source: RFC 6749 section 6.

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
        return self._token_request("client_credentials", fields, TokenSet("", scope=scope))

    @without_frames
    def revoke(self, token: str) -> None:
        """Revoke the token. Source: RFC 7009 section 2.1.

        Raises:
            TokenRequestRefusedError: The server refused.
            TokenEndpointUnavailableError: No usable answer.
        """
        secret = checked_secret(self.client_secret())
        answer = self._ask(
            secret,
            lambda client: client.revoke_token(  # type: ignore[no-untyped-call]
                self.server.revocation_endpoint, token=token, token_type_hint="refresh_token"
            ),
        )
        if answer.status != HTTPStatus.OK:
            raise _failure(answer, (token, secret))

    def _token_request(
        self, grant_type: str, fields: Mapping[str, str], previous: TokenSet
    ) -> TokenSet:
        secret = checked_secret(self.client_secret())
        sent_at = self.clock.time()
        answer = self._ask(
            secret,
            lambda client: client.fetch_token(
                self.server.token_endpoint, grant_type=grant_type, **fields
            ),
        )
        token_set = _token_set(answer, sent_at, previous)
        if token_set is None:
            raise _failure(answer, (*fields.values(), secret))
        return token_set

    def _ask(self, secret: str, call: Callable[[OAuth2Client], Any]) -> Answer:
        """The answer to the request that `call` makes with a new Authlib client."""
        client = _authlib_client(self, secret)
        try:
            answer: Answer = call(client)
            return answer
        except NoAnswerError as error:
            failure = TokenEndpointUnavailableError(
                f"no answer from {origin_of(self.server.token_endpoint)}: {error}. Nothing is "
                "lost; try again, or check network, proxy and `verify`.",
                outcome="ambiguous" if error.sent else "not_sent",
            )
            raise_clean(failure, error.__cause__)


def _authlib_client(endpoint: TokenEndpoint, secret: str) -> OAuth2Client:
    """Authlib's client: it sends with our transport, and returns the answer as it is."""
    from authlib.oauth2.client import OAuth2Client

    class Client(OAuth2Client):
        def parse_response_token(self, resp: Answer) -> Answer:
            return resp

    return Client(
        session=_Sender(endpoint.transport),
        client_id=endpoint.client_id,
        client_secret=secret,
        token_endpoint_auth_method=endpoint.server.client_authentication,
        revocation_endpoint_auth_method=endpoint.server.client_authentication,
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


def checked_secret(secret: object) -> str:
    """The client secret, if it is valid. Source: RFC 6749 appendix A.2.

    Raises:
        ConfigurationError: It is empty, or holds something invalid, such as a line break.
    """
    if isinstance(secret, str) and re.fullmatch(r"[!-~]([ -~]*[!-~])?", secret):
        return secret
    raise ConfigurationError(
        "client_secret is missing or malformed: it is a text of printable ASCII on one line. "
        "Atlassian asks for it even where PKCE is used; one that was read from a file may need "
        ".strip()."
    )


def _token_set(answer: Answer, sent_at: float, previous: TokenSet) -> TokenSet | None:
    """The token set in the answer, or None if the answer is not usable."""
    parsed = answer.json() if answer.status == HTTPStatus.OK else None
    if not isinstance(parsed, dict) or "error" in parsed:
        return None
    access_token = parsed.get("access_token")
    # A server that leaves out the refresh token lets the client keep the one it has.
    # Source: sample code of developer.atlassian.com oauth-2-3lo-apps, copy of 2026-09-26.
    refresh_token = parsed.get("refresh_token") or previous.refresh_token
    if not is_token(access_token) or (refresh_token and not is_token(refresh_token)):
        return None
    return TokenSet(
        access_token=access_token,
        refresh_token=refresh_token,
        expires_at=sent_at + _lifetime(parsed.get("expires_in")),
        scope=_printable(parsed.get("scope")) or previous.scope,
        token_type=_printable(parsed.get("token_type")) or "Bearer",
        obtained_at=sent_at,
    )


def _lifetime(expires_in: object) -> float:
    """Seconds; the default lifetime if the field is missing or invalid."""
    seconds = math.nan
    if isinstance(expires_in, int | float | str) and not isinstance(expires_in, bool):
        with suppress(ValueError, OverflowError):
            seconds = float(expires_in)
    return DEFAULT_LIFETIME if math.isnan(seconds) else min(max(seconds, 0.0), LONGEST_LIFETIME)


def _failure(answer: Answer, secrets: tuple[str, ...]) -> TokenEndpointError:
    """The error for an answer that holds no token set."""
    error, description = (_without(secrets, text) for text in _error_of(answer.json()))
    retry_after = _retry_after(answer)
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS or (
        answer.status == HTTPStatus.SERVICE_UNAVAILABLE and retry_after is not None
    ):
        return TokenEndpointUnavailableError(
            f"the token endpoint asks to wait (HTTP {answer.status}). Nothing is lost; "
            f"try again {'later' if retry_after is None else f'in {retry_after:.0f} s'}.",
            status=answer.status,
            retry_after=retry_after,
            outcome="throttled",
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
    return TokenEndpointUnavailableError(
        f"unusable answer from the token endpoint ({what}). Nothing is lost; try again. If it "
        "goes on, check the server's URL, and whether a proxy or a login page answers instead.",
        status=answer.status,
        retry_after=retry_after,
        outcome="ambiguous",
    )


def _error_of(parsed: object) -> tuple[str, str]:
    """Error code and description, in the format of RFC 6749 or in the second one of Data Center."""
    if not isinstance(parsed, dict):
        return "", ""
    if error := _printable(parsed.get("error")):
        return error, _printable(parsed.get("error_description"))
    errors = parsed.get("errors")
    if isinstance(errors, list) and errors:
        return "invalid_request", _printable(errors[0])
    return "", ""


def _printable(value: object) -> str:
    """A text as printable ASCII on one line; "" if it is not a text."""
    if not isinstance(value, str):
        return ""
    return "".join(char if " " <= char <= "~" else " " for char in value).strip()


def _without(secrets: tuple[str, ...], text: str) -> str:
    """The first 200 characters of the text, with each secret replaced."""
    for secret in filter(None, secrets):
        for spelling in (secret, quote(secret), quote(secret, safe=""), quote_plus(secret)):
            text = text.replace(spelling, "[secret]")
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

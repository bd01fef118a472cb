"""What the authorization page tells about a registration before a person signs in."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from atlassian_auth_adapter.errors import AuthorizationError, ResourceUnavailableError
from atlassian_auth_adapter.foreign_text import printable
from atlassian_auth_adapter.oauth.server import AuthorizationServer
from atlassian_auth_adapter.transport import Transport

__all__ = ["UNKNOWN", "asked_for_page"]

#: What no answer to a request without a person can tell. Source: Cloud answers 302 to
#: https://id.atlassian.com/login whatever the client id, probe of 2026-08-01; a wrong callback URL,
#: an unknown client and an app that is not shared are told after that, community 41372, 69937
#: (staff) and 100834.
UNKNOWN = (
    "Whether client id, callback URL and scopes are right is known only after a person has signed "
    "in there"
)


def asked_for_page(transport: Transport, server: AuthorizationServer, url: str) -> str:
    """The answer to an authorization request that comes from no person, in words.

    Args:
        transport: Sends the request.
        server: The authorization server.
        url: The whole URL of the request; no error repeats its query.

    Raises:
        AuthorizationError: The server refuses the request.
        ResourceUnavailableError: No usable answer.
    """
    answer = transport.get(url, accept="text/html")
    location = urlsplit(answer.headers.get("Location", ""))
    refusal = printable(parse_qs(location.query).get("error", [""])[0], 60)
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise ResourceUnavailableError(
            f"the authorization server has failed (HTTP {answer.status}). Try again.",
            status=answer.status,
        )
    endpoint, target = url.partition("?")[0], answer.redirect_from(url)
    path = endpoint.removeprefix(server.issuer)
    if answer.status == HTTPStatus.NOT_FOUND or target.endswith(path):
        raise ResourceUnavailableError(
            f"the authorization page is not at {endpoint} (HTTP {answer.status}"
            f"{f', it is at {target}' if target else ''}). Check the server's URL: https, and "
            "the context path, such as the last part of https://jira.company.com/jira.",
            status=answer.status,
        )
    if answer.status >= HTTPStatus.BAD_REQUEST or refusal or location.path.endswith("/error"):
        raise AuthorizationError(
            "the authorization server refuses client_id, callback_url or scopes "
            f"(HTTP {answer.status}{', ' if refusal else ''}{refusal}). They must be "
            "exactly those of the OAuth 2.0 app.",
            error=refusal,
        )
    host = printable(location.hostname or "")
    found = f"it sends to {host} to sign in" if host else "it answers"
    return f"{found}. {UNKNOWN}"

"""What the authorization page tells about a registration before a person signs in."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from http import HTTPStatus
from urllib.parse import SplitResult, parse_qs, urlsplit

from atlassian_auth_adapter.errors import AuthorizationError, ResourceUnavailableError
from atlassian_auth_adapter.foreign_text import printable
from atlassian_auth_adapter.oauth.server import AuthorizationServer
from atlassian_auth_adapter.transport import Answer

__all__ = ["UNKNOWN", "describe_answer", "describe_error_pages"]

#: What no answer to a request without a person can tell. Source: Cloud answers 302 to
#: https://id.atlassian.com/login whatever the client id, probe of 2026-08-01; a wrong callback URL,
#: an unknown client and an app that is not shared are told after that, community 41372, 69937
#: (staff) and 100834.
UNKNOWN = (
    "Whether client id, callback URL and scopes are those of the app is known only after a person "
    "has signed in: no other check can tell"
)

#: With these a server refuses an authorization; so do proxies and firewalls before it.
_REFUSALS = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


def describe_error_pages(
    server: AuthorizationServer, client_id: str, callback_url: str, scopes: Iterable[str]
) -> str:
    """What an error page means that does not lead back, in lines: the most probable cause first."""
    added = [scope for scope in scopes if scope != server.refresh_token_scope]  # never to an app
    known = {"client_id": client_id, "callback_url": callback_url, "scopes": " ".join(added)}
    lines = [
        f"  {number}. {text}\n     {known[value]}"
        for number, (text, value) in enumerate(server.error_pages, 1)
    ]
    head = (
        "If the browser shows an error page, that page says why. Compare with the registration "
        f"({server.registered_at}) and sign in again. The most probable cause is the first:"
    )
    return "\n".join([head, *lines])


def describe_answer(answer: Answer, url: str, issuer: str) -> str:
    """What the answer to an authorization URL says about the registration, in words.

    Raises:
        AuthorizationError: Client id, callback URL or scopes are refused.
        ResourceUnavailableError: It is not the answer of the authorization server.
    """
    endpoint, target = url.partition("?")[0], answer.redirect_from(url)
    location = _location(answer)
    refusal = parse_qs(location.query).get("error", [""])[0]
    if not refusal and isinstance(told := answer.json(), dict):  # Data Center, OpenHands#14250
        refusal = str(told.get("error", ""))
    refusal = printable(refusal, 60)
    if unusable := _unusable(answer, endpoint, target, endpoint.removeprefix(issuer)):
        raise ResourceUnavailableError(unusable, status=answer.status)
    if answer.status in _REFUSALS or refusal or location.path.endswith("/error"):
        raise AuthorizationError(
            "the authorization server refuses client_id, callback_url or scopes "
            f"(HTTP {answer.status}{', ' if refusal else ''}{refusal}). They must be exactly those "
            "of the OAuth 2.0 app. If they are, see whether a proxy or a firewall answers instead.",
            error=refusal,
        )
    host = printable(location.hostname or "")
    found = f"it sends to {host} to sign in" if host else "it answers"
    return f"{found}. {UNKNOWN}"


def _location(answer: Answer) -> SplitResult:
    """Where it redirects to, perhaps relative; empty if it does not, or to no URL."""
    with suppress(ValueError):
        return urlsplit(answer.headers.get("Location", ""))
    return urlsplit("")


def _unusable(answer: Answer, endpoint: str, target: str, path: str) -> str:
    """Why this answer of an endpoint, which redirects to `target`, says nothing; "" if it does."""
    status = answer.status
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return f"the authorization server has failed (HTTP {status}). Try again."
    if status == HTTPStatus.NOT_FOUND or target.endswith(path):
        return (
            f"the authorization page is not at {endpoint} (HTTP {status}"
            f"{f', it is at {target}' if target else ''}). Check the server's URL: https, and the "
            "context path, such as the last part of https://jira.company.com/jira."
        )
    is_lost = HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST and not target
    if is_lost or (status >= HTTPStatus.BAD_REQUEST and status not in _REFUSALS):
        return (
            f"no authorization page at {endpoint}, but HTTP {status}, "
            f"{answer.content_type or 'no content type'}. See whether a proxy or a firewall "
            "answers instead, or try again later."
        )
    return ""

"""Identity: who the resource server says we are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from atlassian_auth_adapter.atlassian.verdicts import Verdict
from atlassian_auth_adapter.errors import AccessDeniedError, ResourceUnavailableError
from atlassian_auth_adapter.transport import Answer

__all__ = ["Identity", "identity_in"]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the resource server says we are.

    Attributes:
        id: Account id on Cloud, user key or name on Data Center.
        name: For people.
        email: "" when the server does not tell.
        base_url: Which server said so.
    """

    id: str
    name: str = ""
    email: str = ""
    base_url: str = ""


def identity_in(
    answer: Answer, verdict: Verdict, base_url: str, granted: str, what_to_check: Callable[[], str]
) -> Identity:
    """The identity that an answer describes, in any product's spelling.

    Args:
        answer: Of the resource that tells who we are.
        verdict: What it says about the token.
        base_url: Of the resource server.
        granted: The scopes of the grant, separated by spaces.
        what_to_check: The advice when the server denies access; may ask for the sites.

    Raises:
        AccessDeniedError: It answers as if not logged in, denies access, or wants another scope.
        ResourceUnavailableError: The answer is not usable.
    """
    if verdict is Verdict.SCOPE_MISSING:
        raise AccessDeniedError(
            "the login works, but lacks a scope to ask who it belongs to (granted: "
            f"{granted!r}). Add the scope to the app and to `scopes`, then log in again.",
            granted=granted,
        )
    if verdict is Verdict.ANONYMOUS or answer.status == HTTPStatus.UNAUTHORIZED:
        raise AccessDeniedError(
            f"{base_url} answers as if not logged in. Is the token meant for this server, and may "
            "this account use the product?",
            granted=granted,
        )
    if answer.status in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
        raise AccessDeniedError(
            f"{base_url} denies access to this login (HTTP {answer.status}). Check "
            f"{what_to_check()}",
            granted=granted,
        )
    identity = _identity(answer, base_url) if answer.status == HTTPStatus.OK else None
    if identity is None:
        raise ResourceUnavailableError(
            f"unusable answer from {base_url} (HTTP {answer.status}, "
            f"{answer.content_type or 'no content type'}). Is the URL right, is a login page or a "
            "proxy in between?",
            status=answer.status,
        )
    return identity


def _identity(answer: Answer, base_url: str) -> Identity | None:
    """From the body in any product's spelling, or else from the header that names the caller."""
    parsed = answer.json()
    if not isinstance(parsed, dict):
        return None

    def first(*names: str) -> str:
        return next((str(parsed[name]) for name in names if parsed.get(name)), "")

    account_id = first("accountId", "account_id", "key", "userKey", "name", "username")
    if not account_id:
        caller = answer.headers.get("X-AUSERNAME", "")
        return Identity(caller, name=caller, base_url=base_url) if caller else None
    return Identity(
        account_id,
        name=first("displayName", "display_name", "publicName", "name", "username"),
        email=first("emailAddress", "email"),
        base_url=base_url,
    )

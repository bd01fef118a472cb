"""What an answer says about the token that its request carried.

Source: `atlassian.md` sections 1.5 and 4, collected 2026-11-22.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from http import HTTPStatus

__all__ = ["Verdict", "judge"]

#: The gateway's text for a valid token without the scope.
#: Source: {"code":401,"message":"Unauthorized; scope does not match"}, live traffic 2026.
_SCOPE_MISSING = b"scope does not match"
#: The login pages to which Data Center redirects. Source: Jira 8.14 does so with a bearer token at
#: /secure/attachment, mcp-atlassian#1634; for Confluence and Bitbucket their web applications.
_LOGIN_PAGES = ("/login.jsp", "/login.action", "/dologin.action", "/login")


class Verdict(enum.Enum):
    """What to do about the token."""

    FINE = "fine"  # nothing: the answer does not say anything about the token
    REJECTED = "rejected"  # get another token and send the request again
    ANONYMOUS = "anonymous"  # answered as if not logged in: the same, if the request is safe
    SCOPE_MISSING = "scope_missing"  # nothing: a refresh cannot help
    GONE = "gone"  # nothing: the resource was removed, for OAuth at least
    RATE_LIMITED = "rate_limited"  # nothing: there were too many requests

    @property
    def is_rejection(self) -> bool:
        """Whether another token may get another answer."""
        return self in (Verdict.REJECTED, Verdict.ANONYMOUS)


def judge(
    status: int,
    headers: Mapping[str, str],
    body: Callable[[], bytes],
    *,
    expired: bool,
    anonymous_fallback: bool,
    path: str = "",
) -> Verdict:
    """What the answer says about the token.

    Args:
        status: HTTP status.
        headers: Response headers, case-insensitive.
        body: Returns the body; called only for a 401.
        expired: Whether the token has expired by now.
        anonymous_fallback: See `ResourceServer`.
        path: Path of the URL that answered, after any redirects.
    """
    if status == HTTPStatus.UNAUTHORIZED:
        return Verdict.SCOPE_MISSING if _SCOPE_MISSING in body().lower() else Verdict.REJECTED
    if status in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND) and expired:
        # By one report, the gateway answers an expired token with 403 (v1) or 404 (v2).
        return Verdict.REJECTED
    if status == HTTPStatus.GONE:
        return Verdict.GONE
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Verdict.RATE_LIMITED
    if headers.get("x-seraph-loginreason", "").upper().startswith("AUTHENTICATED_FAILED"):
        return Verdict.ANONYMOUS
    if anonymous_fallback and _asks_for_a_login(status, headers, path):
        return Verdict.ANONYMOUS
    return Verdict.FINE


def _asks_for_a_login(status: int, headers: Mapping[str, str], path: str) -> bool:
    """Whether Data Center answers as if not logged in, by a header or with its login page."""
    if caller := headers.get("x-ausername", ""):
        return caller.lower() == "anonymous"
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return headers.get("location", "").partition("?")[0].endswith(_LOGIN_PAGES)
    is_page = headers.get("content-type", "").lower().startswith("text/html")
    return status == HTTPStatus.OK and is_page and (path.endswith(_LOGIN_PAGES) or "/rest/" in path)

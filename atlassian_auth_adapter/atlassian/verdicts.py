"""What an answer says about the token that its request carried.

Source: `atlassian.md` sections 1.5 and 4, collected 2026-11-22.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Container, Iterable, Mapping
from http import HTTPStatus
from urllib.parse import parse_qsl, urlsplit

from atlassian_auth_adapter.atlassian.locations import Location

__all__ = ["DATA_POLICY", "Verdict", "is_ordinary", "judge", "told"]

#: The header of an answer whose content an administrator's policy has left out in part.
#: Source: developer.atlassian.com data-security-policy-developer-guide.
DATA_POLICY = "Atlassian-DataSecurityPolicy"
#: Scheme, host and port.
Origin = tuple[str, str, int | None]

#: The gateway's text for a valid token without the scope.
#: Source: {"code":401,"message":"Unauthorized; scope does not match"}, live traffic 2026.
_SCOPE_MISSING = b"scope does not match"
#: The login pages to which Data Center redirects. Source: Jira 8.14 does so with a bearer token at
#: /secure/attachment, mcp-atlassian#1634; for Confluence and Bitbucket their web applications.
_LOGIN_PAGES = ("/login.jsp", "/login.action", "/dologin.action", "/login")
#: What a redirect to sign in has in its query, in lower case: Data Center's own pages (the page to
#: return to), SAML 2.0 bindings section 3.4.3, WS-Federation section 13.1, and RFC 6749 4.1.1.
_SIGN_IN_QUERY = frozenset({"os_destination", "samlrequest", "wtrealm", "redirect_uri"})
#: What the path of a page to sign in has in it: those of the usual identity providers and proxies.
_SIGN_IN_PATH = re.compile(
    r"/(?:[\w-]*log[_-]?[io]n|sign[_-]?in|[\w-]*sso|saml\w*|adfs|cas|oidc|openid[\w-]*|oauth2?"
    r"|authorize|idp|authn)(?:[/.;]|$)",
    re.IGNORECASE,
)
#: Resources that answer with a file, which may be at another host, such as an object store.
_FILES = re.compile(
    r"/(?:attachments?|\w*avatars?|thumbnails?|downloads?|files?|images?|icons?|logos?|archive|raw"
    r"|export|(?:git-)?lfs)(?:[/.]|$)",
    re.IGNORECASE,
)


_SUCCESS = range(200, 300)
#: What the headers of an answer (names and values in lower case) begin with, if they say something
#: about the token of a request that has succeeded.
_TELLING = {
    "x-seraph-loginreason": b"authenticated_failed",
    "x-ausername": b"anonymous",
    "content-type": b"text/html",
    DATA_POLICY.lower(): b"",
}
_TELLING_BYTES = {name.encode(): value for name, value in _TELLING.items()}
_NAMES = tuple(zip(_TELLING, _TELLING_BYTES, strict=True))


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


def is_ordinary(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether the answer needs no closer look: a success, and no header tells anything.

    Args:
        status: HTTP status.
        headers: Names and values, or those that `told` returns.
    """
    if status not in _SUCCESS:
        return False
    for name, value in headers:
        telling = _TELLING_BYTES.get(name.lower())
        if telling is not None and value.lower().startswith(telling):
            return False
    return True


def told(headers: Mapping[str, str], names: Container[str]) -> list[tuple[bytes, bytes]]:
    """Those headers of an answer that may say something about the token, for `is_ordinary`.

    Args:
        headers: Of the answer, case-insensitive.
        names: Their names, in lower case or case-insensitive.
    """
    return [
        (as_bytes, headers[name].encode("utf-8", "replace"))
        for name, as_bytes in _NAMES
        if name in names
    ]


def judge(
    status: int,
    headers: Mapping[str, str],
    body: Callable[[], bytes],
    *,
    expired: bool,
    anonymous_fallback: bool,
    path: str = "",
    origin: Origin | None = None,
) -> Verdict:
    """What the answer says about the token.

    Args:
        status: HTTP status.
        headers: Response headers, case-insensitive.
        body: Returns the body; called only for a 401.
        expired: Whether the token has expired by now.
        anonymous_fallback: See `ResourceServer`.
        path: Path of the URL that answered, after any redirects.
        origin: Origin of that URL, as `Location.origin`.
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
    if anonymous_fallback and _asks_for_a_login(status, headers, path, origin):
        return Verdict.ANONYMOUS
    return Verdict.FINE


def _asks_for_a_login(
    status: int, headers: Mapping[str, str], path: str, origin: Origin | None
) -> bool:
    """Whether Data Center answers as if not logged in, by a header or with its login page."""
    if caller := headers.get("x-ausername", ""):
        return caller.lower() == "anonymous"
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return _leads_to_a_login(headers.get("location", ""), path, origin)
    is_page = headers.get("content-type", "").lower().startswith("text/html")
    return status == HTTPStatus.OK and is_page and (path.endswith(_LOGIN_PAGES) or "/rest/" in path)


def _leads_to_a_login(target: str, path: str, origin: Origin | None) -> bool:
    """Whether a redirect leads to a page to sign in: a login page, or single sign-on.

    Data Center behind single sign-on sends requests without a login to a servlet of its plugin, or
    to the identity provider; so does a proxy in front of it. A resource of the REST API redirects
    to another host for files only.
    """
    try:
        # //host/path has no scheme: it is that of the request.
        parts = urlsplit(target, scheme=origin[0] if origin else "")
        elsewhere = bool(parts.netloc) and Location.of(parts.geturl()).origin != origin
        query = {name.lower() for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    except ValueError:  # not a URL, or too many fields
        return False
    if parts.path.endswith(_LOGIN_PAGES) or query & _SIGN_IN_QUERY:
        return True
    is_servlet = "/plugins/servlet/" in parts.path
    is_sign_in = bool(_SIGN_IN_PATH.search(parts.path))
    if "/rest/" not in path:
        return is_servlet and is_sign_in
    server_moved = parts.path.endswith(path[path.index("/rest/") :])
    is_other = elsewhere and not server_moved and not _FILES.search(path)
    return is_servlet or is_sign_in or is_other

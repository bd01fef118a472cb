"""What `atlassian-auth api` says when a server answers with an error: one line, with what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from atlassian_auth_adapter.foreign_text import printable

__all__ = ["advice_for", "exit_code_for"]

_BAD_REQUEST = "The answer says what is wrong with the request."
_SERVER_ERROR = "The server has failed: try again soon."
#: What to do about a status, when nothing more is known.
_ADVICE = {
    401: "The server does not accept the login: run atlassian-auth doctor.",
    403: "The account, or the app, may not do this: an administrator can give it the right.",
    404: (
        "There is no such resource, or the account may not see it: compare the path with the "
        "product's documentation."
    ),
    405: "The resource has other methods: choose one with -X.",
    410: "The resource was removed: the product's documentation names another one.",
    413: "The server does not accept so many bytes.",
    415: "Say what the body is: -H 'Content-Type: TYPE'.",
    429: "Too many requests: try again later.",
}
_ANONYMOUS = "The server has answered as if not signed in: run atlassian-auth doctor."
_XSRF = "The server took it for a form of another page: add -H 'X-Atlassian-Token: no-check'."
_SCOPES = (
    "The login lacks a scope for this resource, and its documentation names the scope. Add it to "
    "the app, and sign in with it: atlassian-auth login --scope SCOPE, once for each scope."
)
_SENT_ONCE = (
    "The login was rejected, and a body that comes from a pipe cannot be sent again: run the "
    "command again, or give a file with --input FILE."
)


def exit_code_for(status: int) -> int:
    """The exit code for an answer that is an error, or as if not signed in; see `EXIT_CODES`."""
    if status < 400 or status in (401, 403):
        return 5
    return 6 if _may_pass(status) else 9


def advice_for(
    status: int,
    retry_after: str,
    body: bytes,
    events: Mapping[str, Mapping[str, Any]],
    *,
    sign_in: str,
    scopes: Iterable[str],
    sent_once: bool,
    about_path: str,
) -> str:
    """What to do about an answer.

    Args:
        status: HTTP status.
        retry_after: The header of that name, or "".
        body: The start of the body.
        events: Names and fields of the events that were reported of the request.
        sign_in: The command that signs in.
        scopes: Scopes of the login.
        sent_once: The body of the request cannot be sent again.
        about_path: What to do about a path that the product does not have, or "".
    """
    if status < 400:
        return _ANONYMOUS
    if status == 401 and (told := events.get("scope_missing")) is not None:
        missing = str(told.get("missing") or "")
        return _about_scopes(missing, sign_in, scopes) if missing else about_path or _SCOPES
    if status == 401 and sent_once:
        return _SENT_ONCE
    if status == 403 and b"XSRF" in body:
        return _XSRF
    if status == 404 and about_path:
        return about_path
    if status == 410 and (successor := events.get("gone", {}).get("hint")):
        return f"The resource was removed: use {successor}."
    if _may_pass(status) and (wait := printable(retry_after, 40)):
        return f"The server asks to wait: try again in {wait}{' s' if wait.isdecimal() else ''}."
    return _ADVICE.get(status, _SERVER_ERROR if _may_pass(status) else _BAD_REQUEST)


def _may_pass(status: int) -> bool:
    """Whether the same request may succeed later."""
    return status == 429 or status >= 500


def _about_scopes(missing: str, sign_in: str, scopes: Iterable[str]) -> str:
    options = " ".join(f"--scope {scope}" for scope in [*sorted(scopes), *missing.split()])
    them, name = ("them", "scopes") if " " in missing else ("it", "scope")
    return (
        f"The login lacks the {name} {missing}. Add {them} to the app, then sign in with {them}: "
        f"{sign_in} {options}"
    )

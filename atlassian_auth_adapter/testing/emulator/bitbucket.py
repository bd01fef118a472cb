"""Bitbucket Cloud's authorization server (bitbucket.org), which rotates tokens since 2026.

Source: developer.atlassian.com/cloud/bitbucket/oauth-2 (2026-02-24), community 99003 (rotation,
2026-05-04), git-credential-manager#2428, #2429 and #2433 (grace, length of tokens, 2026-08 and
2026-09) and the reports collected in our notes, read 2026-11-26. Statuses and texts marked
"unconfirmed" are our guess.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar
from urllib.parse import unquote

from .accounts import ACCOUNT_ID, BITBUCKET_APP_USER, App
from .consent import error_page
from .flavour import Flavour, Pending, Refusals, error, redirect_back
from .grants import Consent
from .hosts import Routes, on_request
from .http import Request, Response, html_response
from .scopes import BITBUCKET_SCOPES, BITBUCKET_WORDS

# Source: harness/harness#1650, read 2026-11-22.
_BAD_CLIENT = error(400, "unauthorized_client", "Invalid OAuth client credentials")
_DEAD_REFRESH_TOKEN = MappingProxyType(
    {
        "unauthorized_client": error(403, "unauthorized_client", "refresh_token is invalid"),
        "invalid_request": error(400, "invalid_request", "Invalid refresh_token"),
        "access_denied": error(403, "access_denied", "user is inactive"),  # status: unconfirmed
    }
)
_KINDS = MappingProxyType(
    {"/site/oauth2/authorize": "authorize", "/site/oauth2/access_token": "token"}
)


def bitbucket_kind(request: Request) -> str:
    """The kind of a request on a Bitbucket Cloud host, for faults and the log."""
    return _KINDS.get(request.path, "resource")


class Bitbucket(Flavour):
    """The Bitbucket Cloud flavour; settings are plain attributes, durations in seconds.

    Its app is also its service account: the consumer itself asks for client credentials. A refresh
    token that was used stays valid for ten minutes, by one report: `rotation_grace`. Tokens are
    longer than 2,500 characters: `token_bytes`. What a refresh does to the old access token is not
    known: nothing, unless `companion_grace` says otherwise.

    Attributes:
        dead_refresh_token_error: "unauthorized_client" or "invalid_request", both seen; or
            "access_denied": the user was deactivated.
        auth_url, api_url, media_url: Origins of the hosts.
    """

    name = "bitbucket"
    inner: ClassVar[frozenset[str]] = Flavour.inner | {"routes"}
    choices: ClassVar[Mapping[str, tuple[object, ...]]] = MappingProxyType(
        {"dead_refresh_token_error": (*_DEAD_REFRESH_TOKEN,)}
    )
    product = "Bitbucket"
    words: Mapping[str, str] = BITBUCKET_WORDS
    subject = ACCOUNT_ID
    service_subject = BITBUCKET_APP_USER
    refusals: ClassVar[Refusals] = MappingProxyType(
        {
            "missing": error(400, "invalid_request", "A required parameter is missing"),
            "grant_type": error(400, "unsupported_grant_type", "Unsupported grant type"),
            "client": _BAD_CLIENT,
            "secret": _BAD_CLIENT,
            "service_client": _BAD_CLIENT,
            "code": error(400, "invalid_grant", "The code is not valid"),  # unconfirmed
            "redirect_uri": error(400, "invalid_grant", "Invalid redirect_uri"),  # unconfirmed
        }
    )

    def __init__(self, now: Callable[[], float]) -> None:
        app = App(
            "Emulator App",
            "bitbucket-client-id",
            secrets.token_urlsafe(32),
            BITBUCKET_SCOPES,
            "http://localhost:8080/callback",
        )
        super().__init__(
            app,
            app,
            now,
            access_token_lifetime=7200,
            rotation_grace=600,
            companion_grace=float("inf"),
            token_bytes=1950,  # 2,600 characters
        )
        self.dead_refresh_token_error = "unauthorized_client"
        self.auth_url = self.api_url = self.media_url = ""
        self.routes: Routes = Routes(
            lambda _: html_response(404, "<h1>Not found</h1>"),
            ("GET POST", r"/site/oauth2/authorize", on_request(self.authorization)),
            ("POST", r"/site/oauth2/access_token", on_request(self.token)),
        )

    def _variables(self) -> dict[str, str]:
        hosts = f"{self.auth_url} {self.api_url}"
        return {"ATLASSIAN_PRODUCT": self.name, "ATLASSIAN_CLOUD": hosts}

    def _check_authorization(self, request: Request) -> Pending | Response:
        params = dict(reversed(request.query))
        redirect_uri = params.get("redirect_uri", self.app.callback_url)  # optional here
        if params.get("client_id") != self.app.client_id:
            return _stop("Invalid client_id")
        if redirect_uri != self.app.callback_url:
            return _stop("Invalid redirect_uri")
        if params.get("response_type") != "code":
            return _stop("Invalid response_type")
        scope = params.get("scope") or self._default_scope()
        state = params.get("state")
        if unknown := set(scope.split()) - set(self.app.scopes):  # unconfirmed
            answer = {"error": "invalid_scope", "error_description": f"unknown: {min(unknown)}"}
            return redirect_back(redirect_uri, answer, state)
        consent = Consent(self.app.client_id, self.subject, scope, redirect_uri=redirect_uri)
        return Pending(consent, state, True)

    def _parameters(self, request: Request) -> dict[str, str]:
        """The form; the client authenticates in the Basic header only."""
        client_id, client_secret = _basic(request)
        return {
            "redirect_uri": self.app.callback_url,
            **request.form(),
            "client_id": client_id,
            "client_secret": client_secret,
        }

    def _service_scope(self, asked: str | None) -> str:
        return self._default_scope()

    def _refusal(self, reason: str) -> tuple[int, Mapping[str, Any]]:
        if reason == "refresh_token":
            return _DEAD_REFRESH_TOKEN[self.dead_refresh_token_error]
        return self.refusals[reason]

    def _default_scope(self) -> str:
        return " ".join(self.app.scopes)


def _basic(request: Request) -> tuple[str, str]:
    value = request.credentials("basic")
    try:
        name, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return unquote(name), unquote(password)  # form-encoded: RFC 6749 section 2.3.1


def _stop(description: str) -> Response:
    page = error_page("This integration is misconfigured", "invalid_request", description)
    return html_response(400, page)

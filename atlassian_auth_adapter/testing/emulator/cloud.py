"""Atlassian Cloud's authorization server (auth.atlassian.com): parameters, payloads, settings.

Source: developer.atlassian.com/cloud/confluence/oauth-2-3lo-apps and the live reports collected in
our notes, all read 2026-11-22. Statuses and texts marked "unconfirmed" are our guess.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from .accounts import ACCOUNT_ID, EMAIL, SERVICE_ACCOUNT_ID, App, Site
from .consent import error_page
from .flavour import Flavour, Pending, error, redirect_back
from .grants import Consent, Issued, RefusedError
from .hosts import Row, on_request
from .http import Request, Response, html_response
from .products import CLOUD_SCOPES, CLOUD_WORDS

_UNAUTHORIZED = {"error": "access_denied", "error_description": "Unauthorized"}
_DEAD_REFRESH_TOKEN = {
    "unauthorized_client": "refresh_token is invalid",  # live traffic 2024 to 2026
    "invalid_grant": "Unknown or invalid refresh token.",  # documented
}
_REVOKED = "Token was globally revoked"  # live traffic, 2026-06-12
_REQUIRED = ("audience", "client_id", "scope", "redirect_uri", "response_type", "prompt")


class Cloud(Flavour):
    """The Cloud flavour; settings are plain attributes, durations in seconds.

    Attributes:
        audience: What authorization requests must name; Government Cloud has another.
        expires_in_as: "int", "string" or "missing".
        dead_refresh_token_error: "unauthorized_client" (live), "invalid_grant" (documented),
            "globally_revoked" (live: invalid_grant with another text) or "text" (live: that text in
            place of an error code).
        token_type: As sent in token answers.
        anonymous_readable: An expired bearer gets 200, anonymous data and `x-seraph-loginreason`.
        expired_as: 401, 403 or 404: the gateway's answer to an expired token.
        rate_limit: None, or the Retry-After in seconds that every resource answers with 429.
        rate_limit_reason: What follows the product's name in `RateLimit-Reason`: "burst-based",
            "quota-global-based", "quota-tenant-based"; for Jira "per-issue-on-write" as well.
        resource_choice: Site ids that the automatic consent picks; None: all.
        entries_without: Fields that the entries of accessible-resources lack.
        api_token: With `email`, Basic credentials that work on the sites.
        scoped_api_token: With `email`, Basic credentials that work on the gateway.
    """

    name = "cloud"
    product = "Atlassian"
    words: Mapping[str, str] = CLOUD_WORDS
    subject = ACCOUNT_ID
    service_subject = SERVICE_ACCOUNT_ID
    refusals = MappingProxyType(
        {
            "malformed": error(400, "invalid_request", "The request body cannot be read."),
            "missing": error(400, "invalid_request", "A required parameter is missing."),
            "grant_type": error(400, "unsupported_grant_type", "Unsupported grant type."),
            "client": (401, _UNAUTHORIZED),
            "secret": (401, _UNAUTHORIZED),
            "service_client": error(400, "invalid_client", "Unknown client."),
            "client_grant_type": error(403, "unauthorized_client", "Grant type not allowed."),
            "scope": error(400, "invalid_scope", "Scope must not be sent."),
            # Source: Community 66643; sooperset/mcp-atlassian#1137, 2026-03-05. In 2020 it was 403
            # "Invalid authorization code".
            "code": error(400, "invalid_request", "authorization_code is invalid"),
            "redirect_uri": error(403, "invalid_grant", "Invalid redirect uri"),  # unconfirmed
        }
    )

    def __init__(self, now: Callable[[], float], scopes: tuple[str, ...] = CLOUD_SCOPES) -> None:
        app = App(
            "Emulator App",
            f"{self.name}-client-id",
            secrets.token_urlsafe(32),
            scopes,
            "http://localhost:8080/callback",
        )
        account = App("Reports", f"{self.name}-service-account", secrets.token_urlsafe(32), scopes)
        super().__init__(
            app,
            account,
            now,
            absolute_lifetime=365 * 86400,
            rotation_grace=600,
            companion_grace=600,
        )
        self.audience = "api.atlassian.com"
        self.expires_in_as = "int"
        self.dead_refresh_token_error = "unauthorized_client"
        self.token_type = "Bearer"
        self.anonymous_readable = False
        self.expired_as = 401
        self.rate_limit: float | None = None
        self.rate_limit_reason = "burst-based"
        self.resource_choice: tuple[str, ...] | None = None
        self.entries_without: tuple[str, ...] = ()
        self.email = EMAIL
        self.api_token = secrets.token_urlsafe(48)
        self.scoped_api_token = secrets.token_urlsafe(48)
        self.auth_url = self.api_url = self.media_url = ""
        self.sites: tuple[Site, ...] = ()
        self.rows: tuple[Row, ...] = (
            ("GET POST", r"/authorize", on_request(self.authorization)),
            ("POST", r"/oauth/token", on_request(self.token)),
            ("POST", r"/oauth/revoke", on_request(self.revocation)),
        )

    # -- authorization and token endpoint ----------------------------------------------------------

    def _check_authorization(self, request: Request) -> Pending | Response:
        params = dict(reversed(request.query))
        if params.get("client_id") != self.app.client_id:
            return stop("invalid_request", "failed to retrieve client")
        if params.get("redirect_uri") != self.app.callback_url:
            return stop("invalid_request", "redirect_uri is not registered for client")
        for name in _REQUIRED:
            if not params.get(name):
                return stop("invalid_request", f"{name} is required")
        if params["response_type"] != "code":
            return stop("unsupported_response_type", "response_type must be code")
        if params["audience"] != self.audience or params["prompt"] != "consent":
            return stop("invalid_request", "audience or prompt is not acceptable")
        asked = params["scope"].split()
        if {"openid", "profile", "email"} & set(asked):
            return stop("invalid_scope", "Something went wrong")
        state = params.get("state")
        if unknown := set(asked) - {*self.app.scopes, "offline_access"}:
            answer = {"error": "invalid_scope", "error_description": f"unknown: {min(unknown)}"}
            return redirect_back(self.app.callback_url, answer, state)
        consent = Consent(
            self.app.client_id,
            ACCOUNT_ID,
            " ".join(asked),
            redirect_uri=params["redirect_uri"],
        )
        return Pending(consent, state, "offline_access" in asked, self._site_choices())

    def _parameters(self, request: Request) -> dict[str, str]:
        if request.media_type != "application/json":
            return request.form()
        value = request.json()
        if not isinstance(value, dict):
            raise RefusedError("malformed")
        return {key: each for key, each in value.items() if isinstance(each, str)}

    def _service_scope(self, asked: str | None) -> str:
        if asked is not None:
            raise RefusedError("scope")
        return " ".join(self.service_account.scopes)

    def _refusal(self, reason: str) -> tuple[int, Mapping[str, Any]]:
        if reason == "refresh_token":
            sent = self.dead_refresh_token_error
            if sent == "globally_revoked":
                return error(403, "invalid_grant", _REVOKED)
            if sent == "text":
                return 403, {"error": _REVOKED}
            return error(403, sent, _DEAD_REFRESH_TOKEN[sent])
        return self.refusals[reason]

    def payload(self, issued: Issued) -> dict[str, Any]:
        """The body of a successful token answer."""
        answer: dict[str, Any] = {"access_token": issued.access_token}
        if issued.refresh_token:
            answer["refresh_token"] = issued.refresh_token
        if self.expires_in_as != "missing":
            seconds = issued.expires_in
            answer["expires_in"] = str(seconds) if self.expires_in_as == "string" else seconds
        return {**answer, "token_type": self.token_type, "scope": issued.consent.scope}

    def _preset_secrets(self) -> frozenset[str]:
        return frozenset({self.api_token, self.scoped_api_token})

    def _default_scope(self) -> str:
        return " ".join((*self.app.scopes, "offline_access"))

    def _refreshable(self, scope: str) -> bool:
        return "offline_access" in scope.split()

    def _chosen_sites(self) -> tuple[str, ...]:
        return tuple(
            site.id
            for site in self.sites
            if self.resource_choice is None or site.id in self.resource_choice
        )

    def _site_choices(self) -> tuple[tuple[str, str], ...]:
        return tuple((site.id, f"{site.name} ({site.url})") for site in self.sites)


def stop(problem: str, description: str) -> Response:
    """A page that does not lead back to the client."""
    return html_response(400, error_page("Something went wrong", problem, description))

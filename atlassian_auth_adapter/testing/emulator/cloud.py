"""Atlassian Cloud's authorization server (auth.atlassian.com): parameters, payloads, settings.

Source: developer.atlassian.com/cloud/confluence/oauth-2-3lo-apps and the live reports collected in
our notes, all read 2026-11-26. The pages of id.atlassian.com are on the same host here: an
authorization request is looked at after the sign-in only (Community 41372, 69937, 100834), which
needs no click. Statuses and texts marked "unconfirmed" are our guess.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, ClassVar
from urllib.parse import urlencode

from .accounts import ACCOUNT_ID, EMAIL, SERVICE_ACCOUNT_ID, App, Site
from .consent import error_page
from .flavour import Flavour, Pending, Refusals, error
from .grants import Consent, Issued, RefusedError
from .hosts import Row, on_request
from .http import Request, Response, html_response, json_response, redirect_response
from .products import CLOUD_SCOPES, CLOUD_WORDS

_UNAUTHORIZED = {"error": "access_denied", "error_description": "Unauthorized"}
_DEAD_REFRESH_TOKEN = {
    "unauthorized_client": "refresh_token is invalid",  # live traffic 2024 to 2026
    "invalid_grant": "Unknown or invalid refresh token.",  # documented
}
_REVOKED = "Token was globally revoked"  # live traffic, 2026-06-12
_BAD_CODE = MappingProxyType(
    {
        # Source: Community 66643; sooperset/mcp-atlassian#1137, 2026-03-05.
        "invalid_request": error(400, "invalid_request", "authorization_code is invalid"),
        # The answer of 2020; its code is unconfirmed, status and text are not.
        "invalid_grant": error(403, "invalid_grant", "Invalid authorization code"),
    }
)
_SESSION = "emulator.session"  # says that the person is signed in
_MOST_SCOPES = 50  # "about"
_REQUIRED = ("audience", "client_id", "scope", "redirect_uri", "response_type", "prompt")


class Cloud(Flavour):
    """The Cloud flavour; settings are plain attributes, durations in seconds.

    Attributes:
        audience: What authorization requests must name; Government Cloud has another.
        expires_in_as: "int", "string" or "missing".
        bad_code_error: "invalid_request" (2026) or "invalid_grant" (2020): the answer to a code
            that is wrong, used or older than `code_lifetime`.
        dead_refresh_token_error: "unauthorized_client" (live), "invalid_grant" (documented),
            "globally_revoked" (live: invalid_grant with another text) or "text" (live: that text in
            place of an error code).
        token_type: As sent in token answers.
        anonymous_readable: An expired bearer gets 200, anonymous data and `x-seraph-loginreason`.
        expired_as: 401, 403 or 404: the gateway's answer to an expired token.
        rate_limit: None, or the Retry-After in seconds that every resource answers with 429.
        rate_limit_reason: What follows the product's name in `RateLimit-Reason`: "burst-based";
            "quota-global-based" and "quota-tenant-based", which are for OAuth and not for API
            tokens; "per-issue-on-write", which is for writing requests to Jira.
        products_denied: Names of products that the account may not use: 403.
        app_is_shared: False: the person is not the owner of an app that is not shared.
        revocation_as: What the revocation endpoint answers; it ends nothing unless this is 200
            (unconfirmed for 3LO).
        me_refused_as: What /me answers without the scope read:me (unconfirmed).
        resource_choice: Site ids that the automatic consent picks; None: all.
        entries_without: Fields that the entries of accessible-resources lack.
        api_token: With `email`, Basic credentials that work on the sites, and on the gateway at
            Assets and Forms.
        scoped_api_token: With `email`, Basic credentials that work on the gateway.
        organization_key: The bearer that works at the administration of the organization.
        custom_domains: The sites have domains of their own, which take no token of any kind.
    """

    name = "cloud"
    inner: ClassVar[frozenset[str]] = Flavour.inner | {"rows"}
    choices: ClassVar[Mapping[str, tuple[object, ...]]] = MappingProxyType(
        {
            "expires_in_as": ("int", "string", "missing"),
            "bad_code_error": (*_BAD_CODE,),
            "dead_refresh_token_error": (*_DEAD_REFRESH_TOKEN, "globally_revoked", "text"),
            "expired_as": (401, 403, 404),
            "rate_limit_reason": (
                "burst-based",
                "quota-global-based",
                "quota-tenant-based",
                "per-issue-on-write",
            ),
        }
    )
    product = "Atlassian"
    words: Mapping[str, str] = CLOUD_WORDS
    subject = ACCOUNT_ID
    service_subject = SERVICE_ACCOUNT_ID
    refusals: ClassVar[Refusals] = MappingProxyType(
        {
            # The first three are unconfirmed.
            "malformed": error(400, "invalid_request", "The request body cannot be read."),
            "missing": error(400, "invalid_request", "A required parameter is missing."),
            "grant_type": error(400, "unsupported_grant_type", "Unsupported grant type."),
            "client": (401, _UNAUTHORIZED),
            "secret": (401, _UNAUTHORIZED),
            "service_client": error(400, "invalid_client", "Unknown client."),
            "client_grant_type": error(403, "unauthorized_client", "Not allowed."),  # unconfirmed
            "scope": error(
                400, "invalid_scope", "Scope must not be sent."
            ),  # its text: unconfirmed
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
            code_lifetime=600,  # "minutes, at most 10"
        )
        self.audience = "api.atlassian.com"
        self.expires_in_as = "int"
        self.bad_code_error = "invalid_request"
        self.dead_refresh_token_error = "unauthorized_client"
        self.token_type = "Bearer"
        self.anonymous_readable = False
        self.expired_as = 401
        self.rate_limit: float | None = None
        self.rate_limit_reason = "burst-based"
        self.products_denied: tuple[str, ...] = ()
        self.resource_choice: tuple[str, ...] | None = None
        self.entries_without: tuple[str, ...] = ()
        self.email = EMAIL
        self.api_token: str = secrets.token_urlsafe(48)
        self.scoped_api_token: str = secrets.token_urlsafe(48)
        self.organization_key: str = secrets.token_urlsafe(48)
        self.custom_domains = False
        self.app_is_shared = True
        self.revocation_as = 200
        self.me_refused_as = 403
        self._session = secrets.token_urlsafe(24)
        self.auth_url = self.api_url = self.media_url = ""
        self.sites: tuple[Site, ...] = ()
        self.rows: tuple[Row, ...] = (
            ("GET POST", r"/authorize", on_request(self.authorization)),
            ("POST", r"/oauth/token", on_request(self.token)),
            ("POST", r"/oauth/revoke", on_request(self.revocation)),
            ("GET", r"/login", on_request(self._sign_in)),
            ("GET", r"/error", on_request(_error)),
        )

    # -- authorization and token endpoint ----------------------------------------------------------

    def _variables(self) -> dict[str, str]:
        hosts = f"{self.auth_url} {self.api_url} {self.audience}"
        site_url = self.sites[0].url if self.sites else ""
        return {"ATLASSIAN_CLOUD": hosts, "ATLASSIAN_SITE_URL": site_url}

    def _check_authorization(self, request: Request) -> Pending | Response:
        params = dict(reversed(request.query))
        asked = params.get("scope", "").split()
        if len(asked) > _MOST_SCOPES:
            return html_response(414, "<h1>414 Request-URI Too Large</h1>")
        if request.cookie(_SESSION) != self._session:  # nothing is looked at before the sign-in
            return redirect_response(f"/login?{urlencode({'continue': request.target})}")
        if params.get("client_id") != self.app.client_id or not self.app_is_shared:
            return self._refused("invalid_request", "failed to retrieve client")
        redirect_uri = params.get("redirect_uri", "")
        if redirect_uri != self.app.callback_url:
            text = f"{redirect_uri} is not in the list of allowed callback URLs"
            return self._refused("unauthorized_client", f"Callback URL mismatch. {text}")
        for name in _REQUIRED:
            if not params.get(name):
                return stop("invalid_request", f"{name} is required")
        if params["response_type"] != "code":
            return stop("unsupported_response_type", "response_type must be code")
        if params["audience"] != self.audience or params["prompt"] != "consent":
            return stop("invalid_request", "audience or prompt is not acceptable")
        scopes = self._supported(asked)
        if isinstance(scopes, Response):
            return scopes
        consent = Consent(
            self.app.client_id, self.subject, " ".join(scopes), redirect_uri=redirect_uri
        )
        refreshable = "offline_access" in scopes
        return Pending(consent, params.get("state"), refreshable, self._site_choices())

    def _supported(self, asked: list[str]) -> list[str] | Response:
        """The scopes that exist; or a page that does not lead back to the client.

        Source: OpenHands#12397, n8n#22479, #35732, sim#4388, Community 56311.
        """
        if {"openid", "profile", "email"} & set(asked):
            return stop("invalid_scope", "Something went wrong")
        existing = {*self.words, *self.app.scopes, "offline_access"}
        scopes = [scope for scope in asked if scope in existing]
        if not set(scopes) - {"offline_access"}:
            return stop("invalid_scope", "None of the requested scopes is supported.")
        if set(scopes) - {*self.app.scopes, "offline_access"}:
            text = "has requested scopes that have not been added to the app."
            return stop("invalid_scope", f"{self.app.name} {text}")
        return scopes

    def revocation(self, request: Request) -> Response:
        """As `Flavour.revocation`, unless `revocation_as` says otherwise."""
        if self.revocation_as != HTTPStatus.OK:
            status, payload = error(self.revocation_as, "invalid_request", "Not supported")
            return json_response(status, payload)
        return super().revocation(request)

    # -- id.atlassian.com --------------------------------------------------------------------------

    def _sign_in(self, request: Request) -> Response:
        """The person is signed in, and goes on to the authorization request."""
        target = request.first("continue")
        if not target.startswith("/authorize?"):
            return stop("invalid_request", "Nowhere to go on to.")
        headers = {"Set-Cookie": f"{_SESSION}={self._session}; Path=/; HttpOnly; SameSite=Lax"}
        return Response(302, b"", {"Location": target, **headers})

    def _refused(self, problem: str, description: str) -> Response:
        query = urlencode({"error": problem, "error_description": description})
        return redirect_response(f"/error?{query}")

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
        if reason == "code":
            return _BAD_CODE[self.bad_code_error]
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
        return frozenset({self.api_token, self.scoped_api_token, self.organization_key})

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


def _error(request: Request) -> Response:
    """The page of id.atlassian.com; its status is unconfirmed."""
    return stop(request.first("error"), request.first("error_description"))


def stop(problem: str, description: str) -> Response:
    """A page that does not lead back to the client."""
    return html_response(400, error_page("Something went wrong", problem, description))

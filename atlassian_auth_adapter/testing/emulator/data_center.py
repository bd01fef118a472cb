"""Data Center: its OAuth 2.0 provider, and how Jira, Confluence and Bitbucket treat credentials.

Source: confluence.atlassian.com/adminjiraserver101/jira-oauth-2-0-provider-api-1455427907.html and
the notes on the wire behaviour of 8.22 to 9.x, read 2026-11-22. Statuses of token errors:
unconfirmed.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from .bitbucket_server import BitbucketServer
from .confluence import Confluence
from .flavour import GRANT_TYPES, Flavour, Pending, Refusals, error
from .grants import Consent, Issued, RefusedError
from .hosts import Caller, Routes, on_request
from .http import Request, Response, html_response, json_response, redirect_response
from .jira import Jira
from .people import DATA_CENTER_SERVICE_USER, DATA_CENTER_USER, SESSION_USER, App
from .scopes import DATA_CENTER_SCOPES, DATA_CENTER_WORDS, implied

OAUTH = "/rest/oauth2/latest"
METADATA = "/.well-known/oauth-authorization-server"
_VERIFIER_LENGTHS = range(43, 129)  # RFC 7636 section 4.1
_ANONYMOUS = "anonymous"
# Paths that Jira does not have; on a real Data Center each product is a server of its own.
_CONFLUENCE_PATH = re.compile(
    r"/rest/api/(user/current|content|search|space|audit)(/.*)?|/download/attachments/.*"
)
_BITBUCKET_PATH = re.compile(
    r"/rest/api/(1\.0|latest)/(application-properties|users/.+|projects(/.*)?)"
    r"|/projects/.*|/plugins/servlet/applinks/whoami"
)
_FILES = ("/secure/attachment/", "/download/attachments/", "/projects/")


def _problem(status: int, message: str, **fields: str) -> Response:
    """The second error shape of the provider: everything but the token endpoint."""
    wrong = {name: [text] for name, text in fields.items()}
    return json_response(status, {"errors": [message] if message else [], "fieldErrors": wrong})


class DataCenter(Flavour):
    """The Data Center flavour; knobs are plain attributes, durations in seconds.

    Attributes:
        anonymous_access: Projects are readable without a login.
        pkce_required: The app was registered as one that uses PKCE.
        session_cookie_wins: A JSESSIONID of a living session beats the Authorization header.
        session_cookie: The JSESSIONID of a session of the user `grace`.
        login_page_as: 302: pages that want a login redirect to login.jsp, resources answer 401.
            200: both show the login page in place.
        rate_limit: None, or the Retry-After in seconds that every resource answers with 429.
        attachments_need_session: /secure/attachment sends bearers to the login page (Jira 8.14),
            and so do the files of Confluence and Bitbucket (unconfirmed).
        personal_access_tokens: Valid PATs; `personal_access_token` is the preset one.
    """

    name = "data_center"
    product = "Jira"
    words = DATA_CENTER_WORDS
    client_checked_first = False
    refusals: Refusals = MappingProxyType(
        {
            "missing": error(400, "invalid_request", "A required parameter is missing"),
            "grant_type": error(400, "unsupported_grant_type", "Unsupported grant type"),
            "client": error(401, "invalid_client", "Client not found"),
            "secret": error(401, "invalid_client", "Client secret is invalid"),
            "service_client": error(401, "invalid_client", "Client not found"),
            "client_grant_type": error(400, "unauthorized_client", "Grant type not allowed"),
            "scope": error(400, "invalid scope", "Invalid scope"),
            "code": error(400, "invalid_grant", "Invalid authorization code"),
            "redirect_uri": error(400, "invalid_grant", "Redirect URI does not match"),
            "verifier": error(400, "invalid_grant", "Code verifier does not match"),
            "refresh_token": error(400, "invalid_grant", "Invalid refresh token"),
        }
    )

    def __init__(self, now: Callable[[], float], context_path: str) -> None:
        app = App(
            "Emulator App",
            "data-center-client-id",
            secrets.token_hex(32),
            DATA_CENTER_SCOPES,
            "http://localhost:8080/callback",
        )
        account = App(
            "Reports",
            "data-center-service-account",
            secrets.token_hex(32),
            ("READ", "WRITE", "REPO_READ", "REPO_WRITE"),
        )
        super().__init__(
            app,
            account,
            now,
            reuse_revokes_family=False,
            lifetime_read_at_check=True,
            token_bytes=48,
        )
        self.context_path = context_path
        self.url = ""
        self.anonymous_access = True
        self.pkce_required = True
        self.session_cookie_wins = True
        self.session_cookie = secrets.token_hex(16).upper()
        self.personal_access_token = secrets.token_urlsafe(33)
        self.personal_access_tokens = {self.personal_access_token}
        self.attachments_need_session = False
        self.login_page_as = 302
        self.rate_limit: float | None = None
        self.jira = Jira(cloud=False)
        self.confluence = Confluence("", cloud=False)
        self.bitbucket = BitbucketServer()
        self._routes = Routes(lambda request: html_response(404, "<h1>Not found</h1>"))
        for methods, path, handler in (
            ("GET POST", f"{OAUTH}/authorize", self.authorization),
            ("POST", f"{OAUTH}/token", self.token),
            ("POST", f"{OAUTH}/revoke", self.revocation),
            ("GET", f"({OAUTH})?{METADATA}", self._metadata),
            ("GET", r"/login\.jsp", _login_page),
        ):
            self._routes.add(methods, path, on_request(handler))

    # -- the provider ------------------------------------------------------------------------------

    def _metadata(self, request: Request) -> Response:
        root = f"{self.url}{OAUTH}"
        return json_response(
            200,
            {
                "issuer": self.url,
                "authorization_endpoint": f"{root}/authorize",
                "token_endpoint": f"{root}/token",
                "revocation_endpoint": f"{root}/revoke",
                "scopes_supported": list(DATA_CENTER_SCOPES),
                "response_types_supported": ["code"],
                "grant_types_supported": list(GRANT_TYPES),
                "token_endpoint_auth_methods_supported": ["client_secret_post"],
                "code_challenge_methods_supported": ["plain", "S256"],
            },
        )

    def _check_authorization(self, request: Request) -> Pending | Response:
        params = dict(reversed(request.query))
        if not params.get("client_id"):
            return _problem(400, "", client_id="client_id is required")
        if params["client_id"] != self.app.client_id:
            return _problem(404, "Client not found")
        if params.get("redirect_uri") != self.app.callback_url:
            return _problem(400, "", redirect_uri="redirect_uri is not registered")
        if params.get("response_type") != "code":
            return _problem(400, "", response_type="response_type must be code")
        challenge = params.get("code_challenge", "")
        method = params.get("code_challenge_method", "plain")
        if self.pkce_required and not challenge:
            return _problem(400, "", code_challenge="code_challenge is required")
        if method not in ("plain", "S256"):
            return _problem(400, "", code_challenge_method="must be plain or S256")
        scope = params.get("scope", "")
        if not scope or set(scope.split()) - set(self.app.scopes):
            status, payload = self.refusals["scope"]
            return json_response(status, payload)
        consent = Consent(
            self.app.client_id,
            DATA_CENTER_USER,
            scope,
            redirect_uri=params["redirect_uri"],
            code_challenge=challenge,
            code_challenge_method=method,
        )
        return Pending(consent, params.get("state"), True)

    def _parameters(self, request: Request) -> dict[str, str]:
        form = request.media_type == "application/x-www-form-urlencoded"
        return {**dict(reversed(request.query)), **(request.form() if form else {})}

    def _verifier(self, params: dict[str, str]) -> str | None:
        verifier = params.get("code_verifier", "")
        if verifier and len(verifier) not in _VERIFIER_LENGTHS:
            raise RefusedError("verifier")
        return verifier

    def _check_renewal(self, params: dict[str, str]) -> None:
        if params.get("redirect_uri", self.app.callback_url) != self.app.callback_url:
            raise RefusedError("redirect_uri")

    def _service_scope(self, asked: str | None) -> str:
        if not asked or set(asked.split()) - set(self.service_account.scopes):
            raise RefusedError("scope")
        return asked

    def payload(self, issued: Issued) -> dict[str, Any]:
        """The body of a successful token answer."""
        answer: dict[str, Any] = {
            "access_token": issued.access_token,
            "token_type": "bearer",
            "expires_in": issued.expires_in,
            "scope": issued.consent.scope,
        }
        if issued.refresh_token:
            answer["refresh_token"] = issued.refresh_token
        return answer

    def _preset_secrets(self) -> frozenset[str]:
        return frozenset({*self.personal_access_tokens, self.session_cookie})

    def _subject(self) -> str:
        return DATA_CENTER_USER

    def _service_subject(self) -> str:
        return DATA_CENTER_SERVICE_USER

    def _default_scope(self) -> str:
        return "WRITE"

    # -- the product -------------------------------------------------------------------------------

    def kind(self, request: Request) -> str:
        """The kind of a request, for weather and log."""
        path = request.path.removeprefix(self.context_path)
        if path.endswith(METADATA):
            return "metadata"
        head, _, last = path.rpartition("/")
        return last if head == OAUTH else "resource"

    def answer(self, request: Request) -> Response:
        """What the server answers; `X-AUSERNAME` says on every response who it thinks asked."""
        root = self.context_path
        if root and request.path != root and not request.path.startswith(root + "/"):
            return html_response(404, "<!doctype html><title>404</title><h1>Not found</h1>")
        served = request.under(root)
        caller = self._caller(request)
        path = served.path
        if path.startswith(OAUTH) or path.endswith(METADATA) or path == "/login.jsp":
            response = self._routes.answer(served, caller)
        elif self.rate_limit is not None:
            response = _throttled(self.rate_limit)
        elif path.startswith(("/secure/", *_FILES)):
            response = self._page(served, caller)
        else:
            response = self._resource(served, caller)
            if self.login_page_as == 200 and caller.anonymous and response.status == 401:
                response = self._login(served)
        return replace(
            response, headers={**response.headers, "X-AUSERNAME": caller.name or _ANONYMOUS}
        )

    def open_at(self, url: str) -> None:
        """The server is reached at this base URL from now on."""
        self.url = self.confluence.base = url

    def close(self) -> None:
        """Uploaded files are gone."""
        for product in (self.jira, self.confluence, self.bitbucket):
            product.attachments.close()

    def _page(self, request: Request, caller: Caller) -> Response:
        """Pages of the product know sessions, not OAuth bearers; files are an exception."""
        by_session = caller.name == SESSION_USER
        is_file = request.path.startswith(_FILES)
        if not by_session and (not is_file or self.attachments_need_session):
            return self._login(request)
        if not is_file:
            return html_response(200, "<!doctype html><title>Dashboard - Jira</title>")
        response = self._resource(request, caller)
        return self._login(request) if caller.anonymous and response.status != 200 else response

    def _login(self, request: Request) -> Response:
        if self.login_page_as == 200:
            return _login_page(request)
        destination = quote(request.path, safe="")
        return redirect_response(f"{self.url}/login.jsp?os_destination={destination}")

    def _resource(self, request: Request, caller: Caller) -> Response:
        path = request.path
        bitbucket = _BITBUCKET_PATH.fullmatch(path) is not None
        if caller.scopes is not None and _wanted(request, bitbucket) not in caller.scopes:
            return json_response(403, {"message": "The scope of the token does not allow this"})
        if caller.anonymous and not self.anonymous_access and not path.endswith("/serverInfo"):
            return json_response(401, {"message": "Client must be authenticated"})
        if bitbucket:
            return self.bitbucket.answer(request, caller)
        if _CONFLUENCE_PATH.fullmatch(path):
            return self.confluence.answer(request, caller)
        return self.jira.answer(request, caller)

    def _caller(self, request: Request) -> Caller:
        session = request.cookie("JSESSIONID") == self.session_cookie
        value = request.headers.get("authorization", "")
        scheme, _, token = value.partition(" ")
        if session and (self.session_cookie_wins or not value):
            return Caller(SESSION_USER, self.url)
        if scheme == "Bearer":  # exactly: the filter compares case-sensitively
            if token in self.personal_access_tokens:
                return Caller(DATA_CENTER_USER, self.url)
            record, state = self.bearer(token)
            if record is not None and state == "live":
                scopes = frozenset().union(*map(implied, record.consent.scopes))
                return Caller(record.consent.subject, self.url, scopes)
        return Caller(base=self.url)


def _wanted(request: Request, bitbucket: bool) -> str:
    reading = request.method in ("GET", "HEAD", "OPTIONS")
    if bitbucket:
        return "PUBLIC_REPOS" if reading else "REPO_WRITE"
    if "/audit" in request.path:
        return "ADMIN"
    return "READ" if reading else "WRITE"


def _throttled(wait: float) -> Response:
    # Source: confluence.atlassian.com/adminjiraserver/adjusting-your-code-for-rate-limiting-
    # 987143384.html, read 2026-11-22; the body is unconfirmed.
    headers = {
        "Retry-After": f"{wait:g}",
        "X-RateLimit-Limit": "100",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-FillRate": "100",
        "X-RateLimit-Interval-Seconds": f"{wait:g}",
    }
    return json_response(429, {"message": "Rate limit exceeded."}, headers)


def _login_page(request: Request) -> Response:
    return html_response(200, "<!doctype html><title>Log in - Jira</title><h1>Log in</h1>")

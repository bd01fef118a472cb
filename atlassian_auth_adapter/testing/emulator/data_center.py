"""Data Center: its OAuth 2.0 provider, and how Jira, Confluence and Bitbucket treat credentials.

Source: confluence.atlassian.com/adminjiraserver101/jira-oauth-2-0-provider-api-1455427907.html and
the notes on the wire behaviour of 8.22 to 9.x, read 2026-11-22. Statuses of token errors:
unconfirmed.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import ClassVar
from urllib.parse import quote

from .accounts import DATA_CENTER_SERVICE_USER, DATA_CENTER_USER, SESSION_USER, App
from .flavour import GRANT_TYPES, Flavour, Pending, Refusals, error, same
from .grants import Consent, RefusedError
from .hosts import Call, Caller, Routes, on_request
from .http import Request, Response, html_response, json_response, redirect_response
from .products import SERVER_PRODUCTS, Resources, ServerProduct
from .scopes import DATA_CENTER_SCOPES, DATA_CENTER_WORDS, implied, permitted

OAUTH = "/rest/oauth2/latest"
_PATS = "/rest/pat/latest"
_SESSION = "/rest/auth/1/session"
METADATA = "/.well-known/oauth-authorization-server"
_VERIFIER_LENGTHS = range(43, 128)  # as Atlassian documents it; RFC 7636 allows 128 as well
_ANONYMOUS = "anonymous"
_FORM = "application/x-www-form-urlencoded"
# Jersey's text. Source: OpenHands#14250, 2026-05-01.
_FORM_PARAM = (
    "The @FormParam is utilized when the content type of the request entity is not " + _FORM
)
_FILES = tuple(product.files for product in SERVER_PRODUCTS)


def _problem(status: int, message: str, **fields: str) -> Response:
    """The second error shape of the provider: everything but the token endpoint."""
    wrong = {name: [text] for name, text in fields.items()}
    return json_response(status, {"errors": [message] if message else [], "fieldErrors": wrong})


class DataCenter(Flavour):
    """The Data Center flavour; settings are plain attributes, durations in seconds.

    Attributes:
        anonymous_access: Projects are readable without a login.
        pkce_required: The app was registered as one that uses PKCE.
        session_cookie_wins: The JSESSIONID of a valid session goes before the Authorization header.
        session_cookie: The JSESSIONID of a session of the user `grace`.
        login_page_as: 302: pages that want a login redirect to login.jsp, resources answer 401.
            200: both show the login page in place.
        rate_limit: None, or the Retry-After in seconds that every resource answers with 429.
        attachments_need_session: /secure/attachment sends bearers to the login page (Jira 8.14),
            and so do the files of Confluence (unconfirmed). Those of Bitbucket always do.
        jira_11: Basic is off, and /rest/auth/1/session is refused (both answers: unconfirmed).
        password: Of the user `ada`, for Basic.
        personal_access_tokens: Names of people by their valid PATs; `personal_access_token` is the
            preset one.
    """

    name = "data_center"
    inner: ClassVar[frozenset[str]] = Flavour.inner | {"answer", "close", "kind", "open_at"}
    choices: ClassVar[Mapping[str, tuple[object, ...]]] = MappingProxyType(
        {"login_page_as": (200, 302)}
    )
    product = "Jira"
    words: Mapping[str, str] = DATA_CENTER_WORDS
    subject = DATA_CENTER_USER
    service_subject = DATA_CENTER_SERVICE_USER
    client_checked_first = False
    refusals: ClassVar[Refusals] = MappingProxyType(
        {
            "missing": error(400, "invalid_request", "A required parameter is missing"),
            "grant_type": error(400, "unsupported_grant_type", "Unsupported grant type"),
            "client": error(401, "invalid_client", "Client not found"),
            "secret": error(401, "invalid_client", "Client secret is invalid"),
            "service_client": error(401, "invalid_client", "Client not found"),
            "client_grant_type": error(400, "unauthorized_client", "Grant type not allowed"),
            "scope": error(400, "invalid scope", "Invalid scope"),
            "form": (500, {"message": _FORM_PARAM, "status-code": 500}),  # its shape: unconfirmed
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
        self.url: str = ""
        self.anonymous_access = True
        self.pkce_required = True
        self.session_cookie_wins = True
        self.session_cookie: str = secrets.token_hex(16).upper()
        self.personal_access_token: str = secrets.token_urlsafe(33)
        self.personal_access_tokens: dict[str, str] = {self.personal_access_token: DATA_CENTER_USER}
        self.attachments_need_session = False
        self.login_page_as = 302
        self.rate_limit: float | None = None
        self.jira_11 = False
        self.password: str = secrets.token_urlsafe(12)
        self._resources: list[tuple[ServerProduct, Resources]] = []
        self._routes = Routes(
            lambda _: html_response(404, "<h1>Not found</h1>"),
            ("GET POST", f"{OAUTH}/authorize", on_request(self.authorization)),
            ("POST", f"{OAUTH}/token", on_request(self.token)),
            ("POST", f"{OAUTH}/revoke", on_request(self.revocation)),
            ("GET", f"({OAUTH})?{METADATA}", on_request(self._metadata)),
            ("GET", r"/login\.jsp", on_request(_login_page)),
            ("POST", f"{_PATS}/tokens", self._new_personal_access_token),
        )

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

    def _variables(self) -> dict[str, str]:
        return {"ATLASSIAN_SERVER_URL": self.url}

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
            status, payload = error(400, "invalid_scope", "Invalid scope")
            return json_response(status, payload)
        consent = Consent(
            self.app.client_id,
            self.subject,
            scope,
            redirect_uri=params["redirect_uri"],
            code_challenge=challenge,
            code_challenge_method=method,
        )
        return Pending(consent, params.get("state"), True)

    def _parameters(self, request: Request) -> dict[str, str]:
        if request.media_type not in ("", _FORM):
            raise RefusedError("form")
        return {**dict(reversed(request.query)), **request.form()}

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

    def _preset_secrets(self) -> frozenset[str]:
        return frozenset({*self.personal_access_tokens, self.session_cookie, self.password})

    def _default_scope(self) -> str:
        return "WRITE"

    # -- the products ------------------------------------------------------------------------------

    def kind(self, request: Request) -> str:
        """The kind of a request, for faults and the log."""
        path = request.path.removeprefix(self.context_path)
        if path.endswith(METADATA):
            return "metadata"
        head, _, last = path.rpartition("/")
        return last if head == OAUTH else "resource"

    def answer(self, request: Request) -> Response:
        """What the server answers; `X-AUSERNAME` names the caller on every response."""
        root = self.context_path
        if root and request.path != root and not request.path.startswith(root + "/"):
            return html_response(404, "<!doctype html><title>404</title><h1>Not found</h1>")
        served = request.under(root)
        caller = self._caller(request)
        path = served.path
        if path.startswith((OAUTH, _PATS)) or path.endswith(METADATA) or path == "/login.jsp":
            response = self._routes.answer(served, caller)
        elif self.jira_11 and (path == _SESSION or served.credentials("basic")):
            response = json_response(403, {"message": "Basic authentication is disabled"})
        elif self.rate_limit is not None:
            response = _throttled(self.rate_limit)
        elif refused := self._without_token(served, caller):
            caller, response = Caller(base=self.url), refused
        elif path.startswith(("/secure/", *_FILES)):
            response = self._page(served, caller)
        else:
            response = self._resource(served, caller)
            if self.login_page_as == 200 and caller.anonymous and response.status == 401:
                response = self._login(served)
        return replace(
            response, headers={**response.headers, "X-AUSERNAME": caller.name or _ANONYMOUS}
        )

    def _new_personal_access_token(self, call: Call) -> Response:
        # Source: confluence.atlassian.com/enterprise/using-personal-access-tokens-1026032365.html,
        # read 2026-11-26; whether an OAuth bearer may ask is unconfirmed.
        if call.caller.anonymous:
            return json_response(401, {"message": "Client must be authenticated"})
        token = secrets.token_urlsafe(33)
        self.personal_access_tokens[token] = call.caller.name
        name = (call.request.json() or {}).get("name", "")
        return json_response(201, {"id": 1, "name": name, "rawToken": token})

    def open_at(self, url: str) -> None:
        """The server is reached at this base URL from now on."""
        self.url = url
        self._resources = [(product, product.make(url)) for product in SERVER_PRODUCTS]

    def close(self) -> None:
        """Uploaded files are removed."""
        for _, resources in self._resources:
            resources.attachments.close()

    def _page(self, request: Request, caller: Caller) -> Response:
        """Pages need a session, and ignore OAuth bearers; files are an exception."""
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

    def _without_token(self, request: Request, caller: Caller) -> Response | None:
        """Bitbucket sends a token to its login page, except at /rest and /scm; as a password, 401.

        Source: support.atlassian.com/bitbucket-data-center/kb/access-tokens-no-longer-work-as-
        expected-after-upgrading-bitbucket-data-center (8.9.22, 8.19.12, 9.3.2 and later).
        """
        product, _ = self._product(request.path)
        if caller.name == SESSION_USER or product.token_paths.match(request.path):
            return None
        if _basic_password(request) not in ("", self.password):
            return json_response(401, {"message": "Client must be authenticated"})
        return self._login(request) if request.credentials("bearer") else None

    def _product(self, path: str) -> tuple[ServerProduct, Resources]:
        return next(each for each in self._resources if each[0].paths.fullmatch(path))

    def _resource(self, request: Request, caller: Caller) -> Response:
        path, scopes = request.path, caller.scopes
        product, resources = self._product(path)
        if scopes is not None and not permitted(product.needs, request.method, path, scopes):
            return json_response(403, {"message": "The scope of the token does not allow this"})
        if caller.anonymous and not self.anonymous_access and not path.endswith("/serverInfo"):
            return json_response(401, {"message": "Client must be authenticated"})
        return resources.answer(request, caller)

    def _caller(self, request: Request) -> Caller:
        session = request.cookie("JSESSIONID") == self.session_cookie
        value = request.headers.get("authorization", "")
        scheme, _, token = value.partition(" ")
        if session and (self.session_cookie_wins or not value):
            return Caller(SESSION_USER, self.url)
        pair = base64.b64encode(f"{DATA_CENTER_USER}:{self.password}".encode()).decode()
        if same(request.credentials("basic"), pair):
            return Caller(DATA_CENTER_USER, self.url)
        if password := _basic_password(request):  # property token.via.basic.authentication
            scheme, token = "Bearer", password
        if scheme == "Bearer":  # exactly: the filter compares case-sensitively
            if person := self.personal_access_tokens.get(token):
                return Caller(person, self.url)
            record, state = self.bearer(token)
            if record is not None and state == "live":
                scopes = frozenset().union(*map(implied, record.consent.scopes))
                return Caller(record.consent.subject, self.url, scopes)
        return Caller(base=self.url)


def _basic_password(request: Request) -> str:
    try:
        pair = base64.b64decode(request.credentials("basic"), validate=True).decode()
    except ValueError:
        return ""
    return pair.partition(":")[2]


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

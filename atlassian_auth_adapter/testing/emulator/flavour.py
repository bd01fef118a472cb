"""What the flavours have in common: consent, token endpoint, controls for tests.

A flavour differs in data (class attributes, settings) and in three methods: how it checks an
authorization request, how it reads token parameters, what its token answer looks like.
"""

from __future__ import annotations

import hmac
import secrets
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar
from urllib.parse import quote, urlencode

from . import browser
from .accounts import App
from .consent import consent_page, error_page
from .grants import AccessToken, Consent, Grants, Issued, RefusedError, Rules
from .http import Request, Response, html_response, json_response, redirect_response
from .log import TokenRequest
from .settings import Strict

Refusals = Mapping[str, tuple[int, Mapping[str, Any]]]
GRANT_TYPES = ("authorization_code", "refresh_token", "client_credentials")
_COOKIE = "emulator.consent"  # binds the consent form to the browser that got it


@dataclass(frozen=True, slots=True)
class Pending:
    """A valid authorization request that waits for the person's decision."""

    consent: Consent
    state: str | None
    refreshable: bool
    choices: tuple[tuple[str, str], ...] = ()  # (site id, what the person reads)
    browser: str = ""


class Flavour(Strict, Rules):
    """An authorization server with one app and one service account. Threads may share it.

    Attributes:
        app: The registered OAuth client; its fields may be changed.
        service_account: The client of the client credentials grant; may be the app itself.
        now: Tells the time, a POSIX timestamp.
        browser_ssl_context: What `authorize` and `deny` use for https, where the emulator asks for
            client certificates; None: no certificate, and none is checked.
    """

    name: str
    product: str  # as the consent page calls it
    words: Mapping[str, str]  # what each scope says in plain words
    refusals: ClassVar[Refusals]
    subject: str  # the account that logs in
    service_subject: ClassVar[str]  # the account of the client credentials grant
    client_checked_first: ClassVar[bool] = True
    inner: ClassVar[frozenset[str]] = frozenset(
        {"authorization", "bearer", "client_checked_first", "grants", "name", "note", "now"}
        | {"payload", "product", "revocation", "service_subject", "subject", "token", "words"}
    )

    def __init__(
        self, app: App, service_account: App, now: Callable[[], float], **rules: Any
    ) -> None:
        super().__init__(**rules)
        self.app = app
        self.service_account = service_account
        self.grants: Grants = Grants(self)
        self.now = now
        self.browser_ssl_context: ssl.SSLContext | None = None
        self._pending: dict[str, Pending] = {}
        self._lock = threading.Lock()

    def complete(self, clock: object = None) -> None:
        """No other settings from now on. `clock` is that of the emulator, None: the machine's."""
        self._clock = clock
        super().complete()

    # -- for tests ---------------------------------------------------------------------------------

    def authorize(self, url: str) -> str:
        """Play a person who opens the URL in a browser and agrees: the redirect URL with the code.

        Blocks on two requests to the emulator. Nothing follows the redirect.

        Raises:
            atlassian_auth_adapter.testing.emulator.NotRedirectedError: The server showed an error
                page in place of a consent page.
        """
        return browser.decide(url, "accept", self._chosen_sites(), self.browser_ssl_context)

    def deny(self, url: str) -> str:
        """Play a person who denies access: the redirect URL with the error."""
        return browser.decide(url, "deny", self._chosen_sites(), self.browser_ssl_context)

    def environ(self, app: App | None = None) -> dict[str, str]:
        """Variables that tell a program of this place: `os.environ |= emulator.cloud.environ()`.

        They are those of `atlassian_oauth_client_from_env()`. `app` None: the registered app;
        `service_account` is for `atlassian_service_account_client_from_env()`.
        """
        app = app or self.app
        return {
            "ATLASSIAN_CLIENT_ID": app.client_id,
            "ATLASSIAN_CLIENT_SECRET": app.client_secret,
            "ATLASSIAN_CALLBACK_URL": app.callback_url,
            **self._variables(),
        }

    def issue(self, scope: str | None = None) -> dict[str, Any]:
        """A token answer as if a person had just logged in; `scope` None: every scope."""
        wanted = self._default_scope() if scope is None else scope
        consent = Consent(self.app.client_id, self.subject, wanted, self._chosen_sites())
        issued = self.grants.grant(consent, self.now(), refreshable=self._refreshable(wanted))
        return self.payload(issued)

    def expire_access_tokens(self) -> None:
        """Every access token issued so far has expired, before its time."""
        self.grants.end_access_tokens("expired")

    def revoke_access_tokens(self) -> None:
        """Every access token issued so far is revoked; refresh tokens stay valid."""
        self.grants.end_access_tokens("revoked")

    def revoke_grants(self) -> None:
        """The person removed the app: every token issued so far is invalid."""
        self.grants.revoke_families("revoked by the resource owner")

    @property
    def secrets(self) -> frozenset[str]:
        """Every code and token issued so far, and every preset secret."""
        clients = {self.app.client_secret, self.service_account.client_secret}
        # a public client has no secret
        return self.grants.secrets | self._preset_secrets() | (clients - {""})

    # -- what the flavours decide ------------------------------------------------------------------

    def _variables(self) -> dict[str, str]:
        raise NotImplementedError

    def _default_scope(self) -> str:
        raise NotImplementedError

    def _preset_secrets(self) -> frozenset[str]:
        return frozenset()

    def _chosen_sites(self) -> tuple[str, ...]:
        return ()

    def _refreshable(self, scope: str) -> bool:
        return True

    def _check_authorization(self, request: Request) -> Pending | Response:
        raise NotImplementedError

    def _parameters(self, request: Request) -> dict[str, str]:
        raise NotImplementedError

    def _service_scope(self, asked: str | None) -> str:
        raise NotImplementedError

    def payload(self, issued: Issued) -> dict[str, Any]:
        """The body of a successful token answer. Source: RFC 6749 section 5.1."""
        answer: dict[str, Any] = {
            "access_token": issued.access_token,
            "token_type": "bearer",
            "expires_in": issued.expires_in,
            "scope": issued.consent.scope,
        }
        if issued.refresh_token:
            answer["refresh_token"] = issued.refresh_token
        return answer

    # -- authorization endpoint --------------------------------------------------------------------

    def authorization(self, request: Request) -> Response:
        """GET: the consent page or an error. POST: the decision."""
        if request.method == "POST":
            return self._decision(request)
        checked = self._check_authorization(request)
        if isinstance(checked, Response):
            return checked
        known = request.cookie(_COOKIE)
        bound = known or secrets.token_urlsafe(24)
        ticket = secrets.token_urlsafe(24)
        with self._lock:
            self._pending[ticket] = replace(checked, browser=bound)
        asked = [(scope, self.words.get(scope, scope)) for scope in checked.consent.scope.split()]
        page = consent_page(
            self.app.name,
            self.product,
            asked,
            checked.choices,
            action=request.target,
            ticket=ticket,
            returns_to=checked.consent.redirect_uri,
        )
        headers = {
            "Cache-Control": "no-store",
            "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
            "frame-ancestors 'none'",
        }
        if not known:
            headers["Set-Cookie"] = f"{_COOKIE}={bound}; Path=/; HttpOnly; SameSite=Lax"
        return html_response(200, page, headers)

    def _decision(self, request: Request) -> Response:
        form = request.form()
        with self._lock:
            pending = self._pending.pop(form.get("ticket", ""), None)
        if pending is None or not hmac.compare_digest(request.cookie(_COOKIE), pending.browser):
            page = error_page("This form is not valid", "invalid_request", "Start the login again.")
            return html_response(400, page)
        consent = pending.consent
        if form.get("decision") != "accept":
            answer = {
                "error": "access_denied",
                "error_description": "User did not authorize the request",
            }
            return redirect_back(consent.redirect_uri, answer, pending.state)
        if pending.choices:
            offered = {site for site, _ in pending.choices}
            chosen = [site for key, site in request.fields() if key == "site" and site in offered]
            consent = replace(consent, sites=tuple(chosen))
        code = self.grants.code(consent, self.now(), refreshable=pending.refreshable)
        return redirect_back(consent.redirect_uri, {"code": code}, pending.state)

    # -- token endpoint ----------------------------------------------------------------------------

    def token(self, request: Request) -> Response:
        """Tokens for a code, a refresh token or the credentials of the service account."""
        try:
            issued = self._issue(self._parameters(request))
        except RefusedError as refused:
            status, payload = self._refusal(refused.reason)
            return json_response(status, payload, outcome=refused.outcome)
        headers = {"Cache-Control": "no-store", "Pragma": "no-cache"}
        return json_response(200, self.payload(issued), headers, outcome=issued.outcome)

    def _refusal(self, reason: str) -> tuple[int, Mapping[str, Any]]:
        return self.refusals[reason]

    def _issue(self, params: dict[str, str]) -> Issued:
        grant_type = params.get("grant_type", "")
        now = self.now()
        if not grant_type:
            raise RefusedError("missing")
        if grant_type not in GRANT_TYPES:
            raise RefusedError("grant_type")
        if grant_type == "client_credentials":
            return self._issue_to_service_account(params, now)
        if grant_type == "refresh_token":
            return self._renew(params, now)
        self._check_client(params)
        code, redirect_uri = params.get("code", ""), params.get("redirect_uri", "")
        if not code:
            raise RefusedError("missing")
        verifier = self._verifier(params)
        return self.grants.redeem(code, params["client_id"], redirect_uri, verifier, now)

    def _verifier(self, params: dict[str, str]) -> str | None:
        return None

    def _renew(self, params: dict[str, str], now: float) -> Issued:
        token = params.get("refresh_token", "")
        if self.client_checked_first:
            self._check_client(params)
        if not token:
            raise RefusedError("missing")
        if not self.client_checked_first:
            if self.grants.refresh_token(token) is None:
                raise RefusedError("refresh_token")
            self._check_client(params)
        self._check_renewal(params)
        return self.grants.refresh(token, params["client_id"], now)

    def _check_renewal(self, params: dict[str, str]) -> None:
        """Further conditions on a refresh."""

    def _issue_to_service_account(self, params: dict[str, str], now: float) -> Issued:
        account = self.service_account
        if params.get("client_id") != account.client_id:
            is_app = params.get("client_id") == self.app.client_id
            raise RefusedError("client_grant_type" if is_app else "service_client")
        if not same(params.get("client_secret", ""), account.client_secret):
            raise RefusedError("secret")
        scope = self._service_scope(params.get("scope"))
        sites = tuple(site for site, _ in self._site_choices())
        consent = Consent(account.client_id, self.service_subject, scope, sites)
        return self.grants.grant(consent, now, refreshable=False)

    def _site_choices(self) -> tuple[tuple[str, str], ...]:
        return ()

    def _check_any_client(self, params: dict[str, str]) -> None:
        if params.get("client_id") != self.service_account.client_id:
            self._check_client(params)
        elif not same(params.get("client_secret", ""), self.service_account.client_secret):
            raise RefusedError("secret")

    def _check_client(self, params: dict[str, str]) -> None:
        if params.get("client_id") != self.app.client_id:
            raise RefusedError("client")
        if not same(params.get("client_secret", ""), self.app.client_secret):
            raise RefusedError("secret")

    def revocation(self, request: Request) -> Response:
        """The token in the body is invalid; 200 also for an unknown one. Source: RFC 7009."""
        try:
            params = self._parameters(request)
            self._check_any_client(params)
        except RefusedError as refused:
            status, payload = self._refusal(refused.reason)
            return json_response(status, payload)
        self.grants.revoke(params.get("token", ""))
        return Response(200, b"", {"Cache-Control": "no-store"})

    def note(self, request: Request) -> TokenRequest:
        """What the log says about a token request, before it is answered; changes nothing."""
        try:
            params = self._parameters(request)
        except RefusedError:
            params = {}
        record = self.grants.refresh_token(params.get("refresh_token", ""))
        return TokenRequest(
            self.name,
            params.get("grant_type", ""),
            params.get("client_id", ""),
            record.family.id if record else "",
            record.generation if record else 0,
        )

    def bearer(self, token: str) -> tuple[AccessToken | None, str]:
        """The record of an access token, and whether it is live, expired, revoked or unknown."""
        return self.grants.access_token(token, self.now())


def error(status: int, code: str, description: str) -> tuple[int, dict[str, str]]:
    """An error answer of a token endpoint. Source: RFC 6749 section 5.2."""
    return status, {"error": code, "error_description": description}


def same(given: str, expected: str) -> bool:
    """Whether two secrets are equal, in constant time."""
    return hmac.compare_digest(given.encode(), expected.encode())


def redirect_back(uri: str, answer: Mapping[str, str], state: str | None) -> Response:
    """A redirect to the client with the answer in the query."""
    fields = dict(answer) if state is None else {**answer, "state": state}
    glue = "&" if "?" in uri else "?"
    return redirect_response(f"{uri}{glue}{urlencode(fields, quote_via=quote)}")

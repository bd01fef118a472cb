"""A product with an API host of its own behind Cloud's authorization server, such as Trello.

Source: developer.atlassian.com/cloud/trello/guides/rest-api/oauth-2-getting-started (2026-09-14):
PKCE is required, an app is public or confidential, refresh tokens rotate, there are no sites.
Statuses and texts marked "unconfirmed" are our guess.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import ClassVar

from .cloud import Cloud, stop
from .flavour import Pending, Refusals, error
from .grants import RefusedError
from .hosts import Caller, Routes
from .http import Request, Response, json_response
from .products import OwnHostProduct
from .scopes import permitted

_TEXT = {"Content-Type": "text/plain; charset=utf-8"}


class OwnHost(Cloud):
    """Such a product; its settings are those of `Cloud`, whose sites it does not have.

    With `app.client_secret` "" the app is a public client, and no secret may be sent.
    """

    inner: ClassVar[frozenset[str]] = Cloud.inner | {"api", "auth_routes"}
    refusals: ClassVar[Refusals] = MappingProxyType(
        {
            **Cloud.refusals,
            "verifier": error(403, "invalid_grant", "Invalid code verifier"),  # unconfirmed
        }
    )

    def __init__(self, now: Callable[[], float], record: OwnHostProduct) -> None:
        self.name: str = record.name
        self.product: str = record.title
        self.words: Mapping[str, str] = record.words
        super().__init__(now, tuple(scope for scope in record.words if scope != "offline_access"))
        self._record = record
        self.auth_routes: Routes = Routes(
            lambda _: json_response(404, {"code": 404, "message": "Not Found"}), *self.rows
        )

    def _variables(self) -> dict[str, str]:
        return {"ATLASSIAN_PRODUCT": self.name, **super()._variables()}

    def _check_authorization(self, request: Request) -> Pending | Response:
        checked = super()._check_authorization(request)
        if isinstance(checked, Response):
            return checked
        challenge, method = request.first("code_challenge"), request.first("code_challenge_method")
        if not challenge or method != "S256":  # unconfirmed: whether `plain` is taken
            return stop("invalid_request", "code_challenge is required")
        consent = replace(checked.consent, code_challenge=challenge, code_challenge_method=method)
        return replace(checked, consent=consent)

    def _verifier(self, params: dict[str, str]) -> str:
        return params.get("code_verifier", "")

    def _service_scope(self, asked: str | None) -> str:
        raise RefusedError("client_grant_type")  # there are no client credentials

    def api(self, request: Request) -> Response:
        """The answer of the API host, to bearers. The texts of refusals are unconfirmed."""
        record, state = self.bearer(request.credentials("bearer"))
        if record is None or state != "live":
            return Response(401, b"invalid token", _TEXT)
        scopes = record.consent.scopes
        if not permitted(self._record.needs, request.method, request.path, scopes):
            return Response(401, b"unauthorized permission requested", _TEXT)
        caller = Caller(record.consent.subject, self.api_url, scopes)
        return self._record.routes.answer(request, caller)

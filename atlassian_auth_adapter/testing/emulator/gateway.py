"""Atlassian Cloud's resource servers: the gateway api.atlassian.com, the sites, the media host.

Source: the live reports on gateway answers collected in our notes, read 2026-11-22; for the APIs
beside /ex/ those of 2026-11-26, and simstudioai/sim#4099.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from .accounts import ACCOUNT_ID, ACCOUNT_NAME, Site, cloud_id
from .cloud import Cloud
from .flavour import same
from .grants import AccessToken
from .hosts import Call, Caller, Routes, on_request
from .http import Answer, Request, Response, html_response, json_response
from .products import CLOUD_PRODUCTS, CloudProduct, Resources
from .scopes import permitted

_DOTS_OF_A_JWT = 2
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_ECHO = re.compile(r"(/wiki)?/rest/(echo|redirect)")  # they tell that no credentials arrived
_NOT_FOUND = {"code": 404, "message": "Not Found"}
_UNAUTHORIZED = {"code": 401, "message": "Unauthorized"}
_SCOPE_MISMATCH = {"code": 401, "message": "Unauthorized; scope does not match"}
_REJECTIONS: Mapping[int, Mapping[str, Any]] = MappingProxyType(
    {401: _UNAUTHORIZED, 403: {"code": 403, "message": "Forbidden"}, 404: _NOT_FOUND}
)
_PRODUCTS = MappingProxyType({product.name: product for product in CLOUD_PRODUCTS})
_KINDS = MappingProxyType(
    {
        "/authorize": "authorize",
        "/oauth/token": "token",
        "/oauth/revoke": "revoke",
        "/oauth/token/accessible-resources": "accessible-resources",
        "/me": "me",
        "/login": "login",
        "/error": "login",
        "/_edge/tenant_info": "tenant_info",
    }
)


def cloud_kind(request: Request) -> str:
    """The kind of a request on a Cloud host, for faults and the log."""
    return _KINDS.get(request.path, "resource")


class Gateway:
    """The Cloud's resource hosts: which token opens what. Threads may share it."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._resources: dict[tuple[str, str], Resources] = {}  # by product and site id
        sites = ("GET", r"/oauth/token/accessible-resources", self._accessible_resources)
        # On the auth host as well: there Government Cloud's clients ask for their sites.
        self.auth_routes: Routes = Routes(_missing, *cloud.rows, sites)
        self.routes: Routes = Routes(
            _missing,
            ("POST", r"/oauth/token", on_request(cloud.token)),
            sites,
            ("GET", r"/me", self._me),
            ("*", rf"/ex/({'|'.join(_PRODUCTS)})/([^/]+)(/.*)?", self._resource),
            ("*", r"/jsm/ops/api/([^/]+)(/.*)?", self._ops),
            ("*", r"/jira/forms/cloud/([^/]+)(/.*)?", self._forms),
            ("*", r"/jsm/assets/workspace/.*", self._assets),
            ("POST", r"/graphql", self._graphql),
            ("GET", r"/admin/v1/orgs|/users/[^/]+/manage(/.*)?", self._administration),
        )

    def add_site(self, name: str, url: str) -> None:
        """The Cloud has one more site, with all products."""
        cloud = self._cloud
        site = Site(cloud_id(name), url, name)
        for product in CLOUD_PRODUCTS:
            made = product.make(url, lambda: cloud.media_url)
            self._resources[product.name, site.id] = made
        cloud.sites += (site,)

    def close(self) -> None:
        """Uploaded files are removed."""
        for resources in self._resources.values():
            resources.attachments.close()

    # -- api.atlassian.com -------------------------------------------------------------------------

    def _bearer(self, request: Request) -> tuple[AccessToken | None, str]:
        token = request.credentials("bearer")
        return self._cloud.bearer(token) if token else (None, "unknown")

    def _rejection(self, state: str) -> Response:
        status = self._cloud.expired_as if state == "expired" else 401
        headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'} if status == 401 else {}
        return json_response(status, _REJECTIONS[status], headers)

    def _accessible_resources(self, call: Call) -> Response:
        token, state = self._bearer(call.request)
        if token is None or state != "live":
            return self._rejection(state)
        entries = []
        for site in self._cloud.sites:
            if site.id not in token.consent.sites:
                continue
            for product in _PRODUCTS:
                scopes = sorted(s for s in token.consent.scopes if product in s)
                if scopes:
                    entry = {
                        "id": site.id,
                        "url": site.url,
                        "name": site.name,
                        "scopes": scopes,
                        "avatarUrl": f"{self._cloud.media_url}/avatars/{product}.png",
                    }
                    for field in self._cloud.entries_without:
                        entry.pop(field, None)
                    entries.append(entry)
        return json_response(200, entries)

    def _me(self, call: Call) -> Response:
        token, state = self._bearer(call.request)
        if token is None or state != "live":
            return self._rejection(state)
        if "read:me" not in token.consent.scopes:
            status = self._cloud.me_refused_as
            return json_response(status, {"code": status, "message": "Forbidden"})
        return json_response(
            200,
            {
                "account_type": "atlassian",
                "account_id": token.consent.subject,
                "email": self._cloud.email,
                "name": ACCOUNT_NAME,
                "picture": f"{self._cloud.media_url}/avatars/ada.png",
                "account_status": "active",
                "nickname": "Ada",
                "zoneinfo": "Europe/Berlin",
                "locale": "en-US",
                "extended_profile": {
                    "job_title": "Engineer",
                    "organization": "Example",
                    "department": "Research",
                    "location": "Berlin",
                },
            },
        )

    def _resource(self, call: Call) -> Response:
        name, site = call.match[1], call.match[2]
        served, context = call.request.under(f"/ex/{name}/{site}"), _PRODUCTS[name].context
        if served.path.startswith(f"{context}/"):
            served = served.under(context)
        return self._of_product(name, site, served)

    def _of_product(self, name: str, site: str, request: Request) -> Response:
        """The answer to a request whose path is that below the product's root."""
        product, resources = _PRODUCTS[name], self._resources.get((name, site))
        base = f"{self._cloud.api_url}/ex/{name}/{site}"
        if resources is not None and self._scoped_api_token(request):
            if self._throttles(name, request.method, api_token=True):
                return self._throttled(name)
            return resources.answer(request, Caller(ACCOUNT_ID, base))
        token, state = self._bearer(request)
        if state != "live" or token is None:
            if self._cloud.anonymous_readable and resources and "authorization" in request.headers:
                return _marked(resources.answer(request, Caller(base=base)))
            return self._rejection(state)
        if self._throttles(name, request.method):
            return self._throttled(name)
        if resources is None or site not in token.consent.sites:
            return json_response(404, _NOT_FOUND)
        if name in self._cloud.products_denied:  # Source: kovetskiy/mark#493, of Confluence
            text = f"Current user not permitted to use {name.title()}"
            return json_response(403, {"message": text, "statusCode": 403})
        if not permitted(product.needs, request.method, request.path, token.consent.scopes):
            return json_response(401, _SCOPE_MISMATCH)
        return resources.answer(request, Caller(token.consent.subject, base, token.consent.scopes))

    def _throttles(self, product: str, method: str, *, api_token: bool = False) -> bool:
        reason = self._cloud.rate_limit_reason
        if reason == "per-issue-on-write" and (product != "jira" or method in _READING):
            return False
        is_exempt = api_token and reason.startswith("quota")
        return self._cloud.rate_limit is not None and not is_exempt

    def _throttled(self, product: str) -> Response:
        wait = self._cloud.rate_limit or 0
        headers = {
            "Retry-After": f"{wait:g}",
            "X-RateLimit-Limit": "100",
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": _iso8601(self._cloud.now() + wait),
            "X-RateLimit-NearLimit": "true",
            "RateLimit-Reason": f"{product}-{self._cloud.rate_limit_reason}",
        }
        return json_response(429, {"errorMessages": ["Rate limit exceeded"]}, headers)

    # -- beside /ex/ -------------------------------------------------------------------------------

    def _ops(self, call: Call) -> Response:
        """Takes OAuth tokens as they are: the cloud id is in the path."""
        served = replace(call.request, path=f"/jsm/ops/api{call.match[2] or ''}")
        return self._of_product("jira", call.match[1], served)

    def _forms(self, call: Call) -> Response:
        """Takes API tokens only. OAuth tokens are for /ex/jira/{cloudId}/forms."""
        served = replace(call.request, path=f"/forms{call.match[2] or ''}")
        return self._with_api_token(call.request, call.match[1], served)

    def _assets(self, call: Call) -> Response:
        """As `_forms`. The path names a workspace in place of a site: that of the first one."""
        return self._with_api_token(call.request, self._cloud.sites[0].id, call.request)

    def _with_api_token(self, request: Request, site: str, served: Request) -> Response:
        if not self._basic(request, self._cloud.api_token):
            return self._rejection("unknown")
        resources = self._resources.get(("jira", site))
        if resources is None:
            return json_response(404, _NOT_FOUND)
        return resources.answer(served, Caller(ACCOUNT_ID, self._cloud.api_url))

    def _graphql(self, call: Call) -> Response:
        token, state = self._bearer(call.request)
        return _account() if token and state == "live" else self._rejection(state)

    def _administration(self, call: Call) -> Response:
        """Takes the key of the organization only."""
        if not same(call.request.credentials("bearer"), self._cloud.organization_key):
            return self._rejection("unknown")
        return json_response(200, {"data": [], "links": {}})

    # -- media host --------------------------------------------------------------------------------

    def media(self, request: Request) -> Response:
        """A file, if its token is in the URL; pictures need none."""
        if request.path.startswith("/avatars/"):
            return Response(200, b"", {"Content-Type": "image/png"})
        for resources in self._resources.values():
            if (answer := resources.attachments.media(request)) is not None:
                return answer
        return json_response(403, {"code": 403, "message": "Forbidden"})

    # -- a site ------------------------------------------------------------------------------------

    def site(self, name: str) -> Answer:
        """What https://<name>.atlassian.net answers: it takes Basic and refuses bearers."""
        return lambda request: self._on_site(cloud_id(name), request)

    def _on_site(self, site_id: str, request: Request) -> Response:
        site = next(each for each in self._cloud.sites if each.id == site_id)
        if request.path == "/_edge/tenant_info":
            return json_response(200, {"cloudId": site.id})
        if self._cloud.custom_domains:  # for people with a session; the answer is unconfirmed
            return html_response(401, "<!doctype html><title>Unauthorized</title>")
        if request.path == "/gateway/api/graphql":
            return _account() if self._basic(request, self._cloud.api_token) else _unauthorized()
        for product in CLOUD_PRODUCTS:
            if not product.site_paths.fullmatch(request.path):
                continue
            if token := _site_bearer(request):
                return _site_refusal(product.name, token)
            return self._site_resource(site, product, request)
        return html_response(200, "<!doctype html><title>Log in</title><h1>Log in</h1>")

    def _site_resource(self, site: Site, product: CloudProduct, request: Request) -> Response:
        """Anonymous without credentials, and with wrong ones, which a header tells."""
        is_known = self._basic(request, self._cloud.api_token)
        caller = Caller(ACCOUNT_ID if is_known else "", site.url)
        if caller.anonymous and _ECHO.fullmatch(request.path):
            answer = json_response(401, {"message": "Client must be authenticated"})
        else:
            if is_known and self._throttles(product.name, request.method, api_token=True):
                return self._throttled(product.name)
            resources = self._resources[product.name, site.id]
            answer = resources.answer(request.under(product.context), caller)
        if not is_known and request.credentials("basic"):
            answer = _marked(answer)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            realm = {"WWW-Authenticate": f'OAuth realm="{site.url}"'}
            return replace(answer, headers={**answer.headers, **realm})
        return answer

    def _scoped_api_token(self, request: Request) -> bool:
        """As Basic; as Bearer by one report, open-cli-collective/atlassian-cli#169."""
        token = self._cloud.scoped_api_token
        return self._basic(request, token) or same(request.credentials("bearer"), token)

    def _basic(self, request: Request, token: str) -> bool:
        expected = base64.b64encode(f"{self._cloud.email}:{token}".encode()).decode()
        return same(request.credentials("basic"), expected)


def _account() -> Response:
    """What GraphQL answers to `{ me { user { accountId name } } }`; no query is read."""
    user = {"accountId": ACCOUNT_ID, "name": ACCOUNT_NAME}
    return json_response(200, {"data": {"me": {"user": user}}})


def _unauthorized() -> Response:
    return json_response(401, _UNAUTHORIZED)


def _missing(_: Request) -> Response:
    return json_response(404, _NOT_FOUND)


def _site_bearer(request: Request) -> str:
    """The token, if the header has exactly `Bearer`, one blank, and a token; else ""."""
    match = re.fullmatch(r"Bearer (\S+)", request.headers.get("authorization", ""))
    return match[1] if match else ""


def _site_refusal(product: str, token: str) -> Response:
    """Source: brekkylab/backlot#135, 2026-09-04; the texts of Confluence are unconfirmed."""
    text = "Failed to parse Connect Session Auth Token"
    if product == "confluence":
        return json_response(403, {"statusCode": 403, "errorMessages": [text]})
    if token.count(".") == _DOTS_OF_A_JWT:
        return html_response(401, "Client must be authenticated to access this resource.")
    return json_response(403, {"error": text})


def _marked(response: Response) -> Response:
    headers = {**response.headers, "x-seraph-loginreason": "AUTHENTICATED_FAILED"}
    return replace(response, headers=headers)


def _iso8601(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%MZ")

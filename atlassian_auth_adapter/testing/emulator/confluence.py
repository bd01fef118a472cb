"""Confluence's REST resources: version 1 (offsets) and version 2 (cursors), in memory.

Links in answers are relative and `_links.base` names the site, also through the gateway: `next` of
version 2 begins with the context /wiki, `next` of version 1 does not (atlassian-python-api #1655
and markdown-to-confluence's work-around, read 2026-11-22).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from .hosts import Call, Caller, Routes
from .http import Request, Response, json_response
from .people import ACCOUNT_NAME, EMAIL
from .probes import add_probes

_SPACES = ("DOCS", "TEAM", "OPS")
_PAGES = 60
_AUDIT_RECORDS = 25
_PAGE = 25  # default page length
_CREATED = "2026-01-15T09:30:00.000Z"
_LOGIN_NEEDED = {"statusCode": 401, "message": "Client must be authenticated"}
_GONE = {
    "statusCode": 410,
    "message": "This endpoint has been removed. Use the Confluence REST API v2.",
}


class Confluence:
    """One Confluence. `base` is what `_links.base` says. Stateless; threads may share it."""

    def __init__(self, base: str, *, cloud: bool) -> None:
        self.cloud = cloud
        self._base = base
        self._context = "/wiki" if cloud else ""
        self._routes = Routes(_missing)
        add_probes(self._routes)
        for path, handler in (
            (r"/rest/api/user/current", self._user),
            (r"/rest/api/search", self._search),
            (r"/rest/api/content", self._content),
            (r"/rest/api/content/search", self._content),
            (r"/rest/api/content/(?P<id>\d+)", self._one_content),
            (r"/rest/api/space", self._old_spaces),
            (r"/rest/api/audit", self._audit),
        ):
            self._routes.add("GET", path, handler)
        if cloud:
            self._routes.add("GET", r"/api/v2/pages", self._pages)
            self._routes.add("GET", r"/api/v2/pages/(?P<id>\d+)", self._one_page)
            self._routes.add("GET", r"/api/v2/spaces", self._spaces)

    def answer(self, request: Request, caller: Caller) -> Response:
        """The answer to a request below the product's root (on Cloud: without /wiki)."""
        if caller.anonymous:
            return json_response(401, _LOGIN_NEEDED)
        old = request.path.startswith(("/rest/api/content", "/rest/api/space"))
        if self.cloud and old and caller.scopes is not None:
            return json_response(410, _GONE)  # for OAuth since about 2026-08-17
        return self._routes.answer(request, caller)

    def _user(self, call: Call) -> Response:
        name = call.caller.name
        own = {"accountId": name, "accountType": "atlassian"} if self.cloud else {"username": name}
        return json_response(
            200,
            {
                "type": "known",
                **own,
                "email": EMAIL,
                "publicName": ACCOUNT_NAME,
                "displayName": ACCOUNT_NAME,
                "_links": {"base": self._base, "context": self._context},
            },
        )

    # -- version 1: start and limit ----------------------------------------------------------------

    def _offsets(self, call: Call, found: list[dict[str, Any]], **more: Any) -> Response:
        request = call.request
        start = _number(request.first("start"), 0)
        limit = _number(request.first("limit"), _PAGE) or _PAGE
        page = found[start : start + limit]
        links = {
            "base": self._base,
            "context": self._context,
            "self": f"{self._base}{request.path}",
        }
        if start + limit < len(found):
            kept = {name: value for name, value in request.query if name not in ("start", "limit")}
            query = urlencode({**kept, "limit": limit, "start": start + limit})
            links["next"] = f"{request.path}?{query}"
        return json_response(
            200,
            {
                "results": page,
                "start": start,
                "limit": limit,
                "size": len(page),
                **more,
                "_links": links,
            },
        )

    def _search(self, call: Call) -> Response:
        cql = call.request.first("cql")
        if not cql:
            return json_response(400, {"statusCode": 400, "message": "cql is required"})
        found = [
            {
                "content": self._content_bean(number),
                "title": f"Page {number}",
                "excerpt": "",
                "url": f"/spaces/DOCS/pages/{number}",
                "entityType": "content",
                "lastModified": _CREATED,
            }
            for number in range(1, _PAGES + 1)
        ]
        return self._offsets(call, found, totalSize=len(found), cqlQuery=cql, searchDuration=7)

    def _content_bean(self, number: int) -> dict[str, Any]:
        return {
            "id": str(number),
            "type": "page",
            "status": "current",
            "title": f"Page {number}",
            "_links": {"webui": f"/spaces/DOCS/pages/{number}"},
        }

    def _content(self, call: Call) -> Response:
        return self._offsets(call, [self._content_bean(n) for n in range(1, _PAGES + 1)])

    def _one_content(self, call: Call) -> Response:
        return _one(call, self._content_bean)

    def _old_spaces(self, call: Call) -> Response:
        found = [
            {"id": number, "key": key, "name": key.title(), "type": "global"}
            for number, key in enumerate(_SPACES, 1)
        ]
        return self._offsets(call, found)

    def _audit(self, call: Call) -> Response:
        found = [
            {
                "author": {"type": "user", "displayName": ACCOUNT_NAME},
                "remoteAddress": "192.0.2.1",
                "creationDate": 1768469400000,
                "summary": f"Space {number} created",
                "description": "",
                "category": "Spaces",
                "sysAdmin": False,
            }
            for number in range(_AUDIT_RECORDS, 0, -1)
        ]
        return self._offsets(call, found)

    # -- version 2: cursors ------------------------------------------------------------------------

    def _cursors(self, call: Call, found: list[dict[str, Any]]) -> Response:
        request = call.request
        limit = _number(request.first("limit"), _PAGE) or _PAGE
        start = _number(request.first("cursor").removeprefix("c"), 0)
        links = {"base": f"{self._base}"}
        headers = {}
        if start + limit < len(found):
            query = urlencode({"limit": limit, "cursor": f"c{start + limit}"})
            links["next"] = f"{self._context}{request.path}?{query}"
            headers["Link"] = f'<{links["next"]}>; rel="next"'
        page = {"results": found[start : start + limit], "_links": links}
        return json_response(200, page, headers)

    def _page_bean(self, number: int) -> dict[str, Any]:
        return {
            "id": str(number),
            "status": "current",
            "title": f"Page {number}",
            "spaceId": "1",
            "authorId": "5b10ac8d82e05b22cc7d4ef5",
            "createdAt": _CREATED,
            "version": {"number": 1, "createdAt": _CREATED},
            "body": {},
            "_links": {"webui": f"/spaces/DOCS/pages/{number}"},
        }

    def _pages(self, call: Call) -> Response:
        return self._cursors(call, [self._page_bean(n) for n in range(1, _PAGES + 1)])

    def _one_page(self, call: Call) -> Response:
        return _one(call, self._page_bean)

    def _spaces(self, call: Call) -> Response:
        found = [
            {
                "id": str(number),
                "key": key,
                "name": key.title(),
                "type": "global",
                "status": "current",
                "_links": {"webui": f"/spaces/{key}"},
            }
            for number, key in enumerate(_SPACES, 1)
        ]
        return self._cursors(call, found)


def _one(call: Call, bean: Any) -> Response:
    number = int(call["id"])
    return json_response(200, bean(number)) if 1 <= number <= _PAGES else _missing(call.request)


def _missing(request: Request) -> Response:
    return json_response(404, {"statusCode": 404, "message": "Not found"})


def _number(text: str, default: int) -> int:
    return int(text) if text.isdecimal() else default

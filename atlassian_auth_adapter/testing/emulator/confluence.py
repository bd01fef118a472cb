"""Confluence's REST resources: version 1 (offsets) and version 2 (cursors), in memory.

Links in answers are relative and `_links.base` names the site, also through the gateway: `next` of
version 2 begins with the context /wiki, `next` of version 1 does not (atlassian-python-api #1655
and markdown-to-confluence's work-around, read 2026-11-22). Any CQL finds every page.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from .accounts import ACCOUNT_ID, ACCOUNT_NAME, EMAIL
from .attachments import Attachment, Attachments, xsrf_refusal
from .echo import ECHO
from .hosts import Call, Caller, Routes, Row, found_or
from .http import Request, Response, json_response, redirect_response

_SPACES = ("DOCS", "TEAM", "OPS")
_SPACE_IDS = {str(number): key for number, key in enumerate(_SPACES, 1)}
_PAGES = 60
_AUDIT_RECORDS = 25
_PAGE = 25  # default page length
_CREATED = "2026-01-15T09:30:00.000Z"
_LOGIN_NEEDED = {"statusCode": 401, "message": "Client must be authenticated"}
# For OAuth since about 2026-08-17; labels and attachments survive, as do search and user.
_GONE_PATHS = re.compile(
    r"/rest/api/(content|space)(?!/\d+/(?:label|child/attachment)(?:/|$))(/.*)?"
)
_GONE = {
    "statusCode": 410,
    "message": "This endpoint has been removed. Use the Confluence REST API v2.",
}
_CONTENT = r"/rest/api/content/(?P<id>\d+)"
_ATTACHMENTS = f"{_CONTENT}/child/attachment"


@dataclass(frozen=True, slots=True)
class _Page:
    number: int
    space: str
    title: str
    body: str


class Confluence:
    """One Confluence. `base` is what `_links.base` says. Threads may share it."""

    def __init__(self, base: str, *, cloud: bool, media_url: Callable[[], str] = str) -> None:
        self.cloud = cloud
        self.base = base
        self.attachments: Attachments = Attachments(prefix="att")
        self._media_url = media_url
        self._context = "/wiki" if cloud else ""
        self._lock = threading.Lock()
        self._by_number = {
            number: _Page(number, _SPACES[0], f"Page {number}", f"<p>Page {number}</p>")
            for number in range(1, _PAGES + 1)
        }
        self._labels: dict[int, list[str]] = {}
        self._routes = Routes(_missing, *ECHO, *self._rows())

    def _rows(self) -> list[Row]:
        page = found_or(_missing, self._page)
        rows: list[Row] = [
            ("GET", r"/rest/api/user/current", self._user),
            ("GET", r"/rest/api/search", self._search),
            ("GET", r"/rest/api/content/?", self._content),
            ("POST", r"/rest/api/content/?", self._create),
            ("GET", r"/rest/api/content/search", self._content),
            ("GET", _CONTENT, page(self._one_content)),
            ("GET", f"{_CONTENT}/label", page(self._list_labels)),
            ("POST", f"{_CONTENT}/label", page(self._add_labels)),
            ("GET", _ATTACHMENTS, page(self._list_attachments)),
            ("POST", _ATTACHMENTS, page(self._attach)),
            ("POST", f"{_ATTACHMENTS}/(?P<file>att\\d+)/data", page(self._attach_again)),
            ("GET", r"/rest/api/space", self._old_spaces),
            ("GET", r"/rest/api/audit", self._audit),
        ]
        if self.cloud:
            rows += [
                ("PUT", _ATTACHMENTS, page(self._attach_again)),
                ("GET", f"{_ATTACHMENTS}/(?P<file>att\\d+)/download", self._download),
                ("GET", r"/api/v2/pages", self._pages),
                ("POST", r"/api/v2/pages", self._create_page),
                ("GET", r"/api/v2/pages/(?P<id>\d+)", page(self._one_page)),
                ("GET", r"/api/v2/pages/(?P<id>\d+)/attachments", page(self._page_attachments)),
                ("GET", r"/api/v2/spaces", self._spaces),
                ("GET", r"/api/v2/spaces/(?P<space>\d+)/pages", self._space_pages),
            ]
        else:
            rows += [("GET", r"/download/attachments/(?P<id>\d+)/(?P<name>.+)", self._file)]
        return rows

    def answer(self, request: Request, caller: Caller) -> Response:
        """The answer to a request below the product's root (on Cloud: without /wiki)."""
        if caller.anonymous:
            return json_response(401, _LOGIN_NEEDED)
        if self.cloud and caller.scopes is not None and _GONE_PATHS.fullmatch(request.path):
            return json_response(410, _GONE)
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
                "_links": {"base": self.base, "context": self._context},
            },
        )

    # -- pages -------------------------------------------------------------------------------------

    def _new_page(self, space: str, title: str, body: str) -> _Page | None:
        """The new page; None: the space has one of that title."""
        with self._lock:
            if any((p.space, p.title) == (space, title) for p in self._by_number.values()):
                return None
            page = _Page(len(self._by_number) + 1, space, title, body)
            self._by_number[page.number] = page
        return page

    def _found(self, request: Request) -> list[_Page]:
        """The pages that fit the query's title and space, which both versions spell differently."""
        title = request.first("title")
        space = _SPACE_IDS.get(request.first("space-id"), request.first("spaceKey"))
        with self._lock:
            pages = list(self._by_number.values())
        return [p for p in pages if title in ("", p.title) and space in ("", p.space)]

    def _page(self, call: Call) -> _Page | None:
        return self._by_number.get(int(call["id"]))

    # -- version 1: start and limit ----------------------------------------------------------------

    def _offsets(self, call: Call, found: list[dict[str, Any]], **more: Any) -> Response:
        request = call.request
        start = _number(request.first("start"), 0)
        limit = _number(request.first("limit"), _PAGE) or _PAGE
        page = found[start : start + limit]
        links = {
            "base": self.base,
            "context": self._context,
            "self": f"{self.base}{request.path}",
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
            return _refused(400, "cql is required")
        found = [
            {
                "content": self._content_bean(page),
                "title": page.title,
                "excerpt": "",
                "url": _webui(page),
                "entityType": "content",
                "lastModified": _CREATED,
            }
            for page in self._found(call.request)
        ]
        return self._offsets(call, found, totalSize=len(found), cqlQuery=cql, searchDuration=7)

    def _content_bean(self, page: _Page, expand: str = "") -> dict[str, Any]:
        bean: dict[str, Any] = {
            "id": str(page.number),
            "type": "page",
            "status": "current",
            "title": page.title,
            "_links": {
                "webui": _webui(page),
                "self": f"{self.base}/rest/api/content/{page.number}",
            },
        }
        if expand:
            bean["space"] = {"key": page.space, "name": page.space.title(), "type": "global"}
            bean["version"] = {"number": 1, "when": _CREATED}
        if "body" in expand:
            bean["body"] = {"storage": {"value": page.body, "representation": "storage"}}
        return bean

    def _content(self, call: Call) -> Response:
        expand = call.request.first("expand")
        found = self._found(call.request)
        return self._offsets(call, [self._content_bean(page, expand) for page in found])

    def _create(self, call: Call) -> Response:
        match call.request.json():
            case {"title": str(title), "space": {"key": str(space)}, **more} if title:
                pass
            case _:
                return _refused(400, "title and space are required")
        if space not in _SPACES:
            return _refused(404, "No space with the given key")
        page = self._new_page(space, title, _value(more))
        if page is None:
            return _refused(400, "A page with this title already exists")
        return json_response(200, self._content_bean(page, "body.storage,space,version"))

    def _one_content(self, call: Call, page: _Page) -> Response:
        expand = call.request.first("expand", "space,version")
        return json_response(200, self._content_bean(page, expand))

    def _list_labels(self, call: Call, page: _Page) -> Response:
        found = [
            {"id": str(number), "prefix": "global", "name": name, "label": name}
            for number, name in enumerate(self._labels.get(page.number, ()), 1)
        ]
        return self._offsets(call, found)

    def _add_labels(self, call: Call, page: _Page) -> Response:
        sent = call.request.json()
        with self._lock:
            labels = self._labels.setdefault(page.number, [])
            for each in sent if isinstance(sent, list) else [sent]:
                if isinstance(each, dict) and each.get("name") not in (None, *labels):
                    labels.append(str(each["name"]))
        return self._list_labels(call, page)

    def _old_spaces(self, call: Call) -> Response:
        found = [
            {"id": int(number), "key": key, "name": key.title(), "type": "global"}
            for number, key in _SPACE_IDS.items()
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

    # -- attachments -------------------------------------------------------------------------------

    def _attachment_bean(self, attachment: Attachment) -> dict[str, Any]:
        return {
            "id": attachment.id,
            "type": "attachment",
            "status": "current",
            "title": attachment.filename,
            "metadata": {"mediaType": attachment.content_type},
            "extensions": {"mediaType": attachment.content_type, "fileSize": attachment.length},
            "_links": {
                "self": f"{self.base}/rest/api/content/{attachment.id}",
                "download": _download_path(attachment),
            },
        }

    def _list_attachments(self, call: Call, _: _Page) -> Response:
        name = call.request.first("filename")
        files = [f for f in self.attachments.of(call["id"]) if name in ("", f.filename)]
        return self._offsets(call, [self._attachment_bean(each) for each in files])

    def _attach(self, call: Call, _: _Page, *, again: bool = False) -> Response:
        if refused := xsrf_refusal(call.request):
            return refused
        added = self.attachments.add(call["id"], call.request, replacing=again)
        if not added:
            return _refused(400, "No file was sent")
        beans = [self._attachment_bean(each) for each in added]
        return self._offsets(call, beans) if not again else json_response(200, beans[0])

    def _attach_again(self, call: Call, page: _Page) -> Response:
        """A new version of the file of that name."""
        return self._attach(call, page, again=True)

    def _download(self, call: Call) -> Response:
        found = self.attachments.get(call["file"])
        if found is None or found.owner != call["id"]:
            return _missing(call.request)
        return redirect_response(found.link(self._media_url()))

    def _file(self, call: Call) -> Response:
        found = self.attachments.named(call["id"], call["name"])
        return found.response() if found else _missing(call.request)

    # -- version 2: cursors ------------------------------------------------------------------------

    def _cursors(self, call: Call, found: list[dict[str, Any]]) -> Response:
        request = call.request
        limit = _number(request.first("limit"), _PAGE) or _PAGE
        start = _number(request.first("cursor").removeprefix("c"), 0)
        links = {"base": self.base}
        headers = {}
        if start + limit < len(found):
            kept = {name: value for name, value in request.query if name not in ("limit", "cursor")}
            query = urlencode({**kept, "limit": limit, "cursor": f"c{start + limit}"})
            links["next"] = f"{self._context}{request.path}?{query}"
            headers["Link"] = f'<{links["next"]}>; rel="next"'
        page = {"results": found[start : start + limit], "_links": links}
        return json_response(200, page, headers)

    def _page_bean(self, page: _Page, representation: str = "") -> dict[str, Any]:
        body = {"storage": {"value": page.body, "representation": "storage"}}
        return {
            "id": str(page.number),
            "status": "current",
            "title": page.title,
            "spaceId": str(_SPACES.index(page.space) + 1),
            "authorId": ACCOUNT_ID,
            "createdAt": _CREATED,
            "version": {"number": 1, "createdAt": _CREATED},
            "body": body if representation == "storage" else {},
            "_links": {"webui": _webui(page)},
        }

    def _pages(self, call: Call) -> Response:
        wanted = call.request.first("body-format")
        return self._cursors(call, [self._page_bean(p, wanted) for p in self._found(call.request)])

    def _space_pages(self, call: Call) -> Response:
        wanted, space = call.request.first("body-format"), _SPACE_IDS.get(call["space"])
        if space is None:
            return _missing(call.request)
        found = [page for page in self._found(call.request) if page.space == space]
        return self._cursors(call, [self._page_bean(page, wanted) for page in found])

    def _create_page(self, call: Call) -> Response:
        match call.request.json():
            case {"title": str(title), "spaceId": space, **more} if title:
                pass
            case _:
                return _invalid("title and spaceId are required")
        if str(space) not in _SPACE_IDS:
            return _invalid("The space does not exist", 404)
        page = self._new_page(_SPACE_IDS[str(space)], title, _value(more))
        if page is None:
            return _invalid("A page with this title already exists")
        return json_response(200, self._page_bean(page, "storage"))

    def _one_page(self, call: Call, page: _Page) -> Response:
        return json_response(200, self._page_bean(page, call.request.first("body-format")))

    def _page_attachments(self, call: Call, _: _Page) -> Response:
        found = [
            {
                "id": each.id,
                "status": "current",
                "title": each.filename,
                "createdAt": _CREATED,
                "pageId": call["id"],
                "mediaType": each.content_type,
                "fileSize": each.length,
                "downloadLink": _download_path(each),
                "version": {"number": 1, "createdAt": _CREATED},
                "_links": {"download": _download_path(each)},
            }
            for each in self.attachments.of(call["id"])
        ]
        return self._cursors(call, found)

    def _spaces(self, call: Call) -> Response:
        found = [
            {
                "id": number,
                "key": key,
                "name": key.title(),
                "type": "global",
                "status": "current",
                "_links": {"webui": f"/spaces/{key}"},
            }
            for number, key in _SPACE_IDS.items()
        ]
        return self._cursors(call, found)


def _webui(page: _Page) -> str:
    return f"/spaces/{page.space}/pages/{page.number}"


def _download_path(attachment: Attachment) -> str:
    """On Cloud no OAuth token opens it; SDKs find it in answers all the same."""
    name = quote(attachment.filename, safe="")
    return f"/download/attachments/{attachment.owner}/{name}?version=1&api=v2"


def _value(sent: Mapping[Any, Any]) -> str:
    """The text of a body, which has its representation as a key or as a field."""
    match sent.get("body"):
        case {"storage": {"value": str(value)}} | {"value": str(value)}:
            return value
    return ""


def _missing(_: Request) -> Response:
    return _refused(404, "Not found")


def _refused(status: int, message: str) -> Response:
    return json_response(status, {"statusCode": status, "message": message})


def _invalid(title: str, status: int = 400) -> Response:
    code = "NOT_FOUND" if status == 404 else "INVALID_REQUEST_PARAMETER"
    error = {"status": status, "code": code, "title": title, "detail": None}
    return json_response(status, {"errors": [error]})


def _number(text: str, default: int) -> int:
    return int(text) if text.isdecimal() else default

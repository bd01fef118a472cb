"""Bitbucket Cloud's API (api.bitbucket.org/2.0) and its media host, in memory.

One workspace. Field names and types are those of developer.atlassian.com/cloud/bitbucket/rest, read
2026-11-22; values are made up. `next` of a page is an absolute URL.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode
from uuid import NAMESPACE_URL, uuid5

from .accounts import ACCOUNT_NAME, BITBUCKET_APP_USER
from .attachments import Attachment, Attachments
from .bitbucket import Bitbucket
from .echo import ECHO
from .hosts import Call, Caller, Routes, found_or
from .http import Request, Response, json_response, redirect_response
from .scopes import BITBUCKET_NEEDS, needed

WORKSPACE = "acme"
_REPOSITORIES = 25  # more than one page holds
_ISSUES = 25  # of each repository
_PAGE = 10  # default page length
_MAX_PAGE = 100
_CREATED = "2026-01-15T09:30:00.000000+00:00"
_REPOSITORY = rf"/2\.0/repositories/{WORKSPACE}/(?P<slug>[^/]+)"
# Texts of 401: expired, see our notes; unknown, rbansal42/bitbucket-cli#50; both read 2026-11-22.
_REJECTIONS = {
    "expired": "Access token expired. Use your refresh token to obtain a new access token.",
    "unknown": "Token is invalid, expired, or not supported for this endpoint.",
}
_LACKING = "Your credentials lack one or more required privilege scopes."


@dataclass(frozen=True, slots=True)
class _Repository:
    slug: str
    is_private: bool = True
    issues: list[dict[str, Any]] = field(default_factory=list)


class BitbucketApi:
    """Bitbucket Cloud's resource hosts: which token opens what. Threads may share it."""

    def __init__(self, bitbucket: Bitbucket) -> None:
        self.attachments: Attachments = Attachments("files", replacing=True)
        self._bitbucket = bitbucket
        self._lock = threading.Lock()
        issues = [_new_issue(n, {"title": f"Issue {n}"}) for n in range(1, _ISSUES + 1)]
        slugs = [f"repo-{number}" for number in range(1, _REPOSITORIES + 1)]
        self._by_slug = {slug: _Repository(slug, issues=list(issues)) for slug in slugs}
        repository = found_or(_missing, self._found)
        self._routes = Routes(
            _missing,
            *ECHO,
            ("GET", r"/2\.0/user", self._user),
            ("GET", r"/2\.0/user/workspaces", self._workspaces),
            ("GET", rf"/2\.0/workspaces/{WORKSPACE}", self._workspace),
            ("GET", rf"/2\.0/repositories/{WORKSPACE}", self._repositories),
            ("GET", _REPOSITORY, repository(self._repository)),
            ("POST", _REPOSITORY, self._create),
            ("GET", f"{_REPOSITORY}/issues", repository(self._issues)),
            ("POST", f"{_REPOSITORY}/issues", repository(self._create_issue)),
            ("GET", f"{_REPOSITORY}/issues/(?P<id>\\d+)", repository(self._issue)),
            ("GET", f"{_REPOSITORY}/downloads", repository(self._downloads)),
            ("POST", f"{_REPOSITORY}/downloads", repository(self._upload)),
            ("GET", f"{_REPOSITORY}/downloads/(?P<name>.+)", self._download),
        )

    def answer(self, request: Request) -> Response:
        """The answer of the API, which knows bearers in the Authorization header only."""
        record, state = self._bitbucket.bearer(request.credentials("bearer"))
        if record is None or state != "live":
            text = _REJECTIONS.get(state, _REJECTIONS["unknown"])
            return json_response(401, _problem(text), {"WWW-Authenticate": "Bearer"})
        scopes = record.consent.scopes
        held = scopes | {scope.removesuffix(":write") for scope in scopes}
        wanted = needed(BITBUCKET_NEEDS, request.method, request.path)
        if not any(each <= held for each in wanted):
            detail = {"granted": sorted(scopes), "required": sorted(wanted[0])}
            return json_response(403, _problem(_LACKING, detail=detail))
        caller = Caller(record.consent.subject, self._bitbucket.api_url, held)
        return self._routes.answer(request, caller)

    def media(self, request: Request) -> Response:
        """A file at the media host, if its token is in the URL."""
        found = self.attachments.media(request)
        return found or Response(403, b"<Error/>", {"Content-Type": "application/xml"})

    # -- accounts ----------------------------------------------------------------------------------

    def _user(self, call: Call) -> Response:
        return json_response(200, self._person(call.caller))

    def _person(self, caller: Caller) -> dict[str, Any]:
        person = caller.name != BITBUCKET_APP_USER
        return {
            "type": "user" if person else "app_user",
            "uuid": _uuid(caller.name),
            "account_id": caller.name,
            "account_status": "active",
            "display_name": ACCOUNT_NAME if person else self._bitbucket.app.name,
            "nickname": "Ada" if person else self._bitbucket.app.name,
            "created_on": _CREATED,
            "links": _links(caller, f"/users/{quote(_uuid(caller.name))}"),
        }

    def _workspaces(self, call: Call) -> Response:
        bean = {"type": "workspace_access", "workspace": _workspace_bean(call.caller)}
        return _page(call, [bean])

    def _workspace(self, call: Call) -> Response:
        return json_response(200, _workspace_bean(call.caller))

    # -- repositories ------------------------------------------------------------------------------

    def _found(self, call: Call) -> _Repository | None:
        with self._lock:
            return self._by_slug.get(call["slug"])

    def _repositories(self, call: Call) -> Response:
        with self._lock:
            found = list(self._by_slug.values())
        return _page(call, [_repository_bean(each, call.caller) for each in found])

    def _repository(self, call: Call, found: _Repository) -> Response:
        return json_response(200, _repository_bean(found, call.caller))

    def _create(self, call: Call) -> Response:
        sent = call.request.json()
        private = sent.get("is_private", True) if isinstance(sent, dict) else True
        made = _Repository(call["slug"], bool(private))
        with self._lock:
            if self._by_slug.setdefault(made.slug, made) is not made:
                text = "Repository with this Slug and Owner already exists."
                return json_response(400, _problem(text))
        return json_response(200, _repository_bean(made, call.caller))

    # -- issues ------------------------------------------------------------------------------------

    def _issues(self, call: Call, found: _Repository) -> Response:
        with self._lock:
            issues = list(found.issues)
        return _page(call, [_issue_bean(found, each, call.caller) for each in issues])

    def _create_issue(self, call: Call, found: _Repository) -> Response:
        sent = call.request.json()
        if not isinstance(sent, dict) or not sent.get("title"):
            return json_response(400, _problem("title: This field is required."))
        with self._lock:
            issue = _new_issue(len(found.issues) + 1, sent)
            found.issues.append(issue)
        return json_response(201, _issue_bean(found, issue, call.caller))

    def _issue(self, call: Call, found: _Repository) -> Response:
        for issue in found.issues:
            if issue["id"] == int(call["id"]):
                return json_response(200, _issue_bean(found, issue, call.caller))
        return _missing(call.request)

    # -- downloads ---------------------------------------------------------------------------------

    def _downloads(self, call: Call, _: _Repository) -> Response:
        files = self.attachments.of(call["slug"])
        return _page(call, [self._download_bean(each, call.caller) for each in files])

    def _download_bean(self, file: Attachment, caller: Caller) -> dict[str, Any]:
        path = f"/repositories/{WORKSPACE}/{file.owner}/downloads/{quote(file.filename, safe='')}"
        return {
            "type": "download",
            "name": file.filename,
            "size": file.length,
            "downloads": 0,
            "created_on": _CREATED,
            "user": self._person(caller),
            "links": _links(caller, path),
        }

    def _upload(self, call: Call, _: _Repository) -> Response:
        if not self.attachments.add(call["slug"], call.request):
            return json_response(400, _problem("files: This field is required."))
        return Response(201)

    def _download(self, call: Call) -> Response:
        found = self.attachments.named(call["slug"], call["name"])
        if found is None:
            return _missing(call.request)
        return redirect_response(found.link(self._bitbucket.media_url))


def _uuid(name: str) -> str:
    return f"{{{uuid5(NAMESPACE_URL, name)}}}"


def _links(caller: Caller, path: str, *below: str) -> dict[str, Any]:
    here = f"{caller.base}/2.0{path}"
    return {"self": {"href": here}, **{name: {"href": f"{here}/{name}"} for name in below}}


def _workspace_bean(caller: Caller) -> dict[str, Any]:
    links = _links(caller, f"/workspaces/{WORKSPACE}", "projects", "members")
    return {
        "type": "workspace",
        "uuid": _uuid(WORKSPACE),
        "name": WORKSPACE.title(),
        "slug": WORKSPACE,
        "is_private": True,
        "links": {**links, "repositories": _links(caller, f"/repositories/{WORKSPACE}")["self"]},
    }


def _repository_bean(repository: _Repository, caller: Caller) -> dict[str, Any]:
    full_name = f"{WORKSPACE}/{repository.slug}"
    return {
        "type": "repository",
        "uuid": _uuid(full_name),
        "full_name": full_name,
        "name": repository.slug,
        "slug": repository.slug,
        "is_private": repository.is_private,
        "scm": "git",
        "has_issues": True,
        "created_on": _CREATED,
        "updated_on": _CREATED,
        "links": _links(caller, f"/repositories/{full_name}", "downloads", "issues"),
    }


def _issue_bean(repository: _Repository, issue: dict[str, Any], caller: Caller) -> dict[str, Any]:
    path = f"/repositories/{WORKSPACE}/{repository.slug}/issues/{issue['id']}"
    return {**issue, "links": _links(caller, path)}


def _new_issue(number: int, sent: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "issue",
        "id": number,
        "title": sent["title"],
        "content": sent.get("content") or {"raw": ""},
        "kind": sent.get("kind") or "bug",
        "priority": sent.get("priority") or "major",
        "state": "new",
        "created_on": _CREATED,
        "updated_on": _CREATED,
    }


def _page(call: Call, found: list[dict[str, Any]]) -> Response:
    request = call.request
    number, length = (
        int(text) if (text := request.first(name)).isdecimal() and int(text) else default
        for name, default in (("page", 1), ("pagelen", _PAGE))
    )
    length = min(length, _MAX_PAGE)
    end = number * length
    page = {
        "values": found[end - length : end],
        "pagelen": length,
        "size": len(found),
        "page": number,
    }
    if end < len(found):
        kept = {name: value for name, value in request.query if name not in ("page", "pagelen")}
        query = urlencode({**kept, "pagelen": length, "page": number + 1})
        page["next"] = f"{call.caller.base}{quote(request.path)}?{query}"
    return json_response(200, page)


def _problem(message: str, **more: Any) -> dict[str, Any]:
    """An error of the API, whose `error` is an object."""
    return {"type": "error", "error": {"message": message, **more}}


def _missing(_: Request) -> Response:
    return json_response(404, _problem("Resource not found"))

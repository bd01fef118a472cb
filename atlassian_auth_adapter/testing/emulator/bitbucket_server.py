"""Bitbucket Data Center's REST resources, in memory.

Two projects: ACME, whose repositories are public, and SEC, whose are not. Field names and types are
those of developer.atlassian.com/server/bitbucket/rest, read 2026-11-22. A file has one version, the
last, whatever the branch.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any
from zlib import crc32

from .accounts import ACCOUNT_NAME, DATA_CENTER_USER, EMAIL, SESSION_USER
from .attachments import Attachments
from .hosts import Call, Caller, Routes, logged_in_or
from .http import Request, Response, json_response

PUBLIC_PROJECT, PRIVATE_PROJECT = "ACME", "SEC"
_SEEDS = {PUBLIC_PROJECT: 30, PRIVATE_PROJECT: 2}  # more repositories than one page holds
_PULL_REQUESTS = 30
_PAGE = 25  # default page length
_CREATED = 1768469400000  # milliseconds
_API = r"/rest/api/(?:1\.0|latest)"
_REPOSITORIES = r"/projects/(?P<key>[^/]+)/repos"
_REPOSITORY = f"{_REPOSITORIES}/(?P<slug>[^/]+)"


def _error(status: int, message: str) -> Response:
    problem = {"context": None, "message": message, "exceptionName": None}
    return json_response(status, {"errors": [problem]})


_LOGIN_NEEDED = _error(401, "You are not permitted to access this resource")
_logged_in = logged_in_or(_LOGIN_NEEDED)


class BitbucketServer:
    """One Bitbucket Data Center. Threads may share it."""

    def __init__(self) -> None:
        self.attachments: Attachments = Attachments("content", replacing=True)
        self._lock = threading.Lock()
        self._slugs: dict[str, list[str]] = {
            key: [f"repo-{number}" for number in range(1, count + 1)]
            for key, count in _SEEDS.items()
        }
        self._routes = Routes(
            _missing,
            ("GET", f"{_API}/application-properties", _properties),
            ("GET", f"{_API}/users/(?P<slug>[^/]+)", _logged_in(self._user)),
            ("GET", f"{_API}/projects", self._projects),
            ("GET", f"{_API}/projects/(?P<key>[^/]+)", self._project),
            ("GET", f"{_API}{_REPOSITORIES}", self._repositories),
            ("POST", f"{_API}{_REPOSITORIES}", _logged_in(self._create)),
            ("GET", f"{_API}{_REPOSITORY}", self._repository),
            ("GET", f"{_API}{_REPOSITORY}/pull-requests", self._pull_requests),
            (
                "PUT",
                f"{_API}{_REPOSITORY}/browse/(?P<path>.+)",
                _logged_in(self._write),
            ),
            ("GET", f"(?:{_API})?{_REPOSITORY}/raw/(?P<path>.+)", self._raw),
            ("GET", r"/scm/(?P<key>[^/]+)/(?P<slug>[^/]+)\.git/info/refs", self._branches),
            ("GET", r"/plugins/servlet/applinks/whoami", _whoami),
        )

    def answer(self, request: Request, caller: Caller) -> Response:
        """The answer to a request below the product's root."""
        return self._routes.answer(request, caller)

    def _user(self, call: Call) -> Response:
        slug = call["slug"]
        if slug not in (DATA_CENTER_USER, SESSION_USER, call.caller.name):
            return _missing(call.request)
        return json_response(200, _person(slug, call.caller))

    # -- projects and repositories -----------------------------------------------------------------

    def _visible(self, caller: Caller) -> list[str]:
        everything = not caller.anonymous and (
            caller.scopes is None or "REPO_READ" in caller.scopes
        )
        return list(_SEEDS) if everything else [PUBLIC_PROJECT]

    def _refusal(self, call: Call, *, repository: bool = True) -> Response | None:
        """What answers a caller who may not see what the path names, or None."""
        if call["key"] in self._visible(call.caller):
            with self._lock:
                known = not repository or call["slug"] in self._slugs[call["key"]]
            return None if known else _missing(call.request)
        hidden = call.caller.anonymous and call["key"] in _SEEDS
        return _LOGIN_NEEDED if hidden else _missing(call.request)

    def _projects(self, call: Call) -> Response:
        beans = [_project_bean(key, call.caller) for key in self._visible(call.caller)]
        return _page(call.request, beans)

    def _project(self, call: Call) -> Response:
        refused = self._refusal(call, repository=False)
        return refused or json_response(200, _project_bean(call["key"], call.caller))

    def _repositories(self, call: Call) -> Response:
        if refused := self._refusal(call, repository=False):
            return refused
        with self._lock:
            slugs = list(self._slugs[call["key"]])
        beans = [_repository_bean(call["key"], slug, call.caller) for slug in slugs]
        return _page(call.request, beans)

    def _create(self, call: Call) -> Response:
        if refused := self._refusal(call, repository=False):
            return refused
        sent = call.request.json()
        name = sent.get("name") if isinstance(sent, dict) else None
        if not isinstance(name, str) or not name:
            return _error(400, "The name of the repository is required")
        slug = "-".join(name.lower().split())
        with self._lock:
            if slug in self._slugs[call["key"]]:
                return _error(409, "This repository URL is already taken")
            self._slugs[call["key"]].append(slug)
        return json_response(201, _repository_bean(call["key"], slug, call.caller))

    def _repository(self, call: Call) -> Response:
        bean = _repository_bean(call["key"], call["slug"], call.caller)
        return self._refusal(call) or json_response(200, bean)

    def _pull_requests(self, call: Call) -> Response:
        if refused := self._refusal(call):
            return refused
        state = call.request.first("state", "OPEN")
        beans = [
            {
                "id": number,
                "version": 0,
                "title": f"Pull request {number}",
                "state": "OPEN",
                "open": True,
                "closed": False,
                "createdDate": _CREATED,
                "updatedDate": _CREATED,
                "author": {"user": _person(DATA_CENTER_USER, call.caller), "role": "AUTHOR"},
                "toRef": {
                    "id": "refs/heads/main",
                    "repository": _repository_bean(call["key"], call["slug"], call.caller),
                },
            }
            for number in range(_PULL_REQUESTS, 0, -1)
            if state in ("OPEN", "ALL")
        ]
        return _page(call.request, beans)

    def _branches(self, call: Call) -> Response:
        """What git asks for first; the repositories of the emulator have no branches."""
        key = call["key"].upper()
        if key not in self._visible(call.caller):
            realm = {"WWW-Authenticate": 'Basic realm="Atlassian Bitbucket"'}
            return Response(401, b"", realm) if call.caller.anonymous else _missing(call.request)
        service = call.request.first("service")
        return Response(
            200,
            f"{len(service) + 15:04x}# service={service}\n00000000".encode(),
            {"Content-Type": f"application/x-{service}-advertisement"},
        )

    # -- files -------------------------------------------------------------------------------------

    def _write(self, call: Call) -> Response:
        if refused := self._refusal(call):
            return refused
        if not self.attachments.add(_place(call), call.request):
            return _error(400, "The content of the file is required")
        commit = call.request.body.sha256[:40]
        person = _person(call.caller.name, call.caller)
        return json_response(
            200,
            {
                "id": commit,
                "displayId": commit[:11],
                "author": person,
                "authorTimestamp": _CREATED,
                "committer": person,
                "committerTimestamp": _CREATED,
                "message": f"{call['path']} edited",
                "parents": [],
            },
        )

    def _raw(self, call: Call) -> Response:
        files = self.attachments.of(_place(call))
        return self._refusal(call) or (files[-1].response() if files else _missing(call.request))


def _place(call: Call) -> str:
    return f"{call['key']}/{call['slug']}/{call['path']}"


def _properties(_: Call) -> Response:
    return json_response(
        200,
        {
            "version": "8.19.1",
            "buildNumber": "8019001",
            "buildDate": str(_CREATED),
            "displayName": "Bitbucket",
        },
    )


def _whoami(call: Call) -> Response:
    return Response(200, call.caller.name.encode(), {"Content-Type": "text/plain;charset=UTF-8"})


def _person(slug: str, caller: Caller) -> dict[str, Any]:
    return {
        "name": slug,
        "emailAddress": EMAIL,
        "active": True,
        "displayName": ACCOUNT_NAME,
        "id": 101,
        "slug": slug,
        "type": "NORMAL",
        "links": {"self": [{"href": f"{caller.base}/users/{slug}"}]},
    }


def _project_bean(key: str, caller: Caller) -> dict[str, Any]:
    return {
        "key": key,
        "id": list(_SEEDS).index(key) + 1,
        "name": key.title(),
        "public": key == PUBLIC_PROJECT,
        "type": "NORMAL",
        "links": {"self": [{"href": f"{caller.base}/projects/{key}"}]},
    }


def _repository_bean(key: str, slug: str, caller: Caller) -> dict[str, Any]:
    return {
        "slug": slug,
        "id": crc32(f"{key}/{slug}".encode()),
        "name": slug,
        "scmId": "git",
        "state": "AVAILABLE",
        "forkable": True,
        "project": _project_bean(key, caller),
        "public": key == PUBLIC_PROJECT,
        "links": {
            "clone": [
                {"href": f"{caller.base}/scm/{key.lower()}/{slug}.git", "name": "http"},
            ],
            "self": [{"href": f"{caller.base}/projects/{key}/repos/{slug}/browse"}],
        },
    }


def _page(request: Request, found: Sequence[Any]) -> Response:
    start, limit = (
        int(text) if (text := request.first(name)).isdecimal() else default
        for name, default in (("start", 0), ("limit", _PAGE))
    )
    limit = limit or _PAGE
    values = found[start : start + limit]
    last = start + limit >= len(found)
    return json_response(
        200,
        {
            "size": len(values),
            "limit": limit,
            "isLastPage": last,
            "values": values,
            "start": start,
            "nextPageStart": None if last else start + limit,
        },
    )


def _missing(_: Request) -> Response:
    return _error(404, "The resource does not exist")

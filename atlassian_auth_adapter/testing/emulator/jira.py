"""Jira's REST resources for both flavours, in memory.

Two projects: ACME, which anonymous people may read on Data Center, and SEC, which they may not.
Field names and types are those of the Jira Cloud OpenAPI document and of Jira Data Center's REST
API 2; values are made up. Of JQL, `project = X` and `key = X` are interpreted.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

from .accounts import ACCOUNT_NAME, EMAIL
from .attachments import Attachment, Attachments, xsrf_refusal
from .echo import ECHO
from .hosts import Call, Caller, Routes, Row, found_or, logged_in_or
from .http import Request, Response, json_response, redirect_response

PUBLIC_PROJECT, PRIVATE_PROJECT = "ACME", "SEC"
_PROJECTS = {PUBLIC_PROJECT: ("10000", "Acme"), PRIVATE_PROJECT: ("10001", "Security")}
_SEEDS = {PUBLIC_PROJECT: 120, PRIVATE_PROJECT: 5}  # more issues than one page holds
_PAGE = 50  # default page length
_MAX_PAGE = 100
_AUDIT_RECORDS = 25
_CREATED = "2026-01-15T09:30:00.000+0000"
_API = r"/rest/api/(?:2|3|latest)"
_logged_in = logged_in_or(
    json_response(401, {"message": "Client must be authenticated to access this resource."})
)
_FIELDS = (
    ("summary", "Summary", "string"),
    ("description", "Description", "string"),
    ("issuetype", "Issue Type", "issuetype"),
    ("project", "Project", "project"),
    ("status", "Status", "status"),
    ("attachment", "Attachment", "array"),
    ("labels", "Labels", "array"),
)

_Issue = dict[str, Any]  # "id", "key" and "fields"


class Jira:
    """One Jira: a Cloud site's, or the Data Center server's. Threads may share it."""

    def __init__(self, *, cloud: bool, media_url: Callable[[], str] = str) -> None:
        self.cloud = cloud
        self.attachments = Attachments()
        self._media_url = media_url
        self._lock = threading.Lock()
        self._issues = {key: dict(issue) for key, issue in _seeds().items()}
        self._counts = dict(_SEEDS)
        self._api = "/rest/api/3" if cloud else "/rest/api/2"  # in links
        self._routes = Routes(_missing, *ECHO, *self._rows())

    def answer(self, request: Request, caller: Caller) -> Response:
        """The answer to a request below the product's root."""
        return self._routes.answer(request, caller)

    def _rows(self) -> list[Row]:
        issue = found_or(_no_issue, self._found)
        file = found_or(_missing, self._seen)
        rows: list[Row] = [
            ("GET", f"{_API}/(?:myself|user)", _logged_in(self._myself)),
            ("GET", f"{_API}/serverInfo", self._server_info),
            ("GET", f"{_API}/field", self._fields),
            ("GET", f"{_API}/project", self._projects),
            ("GET", f"{_API}/project/search", self._project_search),
            ("GET", f"{_API}/project/(?P<key>[^/]+)", self._project),
            ("POST", f"{_API}/issue", _logged_in(self._create)),
            ("GET", f"{_API}/issue/(?P<key>[^/]+)", issue(self._read)),
            ("PUT", f"{_API}/issue/(?P<key>[^/]+)", _logged_in(issue(self._update))),
            ("DELETE", f"{_API}/issue/(?P<key>[^/]+)", _logged_in(issue(self._delete))),
            (
                "POST",
                f"{_API}/issue/(?P<key>[^/]+)/attachments",
                _logged_in(issue(self._attach)),
            ),
            ("GET POST", f"{_API}/search", self._search),
            ("GET", f"{_API}/auditing/record", _logged_in(self._audit)),
            ("GET", f"{_API}/attachment/(?P<id>\\d+)", file(self._attachment)),
            ("DELETE", f"{_API}/attachment/(?P<id>\\d+)", file(self._remove_attachment)),
        ]
        if self.cloud:
            rows += [
                ("GET POST", f"{_API}/search/jql", self._search_jql),
                (
                    "GET",
                    f"{_API}/attachment/content/(?P<id>\\d+)",
                    file(self._content_elsewhere),
                ),
            ]
        else:
            rows += [
                ("GET", r"/secure/attachment/(?P<id>\d+)/[^/]+", file(self._content_here)),
                ("GET", r"/rest/auth/1/session", self._session),
            ]
        return rows

    # -- accounts and server -----------------------------------------------------------------------

    def _myself(self, call: Call) -> Response:
        return json_response(200, self._person(call.caller))

    def _person(self, caller: Caller) -> dict[str, Any]:
        key = "accountId" if self.cloud else "name"
        own: dict[str, Any] = {key: caller.name}
        own |= {"accountType": "atlassian"} if self.cloud else {"key": f"JIRAUSER-{caller.name}"}
        return {
            "self": f"{caller.base}{self._api}/user?{urlencode({key: caller.name})}",
            **own,
            "emailAddress": EMAIL,
            "avatarUrls": {
                f"{size}x{size}": f"{caller.base}/secure/useravatar?size={size}"
                for size in (48, 32, 24, 16)
            },
            "displayName": ACCOUNT_NAME,
            "active": True,
            "timeZone": "Europe/Berlin",
            "locale": "en_US",
            "groups": {"size": 1, "items": []},
            "applicationRoles": {"size": 1, "items": []},
            "expand": "groups,applicationRoles",
        }

    def _server_info(self, call: Call) -> Response:
        return json_response(
            200,
            {
                "baseUrl": call.caller.base,
                "version": "1001.0.0-SNAPSHOT" if self.cloud else "9.12.2",
                "versionNumbers": [1001, 0, 0] if self.cloud else [9, 12, 2],
                "deploymentType": "Cloud" if self.cloud else "Server",
                "buildNumber": 100290 if self.cloud else 9120002,
                "buildDate": _CREATED,
                "serverTime": _CREATED,
                "scmInfo": "emulator",
                "serverTitle": "Jira",
            },
        )

    def _session(self, call: Call) -> Response:
        # A resource for cookies: OAuth bearers do not open it.
        if call.caller.anonymous or call.caller.scopes is not None:
            return json_response(401, {"errorMessages": ["You are not logged in."], "errors": {}})
        return json_response(
            200,
            {
                "self": f"{call.caller.base}/rest/api/latest/user?username={call.caller.name}",
                "name": call.caller.name,
                "loginInfo": {"loginCount": 1, "previousLoginTime": _CREATED},
            },
        )

    # -- projects and fields -----------------------------------------------------------------------

    def _fields(self, call: Call) -> Response:
        return json_response(
            200,
            [
                {
                    "id": key,
                    "key": key,
                    "name": name,
                    "custom": False,
                    "orderable": True,
                    "navigable": True,
                    "searchable": True,
                    "clauseNames": [key],
                    "schema": {"type": kind, "system": key},
                }
                for key, name, kind in _FIELDS
            ],
        )

    def _visible(self, caller: Caller) -> list[str]:
        return [PUBLIC_PROJECT] if caller.anonymous else list(_PROJECTS)

    def _project_bean(self, key: str, base: str) -> dict[str, Any]:
        number, name = _PROJECTS[key]
        return {
            "self": f"{base}{self._api}/project/{number}",
            "id": number,
            "key": key,
            "name": name,
            "projectTypeKey": "software",
            "avatarUrls": {"48x48": f"{base}/secure/projectavatar?pid={number}"},
        }

    def _project_beans(self, caller: Caller) -> list[dict[str, Any]]:
        return [self._project_bean(key, caller.base) for key in self._visible(caller)]

    def _projects(self, call: Call) -> Response:
        return json_response(200, self._project_beans(call.caller))

    def _project_search(self, call: Call) -> Response:
        caller = call.caller
        found = self._project_beans(caller)
        start, length = _window(call.request, "startAt", "maxResults")
        here = f"{caller.base}{self._api}/project/search"
        last = start + length >= len(found)
        page: dict[str, Any] = {
            "self": f"{here}?startAt={start}&maxResults={length}",
            "maxResults": length,
            "startAt": start,
            "total": len(found),
            "isLast": last,
            "values": found[start : start + length],
        }
        if not last:
            page["nextPage"] = f"{here}?startAt={start + length}&maxResults={length}"
        return json_response(200, page)

    def _project(self, call: Call) -> Response:
        for key in self._visible(call.caller):
            if call["key"] in (key, _PROJECTS[key][0]):
                return json_response(200, self._project_bean(key, call.caller.base))
        return _missing(call.request)

    # -- issues ------------------------------------------------------------------------------------

    def _new_issue(self, project: str, fields: dict[str, Any]) -> _Issue:
        with self._lock:
            self._counts[project] += 1
            issue = _issue(project, self._counts[project], sum(self._counts.values()), fields)
            self._issues[issue["key"]] = issue
        return issue

    def _issue_bean(self, issue: _Issue, caller: Caller) -> dict[str, Any]:
        project = issue["key"].partition("-")[0]
        files = self.attachments.of(issue["key"])
        return {
            "expand": "renderedFields,names,schema",
            "id": issue["id"],
            "self": f"{caller.base}{self._api}/issue/{issue['id']}",
            "key": issue["key"],
            "fields": {
                "description": None,
                "labels": [],
                "issuetype": {"id": "10001", "name": "Task", "subtask": False},
                "status": {"id": "3", "name": "In Progress"},
                "created": _CREATED,
                "updated": _CREATED,
                **issue["fields"],
                "project": self._project_bean(project, caller.base),
                "attachment": [self._attachment_bean(each, caller) for each in files],
            },
        }

    def _found(self, call: Call) -> _Issue | None:
        with self._lock:
            issue = self._issues.get(call["key"]) or next(
                (each for each in self._issues.values() if each["id"] == call["key"]), None
            )
        if issue and issue["key"].partition("-")[0] in self._visible(call.caller):
            return issue
        return None

    def _create(self, call: Call) -> Response:
        sent = call.request.json()
        fields = sent.get("fields") if isinstance(sent, dict) else None
        if not isinstance(fields, dict) or not fields.get("summary"):
            return _invalid(summary="You must specify a summary of the issue.")
        project = fields.get("project") or {}
        for key, (number, _) in _PROJECTS.items():
            if project.get("key") == key or project.get("id") == number:
                issue = self._new_issue(key, dict(fields))
                bean = self._issue_bean(issue, call.caller)
                return json_response(201, {name: bean[name] for name in ("id", "key", "self")})
        return _invalid(project="Specify a valid project ID or key")

    def _read(self, call: Call, issue: _Issue) -> Response:
        return json_response(200, self._issue_bean(issue, call.caller))

    def _update(self, call: Call, issue: _Issue) -> Response:
        sent = call.request.json()
        with self._lock:
            issue["fields"] = {**issue["fields"], **((sent or {}).get("fields") or {})}
        return Response(204)

    def _delete(self, call: Call, issue: _Issue) -> Response:
        with self._lock:
            self._issues.pop(issue["key"], None)
        return Response(204)

    # -- search ------------------------------------------------------------------------------------

    def _matching(self, jql: str, caller: Caller) -> list[_Issue]:
        condition = re.search(r'\b(project|key)\s*=\s*"?([\w-]+)', jql, re.IGNORECASE)
        column, value = (condition[1].lower(), condition[2].upper()) if condition else ("", "")
        visible = self._visible(caller)
        with self._lock:
            issues = list(self._issues.values())
        found = []
        for issue in issues:
            project = issue["key"].partition("-")[0]
            columns = {"": "", "project": project, "key": issue["key"]}
            if project in visible and columns[column] == value:
                found.append(issue)
        return found

    def _search(self, call: Call) -> Response:
        if self.cloud:
            text = "The requested API has been removed. Please migrate to /rest/api/3/search/jql."
            return json_response(410, {"errorMessages": [text], "errors": {}})
        asked = _asked(call.request)
        start, length = _window_of(asked, "startAt", "maxResults")
        found = self._matching(str(asked.get("jql", "")), call.caller)
        page = found[start : start + length]
        return json_response(
            200,
            {
                "expand": "schema,names",
                "startAt": start,
                "maxResults": length,
                "total": len(found),
                "issues": [self._issue_bean(each, call.caller) for each in page],
            },
        )

    def _search_jql(self, call: Call) -> Response:
        asked = _asked(call.request)
        token = str(asked.get("nextPageToken") or "")
        if token and not token.startswith("page-"):
            return _invalid(nextPageToken="The token is not valid")
        _, length = _window_of(asked, "", "maxResults")
        start = int(token.removeprefix("page-") or 0)
        found = self._matching(str(asked.get("jql", "")), call.caller)
        page = found[start : start + length]
        last = start + length >= len(found)
        answer: dict[str, Any] = {
            "isLast": last,
            "issues": [self._issue_bean(each, call.caller) for each in page],
        }
        if not last:
            answer["nextPageToken"] = f"page-{start + length}"
        return json_response(200, answer)

    def _audit(self, call: Call) -> Response:
        start, length = _window(call.request, "offset", "limit")
        records = [
            {
                "id": number,
                "summary": "User added to group",
                "remoteAddress": "192.0.2.1",
                "authorKey": call.caller.name,
                "created": _CREATED,
                "category": "group management",
                "eventSource": "",
                "objectItem": {"name": "jira-users", "typeName": "GROUP"},
            }
            for number in range(_AUDIT_RECORDS, 0, -1)
        ]
        return json_response(
            200,
            {
                "offset": start,
                "limit": length,
                "total": len(records),
                "records": records[start : start + length],
            },
        )

    # -- attachments -------------------------------------------------------------------------------

    def _attachment_bean(self, attachment: Attachment, caller: Caller) -> dict[str, Any]:
        content = (
            f"{self._api}/attachment/content/{attachment.id}"
            if self.cloud
            else f"/secure/attachment/{attachment.id}/{quote(attachment.filename, safe='')}"
        )
        return {
            "self": f"{caller.base}{self._api}/attachment/{attachment.id}",
            "id": attachment.id,
            "filename": attachment.filename,
            "author": self._person(caller),
            "created": _CREATED,
            "size": attachment.length,
            "mimeType": attachment.content_type,
            "content": f"{caller.base}{content}",
        }

    def _attach(self, call: Call, issue: _Issue) -> Response:
        if refused := xsrf_refusal(call.request):
            return refused
        added = self.attachments.add(issue["key"], call.request)
        if not added:
            return _invalid(file="No file was sent")
        return json_response(200, [self._attachment_bean(each, call.caller) for each in added])

    def _seen(self, call: Call) -> Attachment | None:
        attachment = self.attachments.get(call["id"])
        if attachment and attachment.owner.partition("-")[0] in self._visible(call.caller):
            return attachment
        return None

    def _attachment(self, call: Call, found: Attachment) -> Response:
        return json_response(200, self._attachment_bean(found, call.caller))

    def _remove_attachment(self, call: Call, found: Attachment) -> Response:
        if call.caller.anonymous:
            return _missing(call.request)
        self.attachments.remove(found.id)
        return Response(204)

    def _content_elsewhere(self, _: Call, found: Attachment) -> Response:
        return redirect_response(found.link(self._media_url()), 303)

    def _content_here(self, _: Call, found: Attachment) -> Response:
        return found.response()


def _issue(project: str, number: int, total: int, fields: dict[str, Any]) -> _Issue:
    return {"id": str(10000 + total), "key": f"{project}-{number}", "fields": fields}


@cache
def _seeds() -> dict[str, _Issue]:
    """What every Jira begins with; made once, as many tests begin one."""
    names = [(project, n) for project, count in _SEEDS.items() for n in range(1, count + 1)]
    issues = (
        _issue(project, number, total, {"summary": f"Issue {number} of {project}"})
        for total, (project, number) in enumerate(names, 1)
    )
    return {issue["key"]: issue for issue in issues}


def _missing(request: Request) -> Response:
    return json_response(404, {"errorMessages": ["Not found"], "errors": {}})


def _no_issue(_: Request) -> Response:
    text = "Issue does not exist or you do not have permission to see it."
    return json_response(404, {"errorMessages": [text], "errors": {}})


def _invalid(**errors: str) -> Response:
    return json_response(400, {"errorMessages": [], "errors": errors})


def _asked(request: Request) -> dict[str, Any]:
    sent = request.json() if request.method == "POST" else None
    return sent if isinstance(sent, dict) else dict(reversed(request.query))


def _window_of(asked: dict[str, Any], start: str, length: str) -> tuple[int, int]:
    """Where a page begins and how long it is; nonsense counts as not given."""

    def number(name: str, default: int) -> int:
        value = str(asked.get(name, ""))
        return int(value) if value.isdecimal() else default

    return number(start, 0), min(number(length, _PAGE), _MAX_PAGE) or _PAGE


def _window(request: Request, start: str, length: str) -> tuple[int, int]:
    return _window_of(_asked(request), start, length)

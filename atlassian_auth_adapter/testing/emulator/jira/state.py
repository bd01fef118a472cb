"""What one Jira holds, and how its projects, issues and people look in answers.

Two projects: ACME, which anonymous people may read on Data Center, and SEC, which they may not.
Projects that a client makes are private too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Any
from urllib.parse import urlencode

from atlassian_auth_adapter.testing.emulator.accounts import ACCOUNT_NAME, EMAIL, people
from atlassian_auth_adapter.testing.emulator.attachments import Attachments
from atlassian_auth_adapter.testing.emulator.hosts import Call, Caller, Handler, logged_in_or
from atlassian_auth_adapter.testing.emulator.http import Request, Response, json_response

from .constants import DEFAULT_PRIORITY, DEFAULT_STATUS, DEFAULT_TYPE

PUBLIC_PROJECT, PRIVATE_PROJECT = "ACME", "SEC"
SEEDS = {PUBLIC_PROJECT: 120, PRIVATE_PROJECT: 5}  # more issues than one page holds
CREATED = "2026-01-15T09:30:00.000+0000"
API = r"/rest/api/(?:2|3|latest)"
_PAGE = 50  # default page length
_MAX_PAGE = 100

logged_in: Callable[[Handler], Handler] = logged_in_or(
    json_response(401, {"message": "Client must be authenticated to access this resource."})
)

Issue = dict[str, Any]  # "id", "key" and "fields"


@dataclass(slots=True, eq=False)
class Record:
    """Something that a client made; `owner` is the id of what it belongs to, or ""."""

    id: str
    owner: str
    fields: dict[str, Any]


class State:
    """What one Jira holds. Threads may share it: who changes something holds `lock`.

    Attributes:
        api: What links to resources begin with, after the URL of the server.
        projects: By key.
        issues: By key, in the order of their rank.
        people, groups: Display name and e-mail address, and members, by name (account id on Cloud).
        estimates: How much work is left, in seconds, by the id of the issue.
        records: Comments, versions, filters, ...: by their kind, then by their id.
        computed: Fields of an issue that are not kept with it, and what computes them.
    """

    def __init__(self, *, cloud: bool, media_url: Callable[[], str]) -> None:
        self.cloud = cloud
        self.media_url = media_url
        self.api = "/rest/api/3" if cloud else "/rest/api/2"
        self.lock: threading.RLock = threading.RLock()
        self.attachments: Attachments = Attachments()
        self.people: dict[str, tuple[str, str]] = people(cloud=cloud)
        administrator = next(iter(self.people))
        self.groups: dict[str, list[str]] = {
            "administrators" if cloud else "jira-administrators": [administrator],
            "jira-software-users": list(self.people),
        }
        self.projects: dict[str, dict[str, Any]] = {
            PUBLIC_PROJECT: {"id": "10000", "name": "Acme", "lead": administrator},
            PRIVATE_PROJECT: {"id": "10001", "name": "Security", "lead": administrator},
        }
        self.issues: dict[str, Issue] = {key: dict(issue) for key, issue in _seeds().items()}
        self.estimates: dict[str, int] = {}
        self.records: dict[str, dict[str, Record]] = {}
        self.computed: dict[str, Callable[[Issue, Caller], Any]] = {}
        self._counts = dict(SEEDS)
        self._ids = count(10200)

    def next_id(self) -> int:
        """A number that no other record of this Jira has."""
        with self.lock:
            return next(self._ids)

    def kept(self, kind: str, owner: str = "") -> list[Record]:
        """The records of a kind, oldest first; of one owner, or of all."""
        with self.lock:
            every = list(self.records.get(kind, {}).values())
        return [record for record in every if owner in ("", record.owner)]

    # -- people ------------------------------------------------------------------------------------

    def person(self, name: str, base: str) -> dict[str, Any]:
        """A person as issues and lists name them."""
        key, link = ("accountId", "accountId") if self.cloud else ("name", "username")
        display, email = self.people.get(name, (ACCOUNT_NAME, EMAIL))
        own = {"accountType": "atlassian"} if self.cloud else {"key": f"JIRAUSER-{name}"}
        return {
            "self": f"{base}{self.api}/user?{urlencode({link: name})}",
            key: name,
            **own,
            "emailAddress": email,
            "avatarUrls": {
                f"{size}x{size}": f"{base}/secure/useravatar?size={size}"
                for size in (48, 32, 24, 16)
            },
            "displayName": display,
            "active": True,
            "timeZone": "Europe/Berlin",
        }

    def person_named(self, sent: Any) -> str | None:
        """The name that a field holds: `{"name": "ada"}`, on Cloud `{"accountId": ...}`."""
        if not isinstance(sent, dict):
            return None
        return sent.get("accountId" if self.cloud else "name")

    def for_administrators(self, handler: Handler) -> Handler:
        """Limits a handler to the administrators."""

        @logged_in
        def answer(call: Call) -> Response:
            if call.caller.name not in next(iter(self.groups.values())):
                raise InvalidError("Only administrators may do this.", 403)
            return handler(call)

        return answer

    # -- projects ----------------------------------------------------------------------------------

    def visible(self, caller: Caller) -> list[str]:
        """The keys of the projects that the caller may see."""
        with self.lock:
            return [key for key in self.projects if not caller.anonymous or key == PUBLIC_PROJECT]

    def project_key(self, named: Any, caller: Caller) -> str | None:
        """The key of the project with this key or id, if the caller may see it."""
        with self.lock:
            return next(
                (
                    key
                    for key in self.visible(caller)
                    if str(named) in (key, self.projects[key]["id"])
                ),
                None,
            )

    def project_of(self, call: Call) -> str | None:
        """The key of the project that the path names."""
        return self.project_key(call["key"], call.caller)

    def project_bean(self, key: str, base: str) -> dict[str, Any]:
        """A project as issues and lists name it."""
        project = self.projects[key]
        return {
            "self": f"{base}{self.api}/project/{project['id']}",
            "id": project["id"],
            "key": key,
            "name": project["name"],
            "projectTypeKey": "software",
            "avatarUrls": {"48x48": f"{base}/secure/projectavatar?pid={project['id']}"},
        }

    # -- issues ------------------------------------------------------------------------------------

    def new_issue(self, project: str, fields: dict[str, Any]) -> Issue:
        """An issue with the next number of its project."""
        with self.lock:
            self._counts[project] = self._counts.get(project, 0) + 1
            issue = _issue(project, self._counts[project], self.next_id(), fields)
            self.issues[issue["key"]] = issue
        return issue

    def issue(self, named: str) -> Issue | None:
        """The issue with this key or id."""
        with self.lock:
            return self.issues.get(named) or next(
                (each for each in self.issues.values() if each["id"] == named), None
            )

    def issue_of(self, call: Call) -> Issue | None:
        """The issue that the path names, if the caller may see it."""
        issue = self.issue(call["key"])
        return issue if issue and project_of(issue) in self.visible(call.caller) else None

    def issue_bean(self, issue: Issue, caller: Caller, wanted: set[str]) -> dict[str, Any]:
        """An issue with the fields that are wanted; none: with all."""
        project = project_of(issue)
        base = caller.base
        lead = self.person(self.projects[project]["lead"], base)
        every: dict[str, Any] = {
            "description": None,
            "labels": [],
            "issuetype": DEFAULT_TYPE,
            "status": DEFAULT_STATUS,
            "priority": DEFAULT_PRIORITY,
            "resolution": None,
            "assignee": None,
            "reporter": lead,
            "creator": lead,
            "created": CREATED,
            "updated": CREATED,
            "components": [],
            "fixVersions": [],
            "versions": [],
            "subtasks": [],
            "progress": {"progress": 0, "total": 0},
            **issue["fields"],
            "project": self.project_bean(project, base),
        }
        if not wanted or wanted & {"*all", "*navigable"}:
            wanted = {*every, *self.computed}
        shown = {name: value for name, value in every.items() if name in wanted}
        shown |= {
            name: compute(issue, caller)
            for name, compute in self.computed.items()
            if name in wanted
        }
        return {
            "expand": "renderedFields,names,schema",
            "id": issue["id"],
            "self": f"{base}{self.api}/issue/{issue['id']}",
            "key": issue["key"],
            "fields": shown,
        }


def project_of(issue: Issue) -> str:
    """The key of an issue's project."""
    return str(issue["key"]).partition("-")[0]


def _issue(project: str, number: int, total: int, fields: dict[str, Any]) -> Issue:
    return {"id": str(total), "key": f"{project}-{number}", "fields": fields}


@cache
def _seeds() -> dict[str, Issue]:
    """What every Jira begins with; made once, as many tests begin one."""
    names = [(project, n) for project, total in SEEDS.items() for n in range(1, total + 1)]
    issues = (
        _issue(project, number, total, {"summary": f"Issue {number} of {project}"})
        for total, (project, number) in enumerate(names, 10001)
    )
    return {issue["key"]: issue for issue in issues}


# -- answers ---------------------------------------------------------------------------------------


def missing(_: Request) -> Response:
    """There is no such thing, or the caller may not see it."""
    return InvalidError("Not found", 404).response


def no_issue(_: Request) -> Response:
    """There is no such issue, or the caller may not see it."""
    text = "Issue does not exist or you do not have permission to see it."
    return InvalidError(text, 404).response


class InvalidError(Exception):
    """A request that is answered with an error in Jira's shape.

    Args:
        text: What is wrong.
        status: Of the answer.
        field: The field that it is about; "": the request as a whole.
    """

    def __init__(self, text: str, status: int = 400, *, field: str = "") -> None:
        super().__init__(text)
        texts, errors = ([], {field: text}) if field else ([text], {})
        self.content: dict[str, Any] = {"errorMessages": texts, "errors": errors}
        self.response: Response = json_response(status, self.content)


def asked(request: Request) -> dict[str, Any]:
    """The parameters of a search: the body of a POST, or the query."""
    sent = request.json() if request.method == "POST" else None
    return sent if isinstance(sent, dict) else dict(reversed(request.query))


def body(request: Request) -> dict[str, Any]:
    """The JSON object that was sent; empty for anything else."""
    sent = request.json()
    return sent if isinstance(sent, dict) else {}


def window_of(parameters: dict[str, Any], start: str, length: str) -> tuple[int, int]:
    """Where a page begins and how long it is; nonsense counts as not given."""

    def number(name: str, default: int) -> int:
        value = str(parameters.get(name, ""))
        return int(value) if value.isdecimal() else default

    return number(start, 0), min(number(length, _PAGE), _MAX_PAGE) or _PAGE


def window(request: Request) -> tuple[int, int]:
    """The same for a request with the usual names."""
    return window_of(asked(request), "startAt", "maxResults")


def page(request: Request, name: str, found: list[Any], **more: Any) -> Response:
    """One page of a list that stands under `name`."""
    start, length = window(request)
    last = start + length >= len(found)
    counts = {"startAt": start, "maxResults": length, "total": len(found), "isLast": last}
    return json_response(200, {**more, **counts, name: found[start : start + length]})

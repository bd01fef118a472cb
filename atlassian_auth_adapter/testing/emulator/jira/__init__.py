"""Jira's REST resources for both flavours, in memory.

Field names and types are those of the Jira Cloud OpenAPI document and of Jira Data Center's REST
API 2; values are made up. Of JQL, projects and keys are interpreted.

Reading order: `state.py` (what a Jira holds), `constants.py` (lists that never change),
`collections.py` and `kinds.py` (what clients make), then what is special: `issues.py`,
`issue_parts.py`, `files.py`, `properties.py`, `projects.py`, `people.py`, `agile.py`,
`dashboards.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from atlassian_auth_adapter.testing.emulator.echo import ECHO
from atlassian_auth_adapter.testing.emulator.hosts import Call, Caller, Routes, Row
from atlassian_auth_adapter.testing.emulator.http import Request, Response, json_response

from .agile import Agile
from .collections import Collection
from .constants import CUSTOM_FIELDS, constant_rows, field_beans, number
from .dashboards import Dashboards
from .files import Files
from .issue_parts import IssueParts
from .issues import Issues
from .kinds import kinds
from .people import People
from .projects import Projects
from .properties import Properties
from .state import API, CREATED, InvalidError, State, body, logged_in, missing, page, window_of

_AUDIT_RECORDS = 25
_APPLICATION_LINKS = r"/rest/applinks/(?:1\.0|latest)/listApplicationlinks"
_PROPERTIES = {"jira.lf.text.headingcolour": "#172b4d", "jira.lf.favicon.hires.url": "/favicon.png"}


class Topic(Protocol):
    """What serves some of the resources."""

    def rows(self) -> list[Row]:
        """Its routes."""


class Jira:
    """One Jira: a Cloud site's, or the Data Center server's. Threads may share it."""

    def __init__(self, *, cloud: bool, media_url: Callable[[], str] = str) -> None:
        self.cloud = cloud
        state = State(cloud=cloud, media_url=media_url)
        self.attachments = state.attachments
        self._properties = dict(_PROPERTIES)
        collections = {kind.name: Collection(kind, state) for kind in kinds(cloud=cloud)}
        topics: tuple[Topic, ...] = (
            Files(state),
            Issues(state),
            IssueParts(state, collections),
            Projects(state),
            People(state),
            Agile(state),
            Properties(state),
            Dashboards(state, collections),
            *collections.values(),
        )
        self._routes = Routes(
            missing,
            *ECHO,
            *self._rows(state),
            *constant_rows(API, state.api, lambda call: missing(call.request)),
            *(row for topic in topics for row in topic.rows()),
        )

    def answer(self, request: Request, caller: Caller) -> Response:
        """The answer to a request below the product's root."""
        try:
            return self._routes.answer(request, caller)
        except InvalidError as invalid:
            return invalid.response

    def _rows(self, state: State) -> list[Row]:
        administrator, properties = state.for_administrators, f"{API}/application-properties"
        rows: list[Row] = [
            ("GET", f"{API}/serverInfo", self._server_info),
            ("GET", f"{API}/field", _fields),
            ("GET", properties, administrator(self._read_properties)),
            ("PUT", f"{properties}/(?P<key>.+)", administrator(self._set_property)),
            ("GET", f"{API}/auditing/record", logged_in(_audit)),
        ]
        if not self.cloud:
            rows += [
                ("GET", f"{API}/customFields", logged_in(_custom_fields)),
                ("GET", r"/rest/auth/1/session", _session),
                (
                    "GET",
                    r"/rest/applinks/(?:1\.0|latest)/listApplicationlinks",
                    administrator(_links),
                ),
            ]
        return rows

    def _server_info(self, call: Call) -> Response:
        return json_response(
            200,
            {
                "baseUrl": call.caller.base,
                "version": "1001.0.0-SNAPSHOT" if self.cloud else "9.12.2",
                "versionNumbers": [1001, 0, 0] if self.cloud else [9, 12, 2],
                "deploymentType": "Cloud" if self.cloud else "Server",
                "buildNumber": 100290 if self.cloud else 9120002,
                "buildDate": CREATED,
                "serverTime": CREATED,
                "scmInfo": "emulator",
                "serverTitle": "Jira",
            },
        )

    def _read_properties(self, call: Call) -> Response:
        wanted = call.request.first("key")
        every = [
            {"id": key, "key": key, "name": key, "type": "string", "value": value}
            for key, value in self._properties.items()
        ]
        if not wanted:
            return json_response(200, every)
        found = [each for each in every if each["key"] == wanted]
        return json_response(200, found[0]) if found else missing(call.request)

    def _set_property(self, call: Call) -> Response:
        key = call["key"]
        if key not in self._properties:
            raise InvalidError(f"There is no application property '{key}'.", 404)
        self._properties[key] = str(body(call.request).get("value", ""))
        return json_response(200, {"id": key, "key": key, "value": self._properties[key]})


def _session(call: Call) -> Response:
    # A resource for cookies: OAuth bearers do not open it.
    if call.caller.anonymous or call.caller.scopes is not None:
        return json_response(401, {"errorMessages": ["You are not logged in."], "errors": {}})
    return json_response(
        200,
        {
            "self": f"{call.caller.base}/rest/api/latest/user?username={call.caller.name}",
            "name": call.caller.name,
            "loginInfo": {"loginCount": 1, "previousLoginTime": CREATED},
        },
    )


def _links(_: Call) -> Response:
    """The application links: there are none."""
    return json_response(200, {"list": []})


def _fields(_: Call) -> Response:
    return json_response(200, field_beans())


def _custom_fields(call: Call) -> Response:
    found = [
        {"id": key, "name": name, "numericId": number(key), "type": kind}
        for key, name, kind in CUSTOM_FIELDS
    ]
    return page(call.request, "values", found)


def _audit(call: Call) -> Response:
    start, length = window_of(dict(reversed(call.request.query)), "offset", "limit")
    records: list[dict[str, Any]] = [
        {
            "id": serial,
            "summary": "User added to group",
            "remoteAddress": "192.0.2.1",
            "authorKey": call.caller.name,
            "created": CREATED,
            "category": "group management",
            "eventSource": "",
            "objectItem": {"name": "jira-users", "typeName": "GROUP"},
        }
        for serial in range(_AUDIT_RECORDS, 0, -1)
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

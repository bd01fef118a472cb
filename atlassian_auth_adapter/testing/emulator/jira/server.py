"""What a Jira says of itself: its version, fields, settings, audit log, session."""

from __future__ import annotations

from typing import Any

from atlassian_auth_adapter.testing.emulator.hosts import Call, Row
from atlassian_auth_adapter.testing.emulator.http import Response, json_response

from .constants import CUSTOM_FIELDS, field_beans, number
from .state import API, CREATED, InvalidError, State, body, logged_in, missing, page, window_of

_AUDIT_RECORDS = 25
_APPLICATION_LINKS = r"/rest/applinks/(?:1\.0|latest)/listApplicationlinks"
_PROPERTIES = {"jira.lf.text.headingcolour": "#172b4d", "jira.lf.favicon.hires.url": "/favicon.png"}


class Server:
    """Threads may share it."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._properties = dict(_PROPERTIES)

    def rows(self) -> list[Row]:
        """Its routes."""
        state = self._state
        administrator, properties = state.for_administrators, f"{API}/application-properties"
        rows: list[Row] = [
            ("GET", f"{API}/serverInfo", self._server_info),
            ("GET", f"{API}/field", _fields),
            ("GET", properties, administrator(self._read_properties)),
            ("PUT", f"{properties}/(?P<key>.+)", administrator(self._set_property)),
            ("GET", f"{API}/auditing/record", logged_in(_audit)),
        ]
        if not self._state.cloud:
            rows += [
                ("GET", f"{API}/customFields", logged_in(_custom_fields)),
                ("GET", r"/rest/auth/1/session", _session),
                ("GET", _APPLICATION_LINKS, administrator(_links)),
            ]
        return rows

    def _server_info(self, call: Call) -> Response:
        return json_response(
            200,
            {
                "baseUrl": call.caller.base,
                "version": "1001.0.0-SNAPSHOT" if self._state.cloud else "9.12.2",
                "versionNumbers": [1001, 0, 0] if self._state.cloud else [9, 12, 2],
                "deploymentType": "Cloud" if self._state.cloud else "Server",
                "buildNumber": 100290 if self._state.cloud else 9120002,
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
    """The application links: an empty list."""
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

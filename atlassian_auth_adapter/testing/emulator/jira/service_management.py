"""Jira Service Management on Cloud: alerts of Ops, forms of an issue, schemas of Assets.

The paths are those for an OAuth token, below `/ex/jira/{cloudId}`. A site has one workspace.
Source: developer.atlassian.com/cloud/jira/service-desk-ops, .../cloud/forms and .../cloud/assets,
read 2026-11-27.
"""

from __future__ import annotations

from atlassian_auth_adapter.testing.emulator.hosts import Call, Row
from atlassian_auth_adapter.testing.emulator.http import Response, json_response

from .state import CREATED, State, logged_in

_WORKSPACE = "5f2a7d7e-1f0b-4a53-9d42-0b3f5f3a9c11"
_FORM = "8d3a5a52-7b4f-4f0e-8f0a-3f2b5c1d9e77"


class ServiceManagement:
    """Threads may share it."""

    def __init__(self, state: State) -> None:
        self._state = state

    def rows(self) -> list[Row]:
        """Its routes."""
        if not self._state.cloud:
            return []
        rows: tuple[Row, ...] = (
            ("GET", r"/rest/servicedeskapi/assets/workspace", _workspaces),
            ("GET", r"/jsm/ops/api/v1/alerts", _alerts),
            ("GET", r"/forms/issue/[^/]+/form", _forms),
            ("GET", rf"/jsm/assets/workspace/{_WORKSPACE}/v1/objectschema/list", _schemas),
        )
        return [(methods, path, logged_in(handler)) for methods, path, handler in rows]


def _workspaces(_: Call) -> Response:
    values = [{"workspaceId": _WORKSPACE}]
    return json_response(
        200, {"size": 1, "start": 0, "limit": 50, "isLastPage": True, "values": values}
    )


def _alerts(_: Call) -> Response:
    alert = {"id": "alert-1", "tinyId": "1", "message": "Disk is full", "status": "open"}
    return json_response(200, {"values": [{**alert, "createdAt": CREATED}], "count": 1})


def _forms(_: Call) -> Response:
    form = {"id": _FORM, "name": "Request", "internal": False, "submitted": True, "lock": False}
    return json_response(200, [{**form, "updated": CREATED}])


def _schemas(_: Call) -> Response:
    values = [{"id": "1", "name": "Computers", "objectSchemaKey": "PC", "status": "Ok"}]
    return json_response(
        200, {"startAt": 0, "maxResults": 25, "total": 1, "values": values, "isLast": True}
    )

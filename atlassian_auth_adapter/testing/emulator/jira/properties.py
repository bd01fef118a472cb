"""Entity properties of issues, projects and items of dashboards: any JSON value under a name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from atlassian_auth_adapter.testing.emulator.hosts import Call, Row, found_or
from atlassian_auth_adapter.testing.emulator.http import Response, json_response

from .state import API, InvalidError, State, logged_in, missing


class Properties:
    """Threads may share it."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._kept: dict[str, dict[str, Any]] = {}  # by the path of the owner, then by name

    def rows(self) -> list[Row]:
        """Their routes."""
        owners: dict[str, Callable[[Call], str | None]] = {
            r"issue/(?P<key>[^/]+)": self._issue,
            r"project/(?P<key>[^/]+)": self._project,
            r"dashboard/(?P<key>\d+)/items/(?P<item>\d+)": self._item,
        }
        rows: list[Row] = []
        for path, owner in owners.items():
            every, found = f"{API}/{path}/properties", found_or(missing, owner)
            one = rf"{every}/(?P<name>[^/]+)"
            rows += [
                ("GET", every, found(self._list)),
                ("GET", one, found(self._read)),
                ("PUT", one, logged_in(found(self._put))),
                ("DELETE", one, logged_in(found(self._drop))),
            ]
        return rows

    # -- owners: their path below the API ----------------------------------------------------------

    def _issue(self, call: Call) -> str | None:
        issue = self._state.issue_of(call)
        return f"issue/{issue['id']}" if issue else None

    def _project(self, call: Call) -> str | None:
        key = self._state.project_of(call)
        return f"project/{key}" if key else None

    def _item(self, call: Call) -> str | None:
        gadget = self._state.records["gadget"].get(call["item"])
        if call.caller.anonymous or gadget is None or gadget.owner != call["key"]:
            return None
        return f"dashboard/{gadget.owner}/items/{gadget.id}"

    # -- handlers ----------------------------------------------------------------------------------

    def _of(self, owner: str) -> dict[str, Any]:
        return self._kept.setdefault(owner, {})

    def _list(self, call: Call, owner: str) -> Response:
        here = f"{call.caller.base}{self._state.api}/{owner}/properties"
        keys = [{"self": f"{here}/{name}", "key": name} for name in self._of(owner)]
        return json_response(200, {"keys": keys})

    def _read(self, call: Call, owner: str) -> Response:
        name, every = call["name"], self._of(owner)
        if name not in every:
            raise InvalidError(f"The property {name} does not exist.", 404)
        return json_response(200, {"key": name, "value": every[name]})

    def _put(self, call: Call, owner: str) -> Response:
        every = self._of(owner)
        status = 200 if call["name"] in every else 201
        every[call["name"]] = call.request.json()
        return Response(status)

    def _drop(self, call: Call, owner: str) -> Response:
        gone = self._of(owner).pop(call["name"], None)
        return missing(call.request) if gone is None else Response(204)

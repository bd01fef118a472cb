"""What dashboards of Cloud have beside their collection: gadgets to choose from, and copies."""

from __future__ import annotations

from collections.abc import Mapping

from atlassian_auth_adapter.testing.emulator.hosts import Call, Row, found_or
from atlassian_auth_adapter.testing.emulator.http import Response, json_response

from .collections import Collection
from .state import API, Record, State, body, logged_in, missing

_GADGETS = ("Filter Results", "Activity Stream", "Assigned to Me")


class Dashboards:
    """Threads may share it."""

    def __init__(self, state: State, collections: Mapping[str, Collection]) -> None:
        self._state = state
        self._collections = collections
        system = Record("10000", "", {"name": "System Dashboard", "sharePermissions": []})
        state.records["dashboard"][system.id] = system

    def rows(self) -> list[Row]:
        """Their routes; Data Center has none of them."""
        if not self._state.cloud:
            return []
        dashboard = found_or(missing, self._found)
        return [
            ("GET", f"{API}/dashboard/gadgets", logged_in(_gadgets)),
            ("POST", rf"{API}/dashboard/(?P<key>\d+)/copy", logged_in(dashboard(self._copy))),
        ]

    def _found(self, call: Call) -> Record | None:
        return self._state.records["dashboard"].get(call["key"])

    def _copy(self, call: Call, original: Record) -> Response:
        """With all gadgets; what was sent goes before what the original has."""
        copy = Record(str(self._state.next_id()), "", original.fields | body(call.request))
        with self._state.lock:
            self._state.records["dashboard"][copy.id] = copy
            for gadget in self._state.kept("gadget", original.id):
                number = str(self._state.next_id())
                added = Record(number, copy.id, gadget.fields)
                self._state.records["gadget"][number] = added
        return json_response(200, self._collections["dashboard"].bean(copy, call.caller.base))


def _gadgets(_: Call) -> Response:
    """Those that Jira brings along."""
    found = [
        {"title": title, "uri": f"rest/gadgets/1.0/g/{number}/gadget.xml"}
        for number, title in enumerate(_GADGETS)
    ]
    return json_response(200, {"gadgets": found})

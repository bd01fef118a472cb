"""Jira Software: issues in sprints, epics and ranks. Boards and sprints are in `kinds.py`."""

from __future__ import annotations

from typing import Any

from atlassian_auth_adapter.testing.emulator.hosts import Call, Caller, Row, found_or
from atlassian_auth_adapter.testing.emulator.http import Response

from .collections import AGILE
from .constants import SPRINT
from .state import Issue, Record, State, body, logged_in, missing


class Agile:
    """Threads may share it."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._sprints: dict[str, str] = {}  # id of the sprint by that of the issue
        self._epics: dict[str, str] = {}
        state.computed[SPRINT] = self._sprint

    def rows(self) -> list[Row]:
        """Its routes."""
        sprint = found_or(missing, self._sprint_of)
        return [
            ("POST", rf"{AGILE}/sprint/(?P<key>\d+)/issue", logged_in(sprint(self._plan))),
            ("POST", f"{AGILE}/backlog/issue", logged_in(self._put_back)),
            ("POST", rf"{AGILE}/epic/(?P<key>[^/]+)/issue", logged_in(self._to_epic)),
            ("PUT", f"{AGILE}/issue/rank", logged_in(self._rank)),
        ]

    def _sprint_of(self, call: Call) -> Record | None:
        return self._state.records["sprint"].get(call["key"])

    def _named(self, call: Call) -> list[Issue]:
        """The issues in the body that the caller may see."""
        names = body(call.request).get("issues") or []
        found = (self._state.issue(str(name)) for name in names)
        return [issue for issue in found if issue]

    def _sprint(self, issue: Issue, _: Caller) -> Any:
        """The field of an issue: a text on Data Center, which programs take apart."""
        sprint = self._state.records["sprint"].get(self._sprints.get(issue["id"], ""))
        if sprint is None:
            return None
        name, state = sprint.fields["name"], sprint.fields["state"]
        if self._state.cloud:
            return [{"id": int(sprint.id), "name": name, "state": state}]
        values = f"id={sprint.id},rapidViewId={sprint.owner},state={state.upper()},name={name}"
        return [f"com.atlassian.greenhopper.service.sprint.Sprint@1f[{values}]"]

    def _plan(self, call: Call, sprint: Record) -> Response:
        with self._state.lock:
            self._sprints |= {issue["id"]: sprint.id for issue in self._named(call)}
        return Response(204)

    def _put_back(self, call: Call) -> Response:
        with self._state.lock:
            for issue in self._named(call):
                self._sprints.pop(issue["id"], None)
        return Response(204)

    def _to_epic(self, call: Call) -> Response:
        epic = self._state.issue_of(call)
        if epic is None:
            return missing(call.request)
        with self._state.lock:
            self._epics |= {issue["id"]: epic["id"] for issue in self._named(call)}
        return Response(204)

    def _rank(self, call: Call) -> Response:
        """Issues move right before or after another one: searches find them in this order."""
        sent = body(call.request)
        before = self._state.issue(str(sent.get("rankBeforeIssue")))
        after = self._state.issue(str(sent.get("rankAfterIssue")))
        beside = before or after
        if beside is None:
            return missing(call.request)
        moved = self._named(call)
        with self._state.lock:
            others = [each for each in self._state.issues.values() if each not in moved]
            at = others.index(beside) + (0 if before else 1)
            ranked = [*others[:at], *moved, *others[at:]]
            self._state.issues = {each["key"]: each for each in ranked}
        return Response(204)

"""What hangs on an issue and is no collection: votes, watchers, pinned comments.

And the fields of an issue that collections fill.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from atlassian_auth_adapter.testing.emulator.hosts import Call, Caller, Row, found_or
from atlassian_auth_adapter.testing.emulator.http import Response, json_response

from .collections import Collection
from .issues import ISSUE
from .kinds import duration
from .state import InvalidError, Issue, Record, State, logged_in, missing, no_issue

_COMMENT = rf"{ISSUE}/comment/(?P<id>\d+)"


@dataclass(frozen=True, slots=True)
class Supporters:
    """People who have put their names to an issue: the names in the answer at `path`."""

    path: str
    field: str
    total: str
    mine: str
    people: str


_SUPPORTERS = (
    Supporters("votes", "votes", "votes", "hasVoted", "voters"),
    Supporters("watchers", "watches", "watchCount", "isWatching", "watchers"),
)


class IssueParts:
    """Threads may share it."""

    def __init__(self, state: State, collections: Mapping[str, Collection]) -> None:
        self._state = state
        self._collections = collections
        self._supporters: dict[tuple[str, str], list[str]] = {}  # by path and id of the issue
        self._pins: dict[str, Record] = {}  # comments by their id
        state.computed |= {
            "comment": partial(self._list, "comment", "comments"),
            "worklog": partial(self._list, "worklog", "worklogs"),
            "issuelinks": self._links,
            "timetracking": self._time,
            **{each.field: partial(self._summary, each) for each in _SUPPORTERS},
        }

    def rows(self) -> list[Row]:
        """Their routes."""
        issue = found_or(no_issue, self._state.issue_of)
        rows: list[Row] = [
            ("PUT", f"{_COMMENT}/pin", logged_in(issue(self._pin))),
            ("GET", f"{ISSUE}/pinned-comments", issue(self._pinned)),
            ("DELETE", f"{ISSUE}/remotelink", logged_in(issue(self._unlink))),
        ]
        for each in _SUPPORTERS:
            path = f"{ISSUE}/{each.path}"
            rows += [
                ("GET", path, logged_in(issue(partial(self._people, each)))),
                ("POST", path, logged_in(issue(partial(self._support, each)))),
                ("DELETE", path, logged_in(issue(partial(self._withdraw, each)))),
            ]
        return rows

    # -- fields of an issue ------------------------------------------------------------------------

    def _list(self, kind: str, under: str, issue: Issue, caller: Caller) -> dict[str, Any]:
        found = [
            self._collections[kind].bean(record, caller.base)
            for record in self._state.kept(kind, issue["id"])
        ]
        return {under: found, "startAt": 0, "maxResults": len(found), "total": len(found)}

    def _links(self, issue: Issue, caller: Caller) -> list[dict[str, Any]]:
        """Each link with its other end."""
        found = []
        for record in self._state.kept("issueLink"):
            bean = self._collections["issueLink"].bean(record, caller.base)
            ends = [
                end for end in ("inwardIssue", "outwardIssue") if bean[end]["id"] != issue["id"]
            ]
            if len(ends) == 1:
                found.append({name: bean[name] for name in ("id", "self", "type", *ends)})
        return found

    def _time(self, issue: Issue, _: Caller) -> dict[str, Any]:
        left = self._state.estimates.get(issue["id"])
        if left is None:
            return {}
        return {"remainingEstimate": duration(left), "remainingEstimateSeconds": left}

    # -- votes and watchers ------------------------------------------------------------------------

    def _names(self, kind: Supporters, issue: Issue) -> list[str]:
        return self._supporters.setdefault((kind.path, issue["id"]), [])

    def _summary(self, kind: Supporters, issue: Issue, caller: Caller) -> dict[str, Any]:
        names = self._names(kind, issue)
        own = f"{caller.base}{self._state.api}/issue/{issue['key']}/{kind.path}"
        return {"self": own, kind.total: len(names), kind.mine: caller.name in names}

    def _people(self, kind: Supporters, call: Call, issue: Issue) -> Response:
        names = self._names(kind, issue)
        people = [self._state.person(name, call.caller.base) for name in names]
        summary = self._summary(kind, issue, call.caller)
        return json_response(200, {**summary, kind.people: people})

    def _support(self, kind: Supporters, call: Call, issue: Issue) -> Response:
        name = call.request.json() or call.caller.name
        if name not in self._state.people:
            raise InvalidError(f"User '{name}' does not exist.")
        with self._state.lock:
            names = self._names(kind, issue)
            if name not in names:
                names.append(name)
        return Response(204)

    def _withdraw(self, kind: Supporters, call: Call, issue: Issue) -> Response:
        key = "accountId" if self._state.cloud else "username"
        name = call.request.first(key, call.caller.name)
        with self._state.lock:
            names = self._names(kind, issue)
            if name in names:
                names.remove(name)
        return Response(204)

    # -- comments and links ------------------------------------------------------------------------

    def _pin(self, call: Call, issue: Issue) -> Response:
        comments = {each.id: each for each in self._state.kept("comment", issue["id"])}
        comment = comments.get(call["id"])
        if comment is None:
            return missing(call.request)
        with self._state.lock:
            self._pins.pop(comment.id, None)
            if call.request.json():
                self._pins[comment.id] = comment
        return Response(204)

    def _pinned(self, call: Call, issue: Issue) -> Response:
        base = call.caller.base
        with self._state.lock:
            found = [each for each in self._pins.values() if each.owner == issue["id"]]
        comments = self._collections["comment"]
        return json_response(
            200,
            [
                {"comment": comments.bean(each, base), "pinnedBy": each.fields["author"]}
                for each in found
            ],
        )

    def _unlink(self, call: Call, issue: Issue) -> Response:
        wanted = call.request.first("globalId")
        for record in self._state.kept("remotelink", issue["id"]):
            if record.fields.get("globalId") == wanted:
                with self._state.lock:
                    self._state.records["remotelink"].pop(record.id, None)
                return Response(204)
        return missing(call.request)

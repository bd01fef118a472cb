"""Issues: made, read, changed, searched, moved along; what their screens have."""

from __future__ import annotations

import re
from typing import Any

from atlassian_auth_adapter.testing.emulator.hosts import Call, Caller, Row, found_or
from atlassian_auth_adapter.testing.emulator.http import Request, Response, json_response

from .constants import PRIORITIES, RESOLUTIONS, STATUSES, TYPES, field_beans, field_meta, named
from .state import (
    API,
    InvalidError,
    Issue,
    State,
    asked,
    body,
    logged_in,
    missing,
    no_issue,
    page,
    project_of,
    window_of,
)

ISSUE = rf"{API}/issue/(?P<key>[^/]+)"
_CREATEMETA = rf"{API}/issue/createmeta"
_LONGEST_TARGET = 8192  # bytes of a request line, as Data Center's Tomcat is set up
# Fields whose values stand in a list, and what is said of one that does not.
_LISTS = {
    "issuetype": (TYPES, "issue type is required"),
    "priority": (PRIORITIES, "The priority selected is invalid."),
}


class Issues:
    """The resources of issues."""

    def __init__(self, state: State) -> None:
        self._state = state

    def rows(self) -> list[Row]:
        """Their routes."""
        issue = found_or(no_issue, self._state.issue_of)
        project = found_or(missing, self._state.project_of)
        rows: list[Row] = []
        if self._state.cloud:
            rows += [
                ("GET POST", f"{API}/search/jql", self._search_jql),
                ("GET", _CREATEMETA, logged_in(self._createmeta)),  # gone since Data Center 9.0
            ]
        return [
            *rows,
            ("POST", f"{API}/issue", logged_in(self._create)),
            ("POST", f"{API}/issue/bulk", logged_in(self._create_many)),
            ("GET", rf"{_CREATEMETA}/(?P<key>[^/]+)/issuetypes", project(self._types)),
            ("GET", rf"{_CREATEMETA}/(?P<key>[^/]+)/issuetypes/\d+", project(self._fields_of_type)),
            ("GET", ISSUE, issue(self._read)),
            ("PUT", ISSUE, logged_in(issue(self._update))),
            ("DELETE", ISSUE, logged_in(issue(self._delete))),
            ("PUT", f"{ISSUE}/assignee", logged_in(issue(self._assign))),
            ("GET", f"{ISSUE}/editmeta", logged_in(issue(self._editmeta))),
            ("GET", f"{ISSUE}/transitions", logged_in(issue(self._transitions))),
            ("POST", f"{ISSUE}/transitions", logged_in(issue(self._transition))),
            ("GET POST", f"{API}/search", self._search),
        ]

    # -- what is sent ------------------------------------------------------------------------------

    def _kept(self, sent: dict[str, Any], project: str, caller: Caller) -> dict[str, Any]:
        """The fields to keep: names become what they name."""
        kept = {name: value for name, value in sent.items() if name != "project"}
        for name, (entries, problem) in _LISTS.items():
            if kept.get(name):
                kept[name] = named(entries, kept[name])
                if kept[name] is None:
                    raise InvalidError(problem, field=name)
        for label in kept.get("labels") or ():
            if re.search(r"\s", str(label)):
                text = f"The label '{label}' contains spaces which is invalid."
                raise InvalidError(text, field="labels")
        for name in ("assignee", "reporter"):
            if name in kept:
                kept[name] = self._person(name, kept[name], project, caller)
        return kept

    def _person(self, field: str, sent: Any, project: str, caller: Caller) -> dict[str, Any] | None:
        name = self._state.person_named(sent)
        if name == "-1":  # "automatic"
            name = self._state.projects[project]["lead"]
        if name is None:
            return None
        if name not in self._state.people:
            raise InvalidError(f"User '{name}' does not exist.", field=field)
        return self._state.person(name, caller.base)

    def _made(self, sent: Any, caller: Caller) -> dict[str, Any]:
        """A new issue, and the links to it."""
        fields = sent.get("fields") if isinstance(sent, dict) else None
        if not isinstance(fields, dict) or not fields.get("summary"):
            raise InvalidError("You must specify a summary of the issue.", field="summary")
        project = fields.get("project")
        named_by = project if isinstance(project, dict) else {}
        key = self._state.project_key(named_by.get("key") or named_by.get("id"), caller)
        if key is None:
            raise InvalidError("Specify a valid project ID or key", field="project")
        myself = self._state.person(caller.name, caller.base)
        kept = {"reporter": myself, "creator": myself} | self._kept(fields, key, caller)
        issue = self._state.new_issue(key, kept)
        own = f"{caller.base}{self._state.api}/issue/{issue['id']}"
        return {"id": issue["id"], "key": issue["key"], "self": own}

    # -- one issue ---------------------------------------------------------------------------------

    def _create(self, call: Call) -> Response:
        return json_response(201, self._made(body(call.request), call.caller))

    def _create_many(self, call: Call) -> Response:
        made: list[Any] = []
        errors: list[Any] = []
        for number, sent in enumerate(body(call.request).get("issueUpdates", [])):
            try:
                made.append(self._made(sent, call.caller))
            except InvalidError as invalid:
                problem = {"status": 400, "elementErrors": invalid.content}
                errors.append({**problem, "failedElementNumber": number})
        return json_response(201 if made else 400, {"issues": made, "errors": errors})

    def _bean(self, issue: Issue, call: Call) -> dict[str, Any]:
        expand = str(asked(call.request).get("expand") or "")
        bean = self._state.issue_bean(issue, call.caller, _asked_fields(call.request))
        if "changelog" in expand:
            bean["changelog"] = {"startAt": 0, "maxResults": 0, "total": 0, "histories": []}
        if "editmeta" in expand:
            bean["editmeta"] = {"fields": field_meta()}
        if "schema" in expand:
            bean["schema"] = {field["id"]: field["schema"] for field in field_beans()}
        return bean

    def _read(self, call: Call, issue: Issue) -> Response:
        return json_response(200, self._bean(issue, call))

    def _update(self, call: Call, issue: Issue) -> Response:
        sent = body(call.request)
        changes = _operations(issue["fields"], sent.get("update") or {})
        changes |= sent.get("fields") or {}
        self._change(issue, self._kept(changes, project_of(issue), call.caller))
        return Response(204)

    def _change(self, issue: Issue, changes: dict[str, Any]) -> None:
        with self._state.lock:
            issue["fields"] = {**issue["fields"], **changes}

    def _delete(self, _: Call, issue: Issue) -> Response:
        with self._state.lock:
            self._state.issues.pop(issue["key"], None)
        return Response(204)

    def _assign(self, call: Call, issue: Issue) -> Response:
        who = self._person("assignee", body(call.request), project_of(issue), call.caller)
        self._change(issue, {"assignee": who})
        return Response(204)

    # -- transitions -------------------------------------------------------------------------------

    def _transitions(self, call: Call, _: Issue) -> Response:
        wanted = call.request.first("transitionId")
        more: dict[str, Any] = (
            {"fields": {}} if "transitions.fields" in call.request.first("expand") else {}
        )
        every = [
            {"id": number, "name": str(status["name"]), "to": status, **more}
            for number, status in _TRANSITIONS.items()
            if wanted in ("", number)
        ]
        return json_response(200, {"expand": "transitions", "transitions": every})

    def _transition(self, call: Call, issue: Issue) -> Response:
        sent = body(call.request)
        status = _TRANSITIONS.get(str((sent.get("transition") or {}).get("id")))
        if status is None:
            text = "It seems that you have tried to perform an illegal workflow operation."
            raise InvalidError(text)
        done = status["name"] == "Done"
        changes = self._kept(sent.get("fields") or {}, project_of(issue), call.caller)
        self._change(
            issue, {"resolution": RESOLUTIONS[0] if done else None, **changes, "status": status}
        )
        return Response(204)

    # -- what screens have -------------------------------------------------------------------------

    def _editmeta(self, _: Call, __: Issue) -> Response:
        return json_response(200, {"fields": field_meta()})

    def _createmeta(self, call: Call) -> Response:
        def listed(*names: str) -> set[str]:
            values = [value for key, value in call.request.query if key in names]
            return {each for value in values for each in value.split(",") if each}

        projects, kinds = (
            listed("projectKeys", "projectIds"),
            listed("issuetypeNames", "issuetypeIds"),
        )
        fields = {"fields": field_meta()} if "fields" in call.request.first("expand") else {}
        types = [
            {**each, **fields} for each in TYPES if not kinds or kinds & {each["id"], each["name"]}
        ]
        beans = [
            self._state.project_bean(key, call.caller.base)
            for key in self._state.visible(call.caller)
        ]
        found = [
            {**bean, "issuetypes": types}
            for bean in beans
            if not projects or projects & {bean["id"], bean["key"]}
        ]
        return json_response(200, {"expand": "projects", "projects": found})

    def _types(self, call: Call, _: str) -> Response:
        return page(call.request, "values", list(TYPES))

    def _fields_of_type(self, call: Call, _: str) -> Response:
        return page(call.request, "values", list(field_meta().values()))

    # -- search ------------------------------------------------------------------------------------

    def _matching(self, jql: str, caller: Caller) -> list[Issue]:
        """The issues that are named by `key = X` or `key in (X, Y)`, else by `project = X`."""
        keys = set(re.findall(r'\bkey\s*=\s*"?([\w-]+)', jql, re.IGNORECASE))
        for several in re.findall(r"\bkey\s+in\s*\(([^)]*)\)", jql, re.IGNORECASE):
            keys |= {each.strip(' "') for each in several.split(",")}
        projects = set(re.findall(r'\bproject\s*=\s*"?([\w-]+)', jql, re.IGNORECASE))
        wanted = {each.upper() for each in keys or projects}
        visible = self._state.visible(caller)
        with self._state.lock:
            issues = list(self._state.issues.values())
        return [
            issue
            for issue in issues
            if project_of(issue) in visible
            and (not wanted or (issue["key"] if keys else project_of(issue)) in wanted)
        ]

    def _search(self, call: Call) -> Response:
        if self._state.cloud:
            text = "The requested API has been removed. Please migrate to /rest/api/3/search/jql."
            raise InvalidError(text, 410)
        if len(call.request.target) > _LONGEST_TARGET:
            raise InvalidError("Request header is too large")
        parameters = asked(call.request)
        start, length = window_of(parameters, "startAt", "maxResults")
        found = self._matching(str(parameters.get("jql", "")), call.caller)
        return json_response(
            200,
            {
                "expand": "schema,names",
                "startAt": start,
                "maxResults": length,
                "total": len(found),
                "issues": [self._bean(each, call) for each in found[start : start + length]],
            },
        )

    def _search_jql(self, call: Call) -> Response:
        parameters = asked(call.request)
        token = str(parameters.get("nextPageToken") or "")
        if token and not token.startswith("page-"):
            raise InvalidError("The token is not valid", field="nextPageToken")
        _, length = window_of(parameters, "", "maxResults")
        start = int(token.removeprefix("page-") or 0)
        found = self._matching(str(parameters.get("jql", "")), call.caller)
        last = start + length >= len(found)
        answer: dict[str, Any] = {
            "isLast": last,
            "issues": [self._bean(each, call) for each in found[start : start + length]],
        }
        if not last:
            answer["nextPageToken"] = f"page-{start + length}"
        return json_response(200, answer)


def _asked_fields(request: Request) -> set[str]:
    """The names of the fields that are asked for, in any of the forms that programs use."""
    if request.method == "POST":
        sent = body(request).get("fields") or []
        values = [sent] if isinstance(sent, str) else sent
    else:
        values = [value for name, value in request.query if name == "fields"]
    return {name.strip() for value in values for name in value.split(",")} - {""}


def _operations(fields: dict[str, Any], update: dict[str, Any]) -> dict[str, Any]:
    """What `{"labels": [{"add": "new"}]}` makes of fields: lists change, values are set."""
    changes: dict[str, Any] = {}
    for name, operations in update.items():
        value = fields.get(name)
        for verb, operand in (item for each in operations for item in each.items()):
            if verb == "set":
                value = operand
            elif verb == "add":
                value = [*(value or ()), operand]
            elif verb == "remove":
                value = [each for each in value or () if each != operand]
        changes[name] = value
    return changes


_TRANSITIONS = dict(zip(("11", "21", "31"), STATUSES, strict=True))

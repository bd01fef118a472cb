"""Projects: made and removed, their roles, schemes and statuses."""

from __future__ import annotations

from functools import partial
from typing import Any

from atlassian_auth_adapter.testing.emulator.hosts import Call, Caller, Row, found_or
from atlassian_auth_adapter.testing.emulator.http import Request, Response, json_response

from .constants import PROJECT_SCHEMES, ROLES, STATUSES, TYPES, named
from .state import API, InvalidError, State, body, logged_in, missing, project_of, window

_PROJECT = rf"{API}/project/(?P<key>[^/]+)"
_KINDS_OF_ACTORS = {"user": "atlassian-user-role-actor", "group": "atlassian-group-role-actor"}


class Projects:
    """Threads may share it."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._actors: dict[tuple[str, str], dict[str, list[str]]] = {}  # by project and role

    def rows(self) -> list[Row]:
        """Their routes."""
        project = found_or(missing, self._state.project_of)
        one = found_or(_no_project, self._state.project_of)
        administrator = self._state.for_administrators
        rows: list[Row] = [
            ("GET", f"{API}/project", self._list),
            ("POST", f"{API}/project", administrator(self._create)),
            ("GET", f"{API}/project/search", self._search),
            ("GET", _PROJECT, one(self._read)),
            ("DELETE", _PROJECT, administrator(one(self._delete))),
            ("GET", f"{_PROJECT}/statuses", project(self._statuses)),
            ("GET", f"{_PROJECT}/role", logged_in(project(self._roles))),
            ("GET", rf"{_PROJECT}/role/(?P<role>\d+)", logged_in(project(self._role))),
            ("PUT", rf"{_PROJECT}/role/(?P<role>\d+)", logged_in(project(self._set_role))),
            (
                "GET",
                rf"{API}/issuetypescheme/(?P<id>\d+)/associations",
                logged_in(self._of_scheme),
            ),
        ]
        for path, name in PROJECT_SCHEMES.items():
            rows.append(
                ("GET", f"{_PROJECT}/{path}", logged_in(project(partial(self._scheme, name))))
            )
        return rows

    def _bean(self, key: str, caller: Caller, expand: str = "") -> dict[str, Any]:
        bean = self._state.project_bean(key, caller.base)
        return {**bean, "projectKeys": [key]} if "projectKeys" in expand else bean

    def _full_bean(self, key: str, caller: Caller, expand: str = "") -> dict[str, Any]:
        project = self._state.projects[key]
        return {
            **self._bean(key, caller, expand),
            "description": project.get("description", ""),
            "lead": self._state.person(project["lead"], caller.base),
            "issueTypes": list(TYPES),
        }

    def _beans(self, call: Call) -> list[dict[str, Any]]:
        expand = call.request.first("expand")
        return [self._bean(key, call.caller, expand) for key in self._state.visible(call.caller)]

    def _list(self, call: Call) -> Response:
        return json_response(200, self._beans(call))

    def _search(self, call: Call) -> Response:
        found = self._beans(call)
        start, length = window(call.request)
        here = f"{call.caller.base}{self._state.api}/project/search"
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

    def _read(self, call: Call, key: str) -> Response:
        return json_response(200, self._full_bean(key, call.caller, call.request.first("expand")))

    def _create(self, call: Call) -> Response:
        sent = body(call.request)
        key, name = str(sent.get("key") or ""), str(sent.get("name") or "")
        lead = sent.get("leadAccountId" if self._state.cloud else "lead", call.caller.name)
        with self._state.lock:
            others = self._state.projects
            if not key.isalnum() or key in others:
                raise InvalidError(f"Project '{key}' uses this project key.", field="projectKey")
            if not name or name in (each["name"] for each in others.values()):
                raise InvalidError("A project with that name already exists.", field="projectName")
            number = str(self._state.next_id())
            description = str(sent.get("description") or "")
            others[key] = {"id": number, "name": name, "lead": lead, "description": description}
        own = f"{call.caller.base}{self._state.api}/project/{number}"
        return json_response(201, {"self": own, "id": int(number), "key": key})

    def _delete(self, _: Call, key: str) -> Response:
        """Its issues go with it."""
        with self._state.lock:
            self._state.projects.pop(key, None)
            for issue in [*self._state.issues.values()]:
                if project_of(issue) == key:
                    del self._state.issues[issue["key"]]
        return Response(204)

    def _statuses(self, call: Call, _: str) -> Response:
        return json_response(200, [{**each, "statuses": list(STATUSES)} for each in TYPES])

    def _scheme(self, name: str, call: Call, key: str) -> Response:
        own = f"{call.caller.base}{call.request.path}"
        return json_response(200, {"self": own, "id": 10000, "name": name.format(key=key)})

    def _of_scheme(self, call: Call) -> Response:
        """All projects have the first scheme."""
        keys = self._state.visible(call.caller) if call["id"] == "10000" else []
        return json_response(200, [self._full_bean(key, call.caller) for key in keys])

    # -- roles -------------------------------------------------------------------------------------

    def _roles(self, call: Call, key: str) -> Response:
        here = f"{call.caller.base}{self._state.api}/project/{self._state.projects[key]['id']}/role"
        return json_response(200, {str(role["name"]): f"{here}/{role['id']}" for role in ROLES})

    def _of_role(self, key: str, role: str) -> dict[str, list[str]]:
        """Names by the kind of actor; at first the administrators administer."""
        administrators = [next(iter(self._state.groups))] if role == str(ROLES[0]["id"]) else []
        return self._actors.setdefault((key, role), {"user": [], "group": administrators})

    def _role(self, call: Call, key: str) -> Response:
        role = named(ROLES, call["role"])
        if role is None:
            return missing(call.request)
        actors = [
            {"displayName": name, "name": name, "type": _KINDS_OF_ACTORS[kind]}
            for kind, names in self._of_role(key, call["role"]).items()
            for name in names
        ]
        own = f"{call.caller.base}{call.request.path}"
        return json_response(200, {"self": own, **role, "actors": actors})

    def _set_role(self, call: Call, key: str) -> Response:
        sent = body(call.request).get("categorisedActors") or {}
        actors = self._of_role(key, call["role"])
        for kind, name in _KINDS_OF_ACTORS.items():
            if sent.get(name) is not None:
                actors[kind] = [str(each) for each in sent[name]]
        return self._role(call, key)


def _no_project(request: Request) -> Response:
    key = request.path.rpartition("/")[2]
    return InvalidError(f"No project could be found with key '{key}'.", 404).response

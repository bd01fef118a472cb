"""People, groups, permissions and avatars."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from atlassian_auth_adapter.testing.emulator.hosts import Call, Caller, Row, found_or
from atlassian_auth_adapter.testing.emulator.http import Response, json_response

from .constants import PERMISSIONS
from .state import API, InvalidError, State, body, logged_in, missing, window_of

_SEARCHES = (  # the places that find people by a part of their name
    "search",
    "picker",
    "assignable/search",
    "assignable/multiProjectSearch",
    "viewissue/search",
)
_SYSTEM_AVATARS = tuple(str(number) for number in range(10500, 10524))


class People:
    """Threads may share it."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._key = "accountId" if state.cloud else "name"
        self._chosen: dict[str, str] = {}  # avatars, by name
        self._uploaded: dict[str, list[str]] = {}

    def rows(self) -> list[Row]:
        """Their routes."""
        person = found_or(missing, self._person)
        group = found_or(missing, self._group_named)
        administrator = self._state.for_administrators
        return [
            ("GET", f"{API}/myself", logged_in(self._myself)),
            ("GET", f"{API}/mypermissions", self._permissions),
            ("GET", f"{API}/user", logged_in(person(self._read))),
            ("POST", f"{API}/user", administrator(self._create)),
            ("DELETE", f"{API}/user/?", administrator(person(self._delete))),
            ("GET", f"{API}/user/(?:{'|'.join(_SEARCHES)})", logged_in(self._search)),
            ("GET", f"{API}/user/avatars", logged_in(person(self._avatars))),
            ("POST", f"{API}/user/avatar/temporary", logged_in(self._upload)),
            ("POST", f"{API}/user/avatar", logged_in(person(self._crop))),
            ("PUT", f"{API}/user/avatar", logged_in(person(self._choose))),
            ("DELETE", rf"{API}/user/avatar/(?P<id>\d+)", logged_in(person(self._drop_avatar))),
            ("GET", f"{API}/groups/picker", logged_in(self._find_groups)),
            ("GET", f"{API}/group", logged_in(group(self._read_group))),
            ("POST", f"{API}/group", administrator(self._create_group)),
            ("DELETE", f"{API}/group", administrator(group(self._delete_group))),
            ("POST", f"{API}/group/user", administrator(group(self._join))),
            ("DELETE", f"{API}/group/user", administrator(group(self._leave))),
        ]

    # -- people ------------------------------------------------------------------------------------

    def _person(self, call: Call) -> str | None:
        """Whom the query names; without a name it is the caller."""
        keys = ("accountId",) if self._state.cloud else ("username", "key")
        named = next(filter(None, map(call.request.first, keys)), call.caller.name)
        return named if named in self._state.people or named == call.caller.name else None

    def _bean(self, name: str, caller: Caller) -> dict[str, Any]:
        return {
            **self._state.person(name, caller.base),
            "locale": "en_US",
            "groups": {"size": 1, "items": []},
            "applicationRoles": {"size": 1, "items": []},
            "expand": "groups,applicationRoles",
        }

    def _myself(self, call: Call) -> Response:
        return json_response(200, self._bean(call.caller.name, call.caller))

    def _read(self, call: Call, name: str) -> Response:
        return json_response(200, self._bean(name, call.caller))

    def _create(self, call: Call) -> Response:
        sent = body(call.request)
        email = str(sent.get("emailAddress", ""))
        name = str(sent.get("name") or email)
        with self._state.lock:
            if name in self._state.people:
                raise InvalidError("A user with that username already exists.", field="username")
            self._state.people[name] = (str(sent.get("displayName") or name), email)
        return json_response(201, self._bean(name, call.caller))

    def _delete(self, _: Call, name: str) -> Response:
        with self._state.lock:
            self._state.people.pop(name, None)
            for members in self._state.groups.values():
                if name in members:
                    members.remove(name)
        return Response(204)

    def _search(self, call: Call) -> Response:
        """By a part of the name, the display name or the e-mail address."""
        given = dict(reversed(call.request.query))
        wanted = next((given[name] for name in ("query", "username") if name in given), "").lower()
        start, length = window_of(given, "startAt", "maxResults")
        with self._state.lock:
            people = dict(self._state.people)
        found = [
            self._state.person(name, call.caller.base)
            for name, texts in people.items()
            if any(wanted in text.lower() for text in (name, *texts))
        ]
        page = found[start : start + length]
        picked = {"users": page, "total": len(found), "header": ""}
        return json_response(200, picked if call.request.path.endswith("/picker") else page)

    def _permissions(self, call: Call) -> Response:
        asked = [each for each in call.request.first("permissions").split(",") if each]
        if self._state.cloud and (not asked or set(asked) - set(PERMISSIONS)):
            raise InvalidError("The query parameter 'permissions' is missing or invalid.")
        have = not call.caller.anonymous
        every = {
            name: {
                "id": str(number),
                "key": name,
                "name": name.replace("_", " ").capitalize(),
                "havePermission": have or name == "BROWSE_PROJECTS",
            }
            for number, name in enumerate(PERMISSIONS)
            if name in (asked or PERMISSIONS)
        }
        return json_response(200, {"permissions": every})

    # -- avatars -----------------------------------------------------------------------------------

    def _avatar(self, number: str, name: str) -> dict[str, Any]:
        mine = number not in _SYSTEM_AVATARS
        chosen = self._chosen.get(name, _SYSTEM_AVATARS[0]) == number
        own = {"owner": name} if mine else {}
        return {"id": number, "isSystemAvatar": not mine, "isSelected": chosen, **own}

    def _avatars(self, _: Call, name: str) -> Response:
        system = [self._avatar(number, name) for number in _SYSTEM_AVATARS]
        custom = [self._avatar(number, name) for number in self._uploaded.get(name, ())]
        return json_response(200, {"system": system, "custom": custom})

    def _upload(self, _: Call) -> Response:
        offsets = {"cropperOffsetX": 0, "cropperOffsetY": 0, "cropperWidth": 48}
        return json_response(201, {**offsets, "needsCropping": True})

    def _crop(self, _: Call, name: str) -> Response:
        number = str(self._state.next_id())
        with self._state.lock:
            self._uploaded.setdefault(name, []).append(number)
        return json_response(201, self._avatar(number, name))

    def _choose(self, call: Call, name: str) -> Response:
        number = str(body(call.request).get("id"))
        if number not in (*_SYSTEM_AVATARS, *self._uploaded.get(name, ())):
            raise InvalidError(f"There is no avatar with id {number}.", 404)
        self._chosen[name] = number
        return Response(204)

    def _drop_avatar(self, call: Call, name: str) -> Response:
        if call["id"] not in self._uploaded.get(name, ()):
            raise InvalidError(f"There is no avatar with id {call['id']}.", 404)
        self._uploaded[name].remove(call["id"])
        return Response(204)

    # -- groups ------------------------------------------------------------------------------------

    def _group_named(self, call: Call) -> str | None:
        name = call.request.first("groupname")
        return name if name in self._state.groups else None

    def _group(self, name: str, caller: Caller) -> dict[str, Any]:
        own = f"{caller.base}{self._state.api}/group?groupname={quote(name)}"
        members = self._state.groups[name]
        people = [self._state.person(each, caller.base) for each in members]
        users = {"size": len(people), "items": people, "max-results": 50}
        return {
            "name": name,
            "self": own,
            "users": {**users, "start-index": 0, "end-index": max(0, len(people) - 1)},
            "expand": "users",
        }

    def _find_groups(self, call: Call) -> Response:
        wanted = call.request.first("query").lower()
        names = [name for name in self._state.groups if wanted in name.lower()]
        groups = [{"name": name, "html": name, "labels": []} for name in names]
        header = f"Showing {len(names)} of {len(names)} matching groups"
        return json_response(200, {"header": header, "total": len(names), "groups": groups})

    def _read_group(self, call: Call, name: str) -> Response:
        return json_response(200, self._group(name, call.caller))

    def _create_group(self, call: Call) -> Response:
        name = str(body(call.request).get("name") or "")
        with self._state.lock:
            if not name or name in self._state.groups:
                raise InvalidError(
                    "A group or user with this name already exists.", field="groupname"
                )
            self._state.groups[name] = []
        return json_response(201, self._group(name, call.caller))

    def _delete_group(self, _: Call, name: str) -> Response:
        with self._state.lock:
            self._state.groups.pop(name, None)
        return Response(200)

    def _join(self, call: Call, group: str) -> Response:
        name = body(call.request).get(self._key)
        if name not in self._state.people:
            raise InvalidError(f"User '{name}' does not exist.", 404)
        with self._state.lock:
            members = self._state.groups[group]
            if name in members:
                raise InvalidError("User is already a member of the group.")
            members.append(name)
        return json_response(201, self._group(group, call.caller))

    def _leave(self, call: Call, group: str) -> Response:
        name = call.request.first("accountId" if self._state.cloud else "username")
        with self._state.lock:
            members = self._state.groups[group]
            if name not in members:
                raise InvalidError("User is not a member of the group.")
            members.remove(name)
        return Response(200)

"""What clients make, read, change and remove in one way: comments, versions, filters, boards, ...

A `Kind` says how the records of one collection differ from others (`kinds.py` has them all). They
are served at its path, and each of them below it by its id:

    POST, GET          issue/ACME-1/comment          filter
    GET, PUT, DELETE   issue/ACME-1/comment/10200    filter/10200
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from atlassian_auth_adapter.testing.emulator.hosts import (
    Call,
    Caller,
    Handler,
    Row,
    found_or,
)
from atlassian_auth_adapter.testing.emulator.http import Response, json_response

from .state import API, InvalidError, Record, State, body, logged_in, missing, no_issue, page

AGILE = r"/rest/agile/(?:1\.0|latest)"
#: What a path may begin with, and its pattern.
_PARENTS = {
    "{issue}": r"issue/(?P<key>[^/]+)",
    "{project}": r"project/(?P<key>[^/]+)",
    "{board}": r"board/(?P<key>[^/]+)",
    "{dashboard}": r"dashboard/(?P<key>[^/]+)",
}

Fields = dict[str, Any]
OfParent = Callable[[Call, str], Response]


@dataclass(frozen=True, slots=True)
class Listing:
    """A place that lists records of a kind: all, or those of the project or board in its path.

    Attributes:
        path: Below the API.
        under: The key of the list in the answer, which then is one page; "": the list itself.
        where: Which records it lists.
    """

    path: str
    under: str = ""
    where: Callable[[Fields], bool] = field(default=lambda _: True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One collection.

    Attributes:
        path: Where its records are made, below the API. After `{issue}/` or `{dashboard}/` they
            belong to that.
        agile: It is part of the API of boards.
        listings: Where it is listed.
        owner: The field that names the project or board that a record belongs to.
        author: The field that says who made a record.
        created: Status of the answer to POST.
        numbers: Ids are numbers, not texts.
        updated: Status of the answer to PUT; 204 has no content.
        links_only: The answer to POST has no fields.
        read_only: Clients cannot make or change records.
        defaults: Fields of a new record.
        reads: Makes of the fields that were sent those that are kept; may raise InvalidError.
        shows: Fields that depend on who reads, from the URL of the server and `expand`.
        changed: Is told of a record's owner and fields before and after each change.
    """

    path: str
    agile: bool = False
    listings: tuple[Listing, ...] = ()
    owner: str = ""
    author: str = ""
    created: int = 201
    updated: int = 200
    numbers: bool = False
    links_only: bool = False
    read_only: bool = False
    defaults: Mapping[str, Any] = field(default_factory=dict)
    reads: Callable[[State, Caller, Fields], Fields] = field(default=lambda *given: given[-1])
    shows: Callable[[State, Record, str, str], Fields] = field(default=lambda *_: {})
    changed: Callable[[State, str, Fields, Fields], None] = field(default=lambda *_: None)

    @property
    def name(self) -> str:
        """What its records are called."""
        return self.path.rpartition("/")[2]


class Collection:
    """Serves the records of one kind. Threads may share it."""

    def __init__(self, kind: Kind, state: State) -> None:
        self._kind = kind
        self._state = state
        self._records = state.records.setdefault(kind.name, {})

    def rows(self) -> list[Row]:
        """Its routes."""
        kind, api = self._kind, AGILE if self._kind.agile else API
        path = f"{api}/{_pattern(kind.path)}"
        one = rf"{path}/(?P<id>\d+)"
        # Issues and projects say themselves who sees them
        open_to_all = kind.path.startswith("{issue}") or kind.owner == "project"
        reader = (lambda handler: handler) if open_to_all else logged_in
        rows: list[Row] = [
            (
                "GET",
                f"{api}/{_pattern(each.path)}",
                reader(self._below(each.path, partial(self._list, each))),
            )
            for each in kind.listings
        ]
        rows.append(("GET", one, reader(self._record(self._read))))
        if not kind.read_only:
            rows += [
                ("POST", path, logged_in(self._below(kind.path, self._create))),
                ("PUT", one, logged_in(self._record(self._update))),
                ("DELETE", one, logged_in(self._record(self._delete))),
            ]
        return rows

    # -- what a path names -------------------------------------------------------------------------

    def _below(self, path: str, handler: OfParent) -> Handler:
        """Gives a handler the id of what the path begins with, or ""."""
        state = self._state

        def issue(call: Call) -> str | None:
            found = state.issue_of(call)
            return str(found["id"]) if found else None

        def project(call: Call) -> str | None:
            key = state.project_of(call)
            return key and str(state.projects[key]["id"])

        def record(kind: str, call: Call) -> str | None:
            return call["key"] if call["key"] in state.records[kind] else None

        match path.partition("/")[0]:
            case "{issue}":
                return found_or(no_issue, issue)(handler)
            case "{project}":
                return found_or(missing, project)(handler)
            case "{board}" | "{dashboard}" as parent:
                return found_or(missing, partial(record, parent[1:-1]))(handler)
        return lambda call: handler(call, "")

    def _record(self, handler: Callable[[Call, Record], Response]) -> Handler:
        def answer(call: Call, owner: str) -> Response:
            with self._state.lock:
                record = self._records.get(call["id"])
            if record is None or not self._visible(record, owner, call.caller):
                name = self._kind.name
                text = f"The {name} with id '{call['id']}' does not exist."
                raise InvalidError(text, 404)
            return handler(call, record)

        return self._below(self._kind.path, answer)

    def _visible(self, record: Record, owner: str, caller: Caller) -> bool:
        if self._kind.owner == "project":
            return self._state.project_key(record.owner, caller) is not None
        return owner in ("", record.owner)

    def _owner(self, sent: Fields, caller: Caller) -> str | None:
        """The id of the project or board that a new record names."""
        named = str(sent.get(self._kind.owner))
        if self._kind.owner == "project":
            key = self._state.project_key(named, caller)
            return key and str(self._state.projects[key]["id"])
        return named if named in self._state.records["board"] else None

    # -- answers -----------------------------------------------------------------------------------

    def bean(self, record: Record, base: str, expand: str = "") -> Fields:
        """A record as it is answered."""
        more = self._kind.shows(self._state, record, base, expand)
        return self._link(record, base) | record.fields | more

    def _link(self, record: Record, base: str) -> Fields:
        parent, _, name = self._kind.path.rpartition("/")
        within = f"{parent[1:-1]}/{record.owner}/" if parent else ""
        api = "/rest/agile/1.0" if self._kind.agile else self._state.api
        number = int(record.id) if self._kind.numbers else record.id
        return {"self": f"{base}{api}/{within}{name}/{record.id}", "id": number}

    def _answer(self, status: int, record: Record, call: Call) -> Response:
        expand = call.request.first("expand")
        return json_response(status, self.bean(record, call.caller.base, expand))

    # -- handlers ----------------------------------------------------------------------------------

    def _create(self, call: Call, owner: str) -> Response:
        sent, caller = body(call.request), call.caller
        if self._kind.owner:
            named = self._owner(sent, caller)
            if named is None:
                raise InvalidError("There is no such project or board.", field=self._kind.owner)
            owner = named
        fields = {**self._kind.defaults, **self._kind.reads(self._state, caller, sent)}
        if self._kind.author:
            fields[self._kind.author] = self._state.person(caller.name, caller.base)
        with self._state.lock:
            record = Record(str(self._state.next_id()), owner, fields)
            self._records[record.id] = record
            self._kind.changed(self._state, owner, {}, fields)
        if self._kind.links_only:
            return json_response(self._kind.created, self._link(record, caller.base))
        return self._answer(self._kind.created, record, call)

    def _list(self, listing: Listing, call: Call, owner: str) -> Response:
        expand = call.request.first("expand")
        found = [
            self.bean(record, call.caller.base, expand)
            for record in self._state.kept(self._kind.name, owner)
            if listing.where(record.fields)
        ]
        if call.request.first("orderBy").startswith("-"):
            found.reverse()
        if listing.under:
            return page(call.request, listing.under, found)
        return json_response(200, found)

    def _read(self, call: Call, record: Record) -> Response:
        return self._answer(200, record, call)

    def _update(self, call: Call, record: Record) -> Response:
        read = self._kind.reads(self._state, call.caller, body(call.request))
        with self._state.lock:
            before, record.fields = record.fields, {**record.fields, **read}
            self._kind.changed(self._state, record.owner, before, record.fields)
        if self._kind.updated == 204:
            return Response(204)
        return self._answer(self._kind.updated, record, call)

    def _delete(self, _: Call, record: Record) -> Response:
        with self._state.lock:
            self._records.pop(record.id, None)
            self._kind.changed(self._state, record.owner, record.fields, {})
        return Response(204)


def _pattern(path: str) -> str:
    for parent, pattern in _PARENTS.items():
        path = path.replace(parent, pattern)
    return path

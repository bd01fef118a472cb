"""The collections of Jira that clients fill: one row each, and what is special about them.

Source: the REST API documents of Jira Cloud (v3) and Jira Data Center (9.12), read 2026-11-26.
"""

from __future__ import annotations

import re
from typing import Any

from atlassian_auth_adapter.testing.emulator.hosts import Caller

from .collections import Fields, Kind, Listing
from .constants import LINK_TYPES, named
from .state import CREATED, InvalidError, Record, State, project_of

_TIMES = {"created": CREATED, "updated": CREATED}
_SECONDS = {"w": 5 * 8 * 3600, "d": 8 * 3600, "h": 3600, "m": 60}  # of work, largest first


def _without_nulls(_: State, __: Caller, sent: Fields) -> Fields:
    return {name: value for name, value in sent.items() if value is not None}


def _required(*names: str) -> Any:
    """Keeps what was sent; a new record needs these fields."""

    def read(state: State, caller: Caller, sent: Fields) -> Fields:
        for name in names:
            if name in sent and not sent[name]:
                raise InvalidError(f"The {name} is required.", field=name)
        return _without_nulls(state, caller, sent)

    return read


# -- of an issue -----------------------------------------------------------------------------------


def _rendered(_: State, record: Record, __: str, expand: str) -> Fields:
    text = record.fields.get("body")
    return {"renderedBody": f"<p>{text}</p>"} if "renderedBody" in expand else {}


def _work(_: State, __: Caller, sent: Fields) -> Fields:
    """`timeSpent` and `timeSpentSeconds` follow each other."""
    kept = {name: value for name, value in sent.items() if name not in ("author", "updateAuthor")}
    if "timeSpent" in sent:
        kept["timeSpentSeconds"] = seconds(str(sent["timeSpent"]))
    elif "timeSpentSeconds" in sent:
        kept["timeSpent"] = duration(int(sent["timeSpentSeconds"]))
    return kept


def seconds(text: str) -> int:
    """What "1d 2h" is in seconds."""
    return sum(int(n) * _SECONDS[unit] for n, unit in re.findall(r"(\d+)\s*([wdhm])", text))


def duration(rest: int) -> str:
    """The same the other way round."""
    parts = []
    for unit, length in _SECONDS.items():
        amount, rest = divmod(rest, length)
        if amount:
            parts.append(f"{amount}{unit}")
    return " ".join(parts) or "0m"


def _estimate(state: State, issue: str, before: Fields, after: Fields) -> None:
    """Work that is logged is taken from the remaining estimate, which is never below 0."""
    spent = after.get("timeSpentSeconds", 0) - before.get("timeSpentSeconds", 0)
    state.estimates[issue] = max(0, state.estimates.get(issue, 0) - spent)


# -- of a project ----------------------------------------------------------------------------------


def _component(state: State, caller: Caller, sent: Fields) -> Fields:
    kept = {name: value for name, value in sent.items() if name != "leadUserName"}
    lead = sent.get("leadAccountId" if state.cloud else "leadUserName")
    return {**kept, "lead": state.person(lead, caller.base)} if lead else kept


def _project_id(_: State, record: Record, __: str, ___: str) -> Fields:
    return {"projectId": int(record.owner)}


# -- others ----------------------------------------------------------------------------------------


def _filter(_: State, record: Record, base: str, __: str) -> Fields:
    return {"viewUrl": f"{base}/issues/?filter={record.id}", "sharePermissions": []}


def _dashboard(_: State, __: Caller, sent: Fields) -> Fields:
    """Cloud answers `authenticated`, which a client sends, as `loggedin`."""
    shared = [
        {**each, "type": "loggedin"} if each.get("type") == "authenticated" else each
        for each in sent.get("sharePermissions", [])
    ]
    return {**sent, "sharePermissions": shared} if "sharePermissions" in sent else sent


def _issue_link(state: State, caller: Caller, sent: Fields) -> Fields:
    kind = named(LINK_TYPES, sent.get("type"))
    if kind is None:
        raise InvalidError("No issue link type with that name was found.", 404)
    ends = {}
    for end in ("inwardIssue", "outwardIssue"):
        one = sent.get(end) or {}
        issue = state.issue(str(one.get("key") or one.get("id")))
        if issue is None or project_of(issue) not in state.visible(caller):
            raise InvalidError("Issue does not exist.", 404)
        ends[end] = {"id": issue["id"], "key": issue["key"]}
    return {"type": dict(kind), **ends}


def kinds(*, cloud: bool) -> tuple[Kind, ...]:
    """Every collection of a Cloud or Data Center Jira."""
    return (
        Kind(
            path="{issue}/comment",
            listings=(Listing("{issue}/comment", "comments"),),
            author="author",
            defaults=_TIMES,
            shows=_rendered,
        ),
        Kind(
            path="{issue}/worklog",
            listings=(Listing("{issue}/worklog", "worklogs"),),
            author="author",
            defaults=_TIMES | {"started": CREATED},
            reads=_work,
            changed=_estimate,
        ),
        Kind(
            path="{issue}/remotelink",
            listings=(Listing("{issue}/remotelink"),),
            numbers=True,
            updated=204,
            links_only=True,
        ),
        Kind(path="issueLink", reads=_issue_link),
        Kind(
            path="version",
            listings=(Listing("{project}/versions"), Listing("{project}/version", "values")),
            owner="project",
            defaults={"archived": False, "released": False},
            shows=_project_id,
        ),
        Kind(
            path="component",
            listings=(Listing("{project}/components"), Listing("{project}/component", "values")),
            owner="project",
            defaults={"assigneeType": "PROJECT_DEFAULT", "isAssigneeTypeValid": True},
            reads=_component,
            shows=_project_id,
        ),
        Kind(
            path="filter",
            listings=(
                Listing("filter/my"),
                Listing("filter/favourite", where=lambda fields: bool(fields["favourite"])),
                Listing("filter/search", "values"),
            ),
            author="owner",
            created=200,
            defaults={"favourite": False},
            reads=_required("name", "jql"),
            shows=_filter,
        ),
        Kind(
            path="dashboard",
            listings=(Listing("dashboard", "dashboards"), Listing("dashboard/search", "values")),
            author="owner",
            created=200,
            read_only=not cloud,  # Data Center has no resource that makes one
            reads=_dashboard,
        ),
        Kind(
            path="{dashboard}/gadget",
            listings=(Listing("{dashboard}/gadget", "gadgets"),),
            created=200,
            updated=204,
            numbers=True,
            read_only=not cloud,
            defaults={"color": "blue", "title": "Filter Results"},
        ),
        Kind(
            path="board",
            agile=True,
            listings=(Listing("board", "values"),),
            numbers=True,
            defaults={"type": "scrum"},
            reads=_required("name", "filterId"),
        ),
        Kind(
            path="sprint",
            agile=True,
            listings=(Listing("{board}/sprint", "values"),),
            owner="originBoardId",
            numbers=True,
            defaults={"state": "future"},
            reads=_required("name"),
        ),
    )

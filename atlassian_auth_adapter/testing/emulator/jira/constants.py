"""Jira's lists that never change here: priorities, statuses, kinds of issues, schemes, ...

One row of `TABLES` is one collection: the list at its path, and each entry below it by its id or
name. Names and ids are those of a fresh Jira Data Center with a software project.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from atlassian_auth_adapter.testing.emulator.hosts import Call, Handler, Row
from atlassian_auth_adapter.testing.emulator.http import Response, json_response

Entry = Mapping[str, Any]


def _entries(*rows: tuple[Any, ...], names: str = "id name") -> tuple[Entry, ...]:
    return tuple(dict(zip(names.split(), row, strict=True)) for row in rows)


_CATEGORIES = _entries(
    (1, "undefined", "No Category"),
    (2, "new", "To Do"),
    (3, "done", "Done"),
    (4, "indeterminate", "In Progress"),
    names="id key name",
)
STATUSES: tuple[Entry, ...] = (
    {"id": "10000", "name": "To Do", "statusCategory": _CATEGORIES[1]},
    {"id": "3", "name": "In Progress", "statusCategory": _CATEGORIES[3]},
    {"id": "10001", "name": "Done", "statusCategory": _CATEGORIES[2]},
)
DEFAULT_STATUS = STATUSES[1]
TYPES = _entries(
    ("10001", "Task", False),
    ("10002", "Story", False),
    ("10003", "Sub-task", True),
    ("10004", "Bug", False),
    ("10000", "Epic", False),
    names="id name subtask",
)
DEFAULT_TYPE = TYPES[0]
PRIORITIES = _entries(
    ("1", "Highest"), ("2", "High"), ("3", "Medium"), ("4", "Low"), ("5", "Lowest")
)
DEFAULT_PRIORITY = PRIORITIES[2]
RESOLUTIONS = _entries(
    ("10000", "Done"), ("10001", "Won't Do"), ("10002", "Duplicate"), ("10003", "Cannot Reproduce")
)
LINK_TYPES = _entries(
    ("10000", "Blocks", "is blocked by", "blocks"),
    ("10001", "Cloners", "is cloned by", "clones"),
    ("10002", "Duplicate", "is duplicated by", "duplicates"),
    ("10003", "Relates", "relates to", "relates to"),
    names="id name inward outward",
)
ROLES = _entries((10002, "Administrators"), (10001, "Developers"), names="id name")
#: What a project's `.../permissionscheme` and its like answer; `{key}` is the project's.
PROJECT_SCHEMES = MappingProxyType(
    {
        "permissionscheme": "Default Permission Scheme",
        "notificationscheme": "Default Notification Scheme",
        "priorityscheme": "Default priority scheme",
        "workflowscheme": "{key}: Software Simplified Workflow Scheme",
    }
)
_TEMPLATES = (
    "Scrum software development",
    "Kanban software development",
    "Basic software development",
    "Project management",
    "Process management",
    "Task management",
)
_PERMISSIONS = """
    ADD_COMMENTS ADMINISTER ADMINISTER_PROJECTS ASSIGNABLE_USER ASSIGN_ISSUES BROWSE_PROJECTS
    BULK_CHANGE CLOSE_ISSUES CREATE_ATTACHMENTS CREATE_ISSUES CREATE_SHARED_OBJECTS
    DELETE_ALL_ATTACHMENTS DELETE_ALL_COMMENTS DELETE_ALL_WORKLOGS DELETE_ISSUES
    DELETE_OWN_ATTACHMENTS DELETE_OWN_COMMENTS DELETE_OWN_WORKLOGS EDIT_ALL_COMMENTS
    EDIT_ALL_WORKLOGS EDIT_ISSUES EDIT_OWN_COMMENTS EDIT_OWN_WORKLOGS LINK_ISSUES
    MANAGE_GROUP_FILTER_SUBSCRIPTIONS MANAGE_SPRINTS_PERMISSION MANAGE_WATCHERS MODIFY_REPORTER
    MOVE_ISSUES RESOLVE_ISSUES SCHEDULE_ISSUES SERVICEDESK_AGENT SET_ISSUE_SECURITY SYSTEM_ADMIN
    TRANSITION_ISSUES UNARCHIVE_ISSUES ARCHIVE_ISSUES USER_PICKER VIEW_DEV_TOOLS
    VIEW_READONLY_WORKFLOW VIEW_VOTERS_AND_WATCHERS WORK_ON_ISSUES
"""
PERMISSIONS = tuple(_PERMISSIONS.split())

# Fields of an issue: id, name, type. Numbers of custom fields are those of a fresh Data Center.
EPIC_NAME, RANK, SPRINT = "customfield_10104", "customfield_10105", "customfield_10106"
FIELDS = (
    ("summary", "Summary", "string"),
    ("description", "Description", "string"),
    ("issuetype", "Issue Type", "issuetype"),
    ("project", "Project", "project"),
    ("status", "Status", "status"),
    ("priority", "Priority", "priority"),
    ("resolution", "Resolution", "resolution"),
    ("assignee", "Assignee", "user"),
    ("reporter", "Reporter", "user"),
    ("created", "Created", "datetime"),
    ("updated", "Updated", "datetime"),
    ("attachment", "Attachment", "array"),
    ("comment", "Comment", "comments-page"),
    ("components", "Component/s", "array"),
    ("fixVersions", "Fix Version/s", "array"),
    ("issuelinks", "Linked Issues", "array"),
    ("labels", "Labels", "array"),
    ("worklog", "Log Work", "array"),
)
CUSTOM_FIELDS = (
    (EPIC_NAME, "Epic Name", "com.pyxis.greenhopper.jira:gh-epic-label"),
    (RANK, "Rank", "com.pyxis.greenhopper.jira:gh-lexo-rank"),
    (SPRINT, "Sprint", "com.pyxis.greenhopper.jira:gh-sprint"),
)


def field_beans() -> list[dict[str, Any]]:
    """Every field of an issue, as `/field` lists them."""
    schemas = [(key, name, {"type": kind, "system": key}, [key]) for key, name, kind in FIELDS] + [
        (
            key,
            name,
            {"type": "any", "custom": kind, "customId": number(key)},
            [f"cf[{number(key)}]"],
        )
        for key, name, kind in CUSTOM_FIELDS
    ]
    return [
        {
            "id": key,
            "key": key,
            "name": name,
            "custom": "custom" in schema,
            "orderable": True,
            "navigable": True,
            "searchable": True,
            "clauseNames": clauses,
            "schema": schema,
        }
        for key, name, schema, clauses in schemas
    ]


def number(custom_field: str) -> int:
    """The number in the id of a custom field."""
    return int(custom_field.removeprefix("customfield_"))


def field_meta() -> dict[str, dict[str, Any]]:
    """What createmeta, editmeta and transitions say about each field."""
    return {
        bean["id"]: {
            "fieldId": bean["id"],
            "name": bean["name"],
            "required": bean["id"] in ("summary", "issuetype", "project"),
            "schema": bean["schema"],
            "operations": ["set"],
        }
        for bean in field_beans()
    }


@dataclass(frozen=True, slots=True)
class Table:
    """A list that never changes. `listed` is the key of the list in its answer, "": no wrapper."""

    path: str
    entries: Sequence[Entry]
    listed: str = ""


TABLES = (
    Table("priority", PRIORITIES),
    Table("status", STATUSES),
    Table("statuscategory", _CATEGORIES),
    Table("resolution", RESOLUTIONS),
    Table("issuetype", TYPES),
    Table("issueLinkType", LINK_TYPES, "issueLinkTypes"),
    Table("role", ROLES),
    Table("projectCategory", _entries(("10000", "Default"))),
    Table("permissionscheme", _entries((0, "Default Permission Scheme")), "permissionSchemes"),
    Table("issuesecurityschemes", _entries((10000, "Default")), "issueSecuritySchemes"),
    Table("notificationscheme", _entries((10000, "Default Notification Scheme")), "values"),
    Table(
        "issuetypescheme",
        _entries(("10000", "Default Issue Type Scheme"), ("10100", "Software Issue Type Scheme")),
        "schemes",
    ),
    Table(
        "customFieldOption",
        _entries(("10000", "To Do"), ("10001", "In Progress"), ("10002", "Done"), names="id value"),
    ),
)


def named(entries: Sequence[Entry], wanted: Any) -> Entry | None:
    """The entry with this id or name; `wanted` may be an object that has one of them."""
    if isinstance(wanted, dict):
        wanted = wanted.get("id") or wanted.get("name")
    return next((e for e in entries if str(wanted) in (str(e["id"]), e.get("name"))), None)


def constant_rows(api: str, link: str, missing: Handler) -> list[Row]:
    """The list and the entries of every table; `link` is what the path of a link begins with."""
    rows: list[Row] = [
        ("GET", r"/rest/project-templates/(?:1\.0|latest)/templates", _templates),
    ]
    for table in TABLES:
        rows += [
            ("GET", f"{api}/{table.path}", partial(_list, table, link)),
            ("GET", f"{api}/{table.path}/(?P<id>[^/]+)", partial(_entry, table, link, missing)),
        ]
    return rows


def _bean(table: Table, entry: Entry, call: Call, link: str) -> dict[str, Any]:
    return {"self": f"{call.caller.base}{link}/{table.path}/{entry['id']}", **entry}


def _list(table: Table, link: str, call: Call) -> Response:
    every = [_bean(table, entry, call, link) for entry in table.entries]
    return json_response(200, {table.listed: every} if table.listed else every)


def _entry(table: Table, link: str, missing: Handler, call: Call) -> Response:
    entry = named(table.entries, call["id"])
    return json_response(200, _bean(table, entry, call, link)) if entry else missing(call)


def _templates(_: Call) -> Response:
    group = {
        "projectTypeKey": "software",
        "projectTemplates": [{"name": each, "projectTypeKey": "software"} for each in _TEMPLATES],
    }
    return json_response(200, {"projectTemplatesGroupedByType": [group]})

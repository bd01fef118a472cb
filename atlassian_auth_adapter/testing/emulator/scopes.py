"""Scopes: what the app was given, what they say in plain words, which resource needs which.

Source: scope groups of the Jira and Confluence Cloud OpenAPI documents and the Data Center scope
page (adminjiraserver103), read 2026-11-22; an upload needs two granular scopes. Jira's
administration: its OpenAPI document of 2026-08.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from textwrap import dedent

JIRA_WORDS = {
    "read:jira-user": "See the profiles of people in Jira",
    "read:jira-work": "See projects, issues and searches in Jira",
    "write:jira-work": "Create and change issues in Jira",
    "manage:jira-project": "Manage Jira projects",
    "manage:jira-configuration": "Manage the configuration of Jira",
    "manage:jira-webhook": "Manage webhooks of Jira",
    "read:audit-log:jira": "See the audit log of Jira",
    "read:user:jira": "See users of Jira",
    "read:issue:jira": "See issues of Jira",
    "read:servicedesk-request": "See requests in Jira Service Management",
    "read:ops-alert:jira-service-management": "See alerts of Jira Service Management",
    "read:cmdb-schema:jira": "See schemas of Assets",
    "read:board-scope:jira-software": "See boards of Jira",
    "write:board-scope:jira-software": "Create and change boards of Jira",
    "read:sprint:jira-software": "See sprints of Jira",
    "write:sprint:jira-software": "Create and change sprints of Jira",
}
CONFLUENCE_WORDS = {
    "read:confluence-content.all": "See pages and their content in Confluence",
    "read:confluence-content.summary": "See page summaries in Confluence",
    "read:confluence-space.summary": "See spaces in Confluence",
    "read:confluence-user": "See the profiles of people in Confluence",
    "write:confluence-content": "Create and change pages in Confluence",
    "write:confluence-file": "Upload files to Confluence",
    "readonly:content.attachment:confluence": "Download files of Confluence",
    "search:confluence": "Search Confluence",
    "read:page:confluence": "See pages of Confluence",
    "write:page:confluence": "Create and change pages of Confluence",
    "read:comment:confluence": "See comments of Confluence",
    "write:comment:confluence": "Write comments in Confluence",
    "read:attachment:confluence": "See and download files of Confluence",
    "write:attachment:confluence": "Upload files to pages of Confluence",
    "read:content-details:confluence": "See details of content of Confluence",
    "read:label:confluence": "See labels of Confluence",
    "write:label:confluence": "Add labels in Confluence",
    "read:space:confluence": "See spaces of Confluence",
    "read:user:confluence": "See users of Confluence",
    "read:audit-log:confluence": "See the audit log of Confluence",
}
ACCOUNT_WORDS = {
    "read:me": "See your profile: name, e-mail address and picture",
    "read:account": "See your account",
    "report:personal-data": "Report accounts whose personal data is stored",
    "offline_access": "Do all this while you are away, until you take it back",
}
DATA_CENTER_WORDS = {
    "READ": "See everything that you can see",
    "WRITE": "Create, change and delete what you can change",
    "ADMIN": "Administer what you can administer",
    "SYSTEM_ADMIN": "Administer the whole system as you can",
    "PUBLIC_REPOS": "See public repositories of Bitbucket",
    "REPO_READ": "See every repository that you can see",
    "REPO_WRITE": "Change repositories that you can change",
}
# Source: Trello's OpenAPI document, securitySchemes, 2026-09-17.
TRELLO_WORDS = {
    "read:member:trello": "See your name, e-mail address and memberships in Trello",
    "write:member:trello": "Change your profile in Trello",
    "read:board:trello": "See cards, lists and comments in Trello",
    "write:board:trello": "Create and change cards, lists and comments in Trello",
    "read:organization:trello": "See workspaces of Trello",
    "write:organization:trello": "Change workspaces of Trello",
    "offline_access": "Keep access while you are away",
}
BITBUCKET_WORDS = {
    "account": "See your account",
    "email": "See your e-mail addresses",
    "repository": "See your repositories",
    "repository:write": "Change your repositories",
    "repository:admin": "Administer your repositories",
    "pullrequest": "See pull requests of your repositories",
    "issue": "See issues of your repositories",
    "issue:write": "Create and change issues of your repositories",
}
DATA_CENTER_SCOPES = tuple(DATA_CENTER_WORDS)
BITBUCKET_SCOPES = tuple(BITBUCKET_WORDS)

# From low to high. Jira and Confluence share the first, Bitbucket has its own: on real Data Centers
# they are separate servers. Bitbucket's administrative scopes have unconfirmed names and are left
# out.
_LADDERS = (DATA_CENTER_SCOPES[:4], DATA_CENTER_SCOPES[4:])


def implied(scope: str) -> frozenset[str]:
    """A Data Center scope with the lower ones that it implies."""
    return frozenset(
        each for ladder in _LADDERS if scope in ladder for each in ladder[: ladder.index(scope) + 1]
    )


@dataclass(frozen=True, slots=True)
class Need:
    """One of `any_of` (each a set of scopes held together) is needed for a method on a path."""

    method: str
    path: re.Pattern[str]
    any_of: tuple[frozenset[str], ...]


def _needs(table: str) -> tuple[Need, ...]:
    """The rows of a table, of which the first that fits decides.

    A row is a method (`*`: any), the pattern of a path, and a set of scopes that is enough; where
    there are several such sets, each is an indented line below; without one, any token is enough.
    """
    found: list[Need] = []
    for row in re.split(r"\n(?! )", dedent(table).strip()):
        (method, path, *scopes), *further = (line.split() for line in row.splitlines())
        any_of = tuple(frozenset(each) for each in (further or [scopes]))
        found.append(Need(method, re.compile(path, re.DOTALL), any_of))
    return tuple(found)


# Boards have scopes of their own: simplified, the real ones tell reading, writing and deleting of
# boards, sprints, epics and issues apart. No scope lets an app make or remove accounts.
JIRA_NEEDS = _needs(r"""
    * /rest/(echo|redirect).*
    GET /rest/api/(2|3|latest)/serverInfo
    GET /rest/api/(2|3|latest)/auditing/record
        manage:jira-configuration
        read:audit-log:jira read:user:jira
    GET /rest/api/(2|3|latest)/(myself|user.*)
        read:jira-user
        read:user:jira
    GET /rest/api/(2|3|latest)/groups?(/picker)?  read:jira-user
    GET /rest/api/(2|3|latest)/(application-properties|issuetypescheme|notificationscheme|role).*
        manage:jira-configuration
    GET /rest/api/(2|3|latest)/issuesecurityschemes  manage:jira-project
    GET /rest/api/(2|3|latest)/issue/.*
        read:jira-work
        read:issue:jira
    GET /rest/servicedeskapi/.*  read:servicedesk-request
    GET /jsm/ops/api/.*  read:ops-alert:jira-service-management
    GET /jsm/assets/.*  read:cmdb-schema:jira
    GET /forms/.*
    GET /rest/agile/.*/sprint.*  read:sprint:jira-software
    GET /rest/agile/.*  read:board-scope:jira-software
    POST /rest/api/(2|3|latest)/search.*  read:jira-work
    GET /.*  read:jira-work
    * /rest/agile/.*/sprint.*  write:sprint:jira-software
    * /rest/agile/.*  write:board-scope:jira-software
    * /rest/api/(2|3|latest)/user/?  not-for-apps
    * /rest/api/(2|3|latest)/(group|application-properties).*  manage:jira-configuration
    POST /rest/api/(2|3|latest)/project  manage:jira-configuration
    DELETE /rest/api/(2|3|latest)/project/[^/]+  manage:jira-configuration
    * /rest/api/(2|3|latest)/(component|project|version)(/.*)?  manage:jira-project
    * /.*  write:jira-work
""")

# Version 1 of content and spaces is gone for OAuth, whatever the scopes: its row has none.
CONFLUENCE_NEEDS = _needs(r"""
    * /rest/(echo|redirect).*
    GET /rest/api/audit.*  read:audit-log:confluence
    GET /rest/api/user.*  read:confluence-user
    GET /rest/api/search.*  search:confluence
    GET /rest/api/content/\d+/child/attachment/[^/]+/download
        readonly:content.attachment:confluence
        read:attachment:confluence
    GET /rest/api/content/\d+/child/attachment.*
        read:confluence-content.summary
        read:attachment:confluence
    * /rest/api/content/\d+/child/attachment.*
        write:confluence-file
        write:attachment:confluence read:content-details:confluence
    GET /rest/api/content/\d+/label
        read:confluence-content.summary
        read:label:confluence
    * /rest/api/content/\d+/label
        write:confluence-content
        write:label:confluence read:label:confluence
    * /rest/api/(content|space)(/.*)?
    GET /api/v2/pages/\d+/attachments  read:attachment:confluence
    GET /api/v2/pages.*  read:page:confluence
    * /api/v2/pages.*  write:page:confluence
    GET /api/v2/spaces/\d+/pages  read:page:confluence
    GET /api/v2/spaces.*  read:space:confluence
    GET /api/v2/.*  read:page:confluence
    GET /.*  read:confluence-content.all
    * /.*  write:confluence-content
""")

DATA_CENTER_NEEDS = _needs(r"""
    * .*/audit.*  ADMIN
    GET /.*  READ
    * /.*  WRITE
""")
# Which resources are administration: unconfirmed.
JIRA_SERVER_NEEDS = _needs(r"""
    * .*/audit.*  ADMIN
    GET /.*  READ
    * /rest/api/[^/]+/(application-properties/.*|group(/user)?|project|user/?)  ADMIN
    DELETE /rest/api/[^/]+/project/[^/]+  ADMIN
    * /.*  WRITE
""")
BITBUCKET_SERVER_NEEDS = _needs(r"""
    GET /.*  PUBLIC_REPOS
    * /.*  REPO_WRITE
""")

# That /members/me needs this scope is what programs say; unconfirmed.
TRELLO_NEEDS = _needs(r"""
    * /rest/(echo|redirect).*
    * /1/members/.*  read:member:trello
""")

# Source: developer.atlassian.com/cloud/bitbucket/rest, read 2026-11-22.
BITBUCKET_NEEDS = _needs(r"""
    * /rest/(echo|redirect).*
    GET /2\.0/(user|workspaces)(/.*)?  account
    GET /2\.0/repositories/[^/]+/[^/]+/issues.*  issue
    * /2\.0/repositories/[^/]+/[^/]+/issues.*  issue:write
    GET /2\.0/repositories.*  repository
    * /2\.0/repositories/[^/]+/[^/]+  repository:admin
    * /2\.0/repositories.*  repository:write
""")


def needed(needs: tuple[Need, ...], method: str, path: str) -> tuple[frozenset[str], ...]:
    """The sets of scopes of which one is needed for this method on this path."""
    method = "GET" if method in ("HEAD", "OPTIONS") else method
    for need in needs:
        if need.method in ("*", method) and need.path.fullmatch(path):
            return need.any_of
    return (frozenset(),)


def permitted(needs: tuple[Need, ...], method: str, path: str, scopes: frozenset[str]) -> bool:
    """Whether these scopes are enough for this method on this path."""
    return any(enough <= scopes for enough in needed(needs, method, path))

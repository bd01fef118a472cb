"""Which scopes a URL of the Cloud gateway asks for, and where URLs have gone that it gave up.

The gateway does not say which scope it misses; the API documents do. They are condensed here to a
table for each API, in which the first row that fits decides. Classic scopes come first. Granular
ones follow where an operation takes no classic scope, or where one set does for a whole row: in
Jira every operation has a set of its own, of up to a dozen scopes, and few are given here.

Source: Atlassian's OpenAPI documents, fields `security` and `x-atlassian-oauth2-scopes`, in public
copies: api-evangelist/atlassian of 2026-08-22 (Jira platform, Confluence v1), drummonds/gofluence
of 2025-02-04 (Confluence v2), xvrh/atlassian_apis of 2024-11-29 (Jira Software, Jira Service
Management). Measured 2026-11-24: they tell the scopes of 984 operations; for 889 of these the first
alternative here is theirs (classic wherever there is a classic one), for 7 it is another, and for
88 there is none, of which 67 are pages and spaces of Confluence v1, which have gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["scopes_for", "successor_of"]


@dataclass(frozen=True, slots=True)
class _Row:
    """What opens some methods on some paths.

    Attributes:
        methods: Which.
        path: What follows the path of the API.
        alternatives: As `scopes_for` answers, with the named groups of `path` in braces, and
            {verb} for read or write.
    """

    methods: frozenset[str]
    path: re.Pattern[str]
    alternatives: tuple[str, ...]


def _pattern(path: str) -> re.Pattern[str]:
    """The pattern of a path, in which /* stands for any one segment and blanks for nothing."""
    return re.compile(path.replace("/*", "/[^/]+"), re.VERBOSE)


def _row(methods: str, path: str, *alternatives: str) -> _Row:
    return _Row(frozenset(methods.split()), _pattern(path), alternatives)


_WRITE = "POST PUT DELETE"
_ALL = f"GET {_WRITE}"

_ACCOUNT = (
    _row("GET", r"/me", "read:me"),
    _row("GET", r"/oauth/token/accessible-resources", ""),
)

_JIRA = (
    _row(  # not for apps of this kind, whatever their scopes
        _ALL,
        r"/applicationrole.* | /app/field(/*)?/value | /jql/function/.+ | /settings/.+"
        r"| /projectvalidate/valid.+ | /user/email(/bulk)? | /workflow/rule/config/delete",
    ),
    _row("GET POST", r"/serverInfo | /permissions/check", ""),
    _row(
        "GET",
        r"/auditing/record",
        "manage:jira-configuration",
        "read:audit-log:jira read:user:jira",
        "read:audit-log:jira read:jira-user",  # undocumented; what demisto's collector asks for
    ),
    _row(
        "GET",
        r"/myself | /user(/bulk)? | /users(/search)?",
        "read:jira-user",
        "read:application-role:jira read:avatar:jira read:group:jira read:user:jira",
    ),
    _row("GET", r"/user/.+ | /configuration | /group(/bulk)? | /groups/picker", "read:jira-user"),
    _row("POST", r"/expression/.+", "read:jira-work read:jira-user"),
    _row(_ALL, r"/webhook(/.*)?", "manage:jira-webhook read:jira-work"),
    _row(
        "GET",
        r"/issue/(?!createmeta|limit|picker)[^/]+",
        "read:jira-work",
        "read:avatar:jira read:field-configuration:jira read:issue-meta:jira "
        "read:issue-security-level:jira read:issue.changelog:jira read:issue.vote:jira "
        "read:issue:jira read:status:jira read:user:jira",
    ),
    _row(  # they only read
        "POST PUT",
        r"/search(/.*)? | /jql/(autocompletedata|match|parse) | /permissions/project"
        r"| /(comment|worklog|issue/*/changelog)/list | /issue/watching | /issues/archive/export"
        r"| /uiModifications(/*)?",
        "read:jira-work",
    ),
    _row(
        _WRITE,
        r"/(attachment|comment|dashboard|filter|issue|issueLink|task)(/.*)?"
        r"| /version/*/relatedwork(/*)? | /user/properties/*",
        "write:jira-work",
    ),
    _row("POST DELETE", r"/project(/*(/delete|/restore)?)?", "manage:jira-configuration"),
    _row(
        "GET",
        r"/project/*/email | /workflow/search | /field/*/(contexts|screens)"
        r"| /issuesecurityschemes(/\d+)? | /screens(/.*)? | /screenscheme",
        "manage:jira-project",
    ),
    _row(
        _WRITE,
        r"/(component|project|projectCategory|screens|version)(/.*)?",
        "manage:jira-project",
    ),
    _row(
        "GET",
        r"/(attachment|comment|component|customFieldOption|dashboard|data-policy|filter|issue"
        r"|issueLink|issueLinkType|issuetype|jql|permissionscheme|project|projectCategory"
        r"|resolution|search|status|statuscategory|task|uiModifications|version|worklog)(/.*)?"
        r"| /field(/search.*|/*/option/suggestions/*)? | /priority(/(?!search)[^/]+)?"
        r"| /classification-levels | /groupuserpicker | /label | /mypermissions"
        r"| /projectvalidate/key | /universal_avatar/view/.+",
        "read:jira-work",
    ),
    _row(
        _ALL,
        r"/(announcementBanner|app|application-properties|avatar|configuration|events|field"
        r"|fieldconfiguration|fieldconfigurationscheme|group|instance|issueLinkType"
        r"|issuesecurityschemes|issuetype|issuetypescheme|issuetypescreenscheme|license"
        r"|mypreferences|notificationscheme|permissions|permissionscheme|priority|resolution|role"
        r"|screenscheme|securitylevel|statuses|universal_avatar|workflow|workflows|workflowscheme)"
        r"(/.*)? | /jql/sanitize",
        "manage:jira-configuration",
    ),
)

# There are no classic scopes for it.
_JIRA_SOFTWARE = (
    # The document names none for the list of boards; applications report these two, 2026.
    _row("GET", r"/board", "read:board-scope:jira-software read:project:jira"),
    _row(
        "GET",
        r"/board/*(/backlog|/issue)?",
        "read:board-scope:jira-software read:issue-details:jira",
    ),
    _row("GET", r"/board/*/(reports|version)", "read:board-scope:jira-software"),
    _row(
        "GET",
        r"/board/*/(configuration|project(/full)?)",
        "read:board-scope.admin:jira-software read:project:jira",
    ),
    _row(
        "GET",
        r"/board/*/quickfilter(/*)?",
        "read:board-scope.admin:jira-software read:jql:jira",
    ),
    _row(
        "GET PUT",
        r"/board/filter/* | /board/*/(features|properties(/*)?)",
        "{verb}:board-scope.admin:jira-software",
    ),
    _row("DELETE", r"/board/*/properties/*", "delete:board-scope.admin:jira-software"),
    _row(_WRITE, r"/(backlog|board)(/.*)?", "write:board-scope:jira-software"),
    _row(
        "GET",
        r"(/board/*)?/(?P<kind>epic|sprint)/*/issue",
        "read:{kind}:jira-software read:issue-details:jira read:jql:jira",
    ),
    _row("DELETE", r"/sprint/.+", "delete:sprint:jira-software"),
    _row(_ALL, r"(/board/*)?/(?P<kind>epic|sprint)(/.*)?", "{verb}:{kind}:jira-software"),
    _row("GET PUT", r"/issue/*", "{verb}:issue:jira-software"),
    _row(
        "GET PUT",
        r"/issue/*/estimation",
        "{verb}:issue:jira-software read:issue-details:jira",
    ),
)

_SERVICE_MANAGEMENT = (
    _row("GET", r"/info", ""),
    _row(_ALL, r"(/servicedesk/*)?/(customer|organization)(/.*)?", "manage:servicedesk-customer"),
    _row("GET", r"/servicedesk/*/queue(/.*)? | /request/*/sla(/*)?", "read:jira-work"),
    _row(
        "GET",
        r"/servicedesk/*/knowledgebase/article",
        "read:knowledgebase:jira-service-management",
    ),
    _row(
        "POST",
        r"/servicedesk/*/requesttype",
        "read:requesttype:jira-service-management write:requesttype:jira-service-management",
    ),
    _row("PUT DELETE", r"/servicedesk/*/requesttype/.+", "manage:jira-project"),
    _row(
        _ALL,
        r"/(assets|insight|knowledgebase|request|requesttype|servicedesk)(/.*)?",
        "{verb}:servicedesk-request",
    ),
)

# What has not gone, see `_MOVED`.
_CONFLUENCE_V1 = (
    _row("GET", r"/audit(/.*)?", "read:audit-log:confluence"),
    _row("POST", r"/audit", "read:audit-log:confluence write:audit-log:confluence"),
    _row("PUT", r"/audit/retention", "write:audit-log:confluence"),
    _row("GET", r"(/content)?/search", "search:confluence", "read:content-details:confluence"),
    _row("GET", r"/search/user", "read:content-details:confluence"),
    _row(
        "GET",
        r"/user(/bulk|/current)?",
        "read:confluence-user",
        "read:content-details:confluence",
    ),
    _row("GET", r"/user/(anonymous|memberof)", "read:confluence-user"),
    _row(_ALL, r"/user/*/property(/*)?", "{verb}:user.property:confluence"),
    _row(
        "GET",
        r"/group(/by-id|/by-name|/member|/picker|/*/membersByGroupId)?",
        "read:confluence-groups",
        "read:group:confluence read:user:confluence",
    ),
    _row(
        _WRITE,
        r"/group(/.*)?",
        "write:confluence-groups",
        "read:group:confluence write:group:confluence",
    ),
    _row(
        "GET",
        r"/content/*/child/attachment/*/download",
        "readonly:content.attachment:confluence",
        "read:attachment:confluence",
    ),
    _row(
        "PUT",
        r"/content/*/child/attachment/*",
        "write:confluence-file write:confluence-props",
        "read:content-details:confluence write:attachment:confluence",
    ),
    _row(
        "POST PUT",
        r"/content/*/child/attachment(/*/data)?",
        "write:confluence-file",
        "read:content-details:confluence write:attachment:confluence",
    ),
    _row("GET", r"/content/*/label", "read:confluence-content.summary", "read:label:confluence"),
    _row(
        _WRITE,
        r"/content/*/label(/*)?",
        "write:confluence-content",
        "read:label:confluence write:label:confluence",
    ),
    _row("GET", r"/content/*/restriction(/.*)?", "read:confluence-content.all"),
    _row("GET POST", r"/contentbody/.+", "read:confluence-content.all"),
    _row(
        "GET",
        r"/content/*/child/attachment | /(analytics|label|relation|template|user/watch)(/.*)?",
        "read:confluence-content.summary",
    ),
    _row(
        _WRITE,
        r"/content/*/restriction(/.*)? | /(relation|template|user/watch)(/.*)?",
        "write:confluence-content",
    ),
    _row(_ALL, r"/settings/.+", "manage:confluence-configuration"),
)

# There are no classic scopes for it.
_CONFLUENCE_V2 = (
    _row("GET", r"/*/*/(?P<kind>attachment|custom-content)s?", "read:{kind}:confluence"),
    _row("GET", r"/*/*/(footer|inline)-comments | /comments/.+", "read:comment:confluence"),
    _row(
        "GET POST",
        r"/*/*/ancestors | /content/convert-ids-to-types",
        "read:content.metadata:confluence",
    ),
    _row("GET", r"/(labels|spaces)/*/(pages|blogposts)", "read:page:confluence"),
    _row(
        _ALL,
        r"/spaces/*/role-assignments | /space-(permissions|roles)(/*)?",
        "{verb}:space.permission:confluence",
    ),
    _row(
        _WRITE,
        r"/(?P<kind>attachment|comment|custom-content|database|embed|folder|page|space"
        r"|whiteboard)s?/*/(properties|classification-level/default)(/*)?",
        "read:{kind}:confluence write:{kind}:confluence",
    ),
    _row(
        _WRITE,
        r"/blogposts/*/properties(/*)?",
        "read:page:confluence write:page:confluence",
    ),
    _row(
        "DELETE",
        r"/(?P<kind>attachment|custom-content|database|embed|folder|page|whiteboard)s?/*",
        "delete:{kind}:confluence",
    ),
    _row("DELETE", r"/blogposts/*", "delete:page:confluence"),
    _row("DELETE", r"/(footer|inline)-comments/*", "delete:comment:confluence"),
    _row(
        _ALL,
        r"/(?P<kind>attachment|custom-content|database|embed|folder|label|page|space|task"
        r"|whiteboard)s?(/.*)?",
        "{verb}:{kind}:confluence",
    ),
    _row(_ALL, r"/blogposts(/.*)?", "{verb}:page:confluence"),
    _row(_ALL, r"/(footer|inline)-comments(/.*)?", "{verb}:comment:confluence"),
    _row("GET", r"/data-policies/spaces", "read:space:confluence"),
    _row(
        "GET POST",
        r"/classification-levels | /data-policies/metadata | /user/access/.+",
        "read:configuration:confluence",
    ),
    _row("POST", r"/users-bulk", "read:user:confluence"),
)

_APIS = (
    (_pattern(r"/ex/jira/*/rest/api/(2|3|latest)"), _JIRA),
    (_pattern(r"/ex/jira/*/rest/agile/(1\.0|latest)"), _JIRA_SOFTWARE),
    (_pattern(r"/ex/jira/*/rest/servicedeskapi"), _SERVICE_MANAGEMENT),
    (_pattern(r"/ex/confluence/*(/wiki)?/rest/api"), _CONFLUENCE_V1),
    (_pattern(r"/ex/confluence/*(/wiki)?/api/v2"), _CONFLUENCE_V2),
    (_pattern(r""), _ACCOUNT),
)


#: Paths that answer 410 Gone, and what to use; "" for what lies among them and has not moved.
#: Source: Confluence, for OAuth only, since about 2026-08-17: mcp-atlassian#1598 and
#: markdown-confluence#796; its spaces since 2025: atlassian-python-api#1560. Jira: CHANGE-2046 in
#: its changelog, 2025.
_MOVED = (
    (_pattern(r"/ex/jira/*/rest/api/(2|3|latest)/search"), "/rest/api/3/search/jql"),
    (
        _pattern(
            r"/ex/confluence/*(/wiki)?/rest/api/content"
            r"(/search | /*/(child/attachment|label|restriction)(/.*)?)"
        ),
        "",
    ),
    (_pattern(r"/ex/confluence/*(/wiki)?/rest/api/content(/.*)?"), "/wiki/api/v2/pages"),
    (_pattern(r"/ex/confluence/*(/wiki)?/rest/api/space(/.*)?"), "/wiki/api/v2/spaces"),
)


def scopes_for(method: str, path: str) -> tuple[str, ...]:
    """The scopes that open a path of the gateway, as far as they are known.

    Args:
        method: Of the request.
        path: Of the URL, without the query, such as `/ex/jira/{cloudid}/rest/api/3/myself`.

    Returns:
        The alternatives, most useful first; each is a set of scopes, separated by blanks, that
        suffices. An empty set: any token will do. No alternatives: nothing is known.
    """
    method = "GET" if method.upper() in ("HEAD", "OPTIONS") else method.upper()
    path = path.rstrip("/")
    for row, fit in _fitting(path):
        if method in row.methods:
            known = {"verb": "read" if method == "GET" else "write", **fit.groupdict()}
            return tuple(alternative.format_map(known) for alternative in row.alternatives)
    return ()


def successor_of(path: str) -> str:
    """What to use in place of a path that answers 410 Gone.

    Args:
        path: Of a URL of the gateway, without the query.

    Returns:
        A path below the product's base URL, such as `/wiki/api/v2/pages`; "" when none is known.
    """
    path = path.rstrip("/")
    return next((successor for moved, successor in _MOVED if moved.fullmatch(path)), "")


def _fitting(path: str) -> Iterator[tuple[_Row, re.Match[str]]]:
    """The rows that speak of the path, in order, whatever the method."""
    for api, rows in _APIS:
        if found := api.match(path):
            for row in rows:
                if fit := row.path.fullmatch(path, found.end()):
                    yield row, fit

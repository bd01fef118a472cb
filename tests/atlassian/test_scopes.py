"""Which scopes a URL of the gateway needs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
from hypothesis import Phase, find, given, settings, strategies as st

from atlassian_auth_adapter import AtlassianAuth, AtlassianHTTPXAuth
from atlassian_auth_adapter.atlassian import scopes
from atlassian_auth_adapter.atlassian.products import PRODUCTS
from atlassian_auth_adapter.atlassian.scopes import (
    lacking,
    scope_set,
    scopes_for,
    shortened,
    successor_of,
)
from atlassian_auth_adapter.errors import ConfigurationError

CLOUD_ID = "11111111-2222-3333-4444-555555555555"
JIRA = f"/ex/jira/{CLOUD_ID}"
CONFLUENCE = f"/ex/confluence/{CLOUD_ID}"


FIRST_ALTERNATIVES = [
    ("GET", f"{JIRA}/rest/api/3/issue/ACME-1", "read:jira-work"),
    ("HEAD", f"{JIRA}/rest/api/2/issue/ACME-1/", "read:jira-work"),
    ("put", f"{JIRA}/rest/api/3/issue/ACME-1", "write:jira-work"),
    ("GET", f"{JIRA}/rest/api/3/issue/createmeta", "read:jira-work"),
    ("GET", f"{JIRA}/rest/api/3/issue/ACME-1/comment", "read:jira-work"),
    ("POST", f"{JIRA}/rest/api/3/issue/ACME-1/attachments", "write:jira-work"),
    ("POST", f"{JIRA}/rest/api/3/search/jql", "read:jira-work"),
    ("GET", f"{JIRA}/rest/api/latest/myself", "read:jira-user"),
    ("GET", f"{JIRA}/rest/api/3/project/ACME", "read:jira-work"),
    ("PUT", f"{JIRA}/rest/api/3/project/ACME", "manage:jira-project"),
    ("POST", f"{JIRA}/rest/api/3/project", "manage:jira-configuration"),
    ("POST", f"{JIRA}/rest/api/3/field", "manage:jira-configuration"),
    ("POST", f"{JIRA}/rest/api/3/webhook", "manage:jira-webhook read:jira-work"),
    ("GET", f"{JIRA}/rest/api/3/serverInfo", ""),
    ("GET", f"{JIRA}/rest/agile/1.0/sprint/1", "read:sprint:jira-software"),
    ("POST", f"{JIRA}/rest/agile/1.0/sprint", "write:sprint:jira-software"),
    ("DELETE", f"{JIRA}/rest/agile/1.0/sprint/1", "delete:sprint:jira-software"),
    ("GET", f"{JIRA}/rest/servicedeskapi/request/1", "read:servicedesk-request"),
    ("POST", f"{JIRA}/rest/servicedeskapi/request", "write:servicedesk-request"),
    ("POST", f"{JIRA}/rest/servicedeskapi/customer", "manage:servicedesk-customer"),
    ("GET", f"{CONFLUENCE}/wiki/rest/api/audit", "read:audit-log:confluence"),
    ("PUT", f"{CONFLUENCE}/wiki/rest/api/audit/retention", "write:audit-log:confluence"),
    ("GET", f"{CONFLUENCE}/rest/api/audit/since", "read:audit-log:confluence"),
    ("GET", f"{CONFLUENCE}/wiki/rest/api/user/current", "read:confluence-user"),
    ("GET", f"{CONFLUENCE}/wiki/rest/api/search", "search:confluence"),
    ("GET", f"{CONFLUENCE}/wiki/rest/api/group", "read:confluence-groups"),
    ("POST", f"{CONFLUENCE}/wiki/rest/api/group", "write:confluence-groups"),
    ("GET", f"{CONFLUENCE}/wiki/rest/api/content/1/restriction", "read:confluence-content.all"),
    ("GET", f"{CONFLUENCE}/wiki/rest/api/content/1/label", "read:confluence-content.summary"),
    ("POST", f"{CONFLUENCE}/wiki/rest/api/content/1/label", "write:confluence-content"),
    (
        "PUT",
        f"{CONFLUENCE}/wiki/rest/api/content/1/child/attachment",
        "write:confluence-file",
    ),
    (
        "GET",
        f"{CONFLUENCE}/wiki/rest/api/settings/systemInfo",
        "manage:confluence-configuration",
    ),
    ("GET", f"{CONFLUENCE}/wiki/api/v2/pages", "read:page:confluence"),
    ("GET", f"{CONFLUENCE}/api/v2/pages/1", "read:page:confluence"),
    ("POST", f"{CONFLUENCE}/wiki/api/v2/blogposts", "write:page:confluence"),
    ("DELETE", f"{CONFLUENCE}/wiki/api/v2/pages/1", "delete:page:confluence"),
    ("GET", f"{CONFLUENCE}/wiki/api/v2/pages/1/attachments", "read:attachment:confluence"),
    ("GET", f"{CONFLUENCE}/wiki/api/v2/spaces", "read:space:confluence"),
    ("POST", f"{CONFLUENCE}/wiki/api/v2/footer-comments", "write:comment:confluence"),
    ("GET", "/me", "read:me"),
    ("GET", "/oauth/token/accessible-resources", ""),
]


def test_the_first_alternative() -> None:
    """The first answer is what the API documents name for the operation."""
    for method, path, alternative in FIRST_ALTERNATIVES:
        assert scopes_for(method, path)[0] == alternative, (method, path)


def test_alternatives_come_classic_first() -> None:
    """Rows 3 and 4: the audit log opens to a classic scope, or to two granular ones together.

    Source: the API document at developer.atlassian.com, and simstudioai/sim#5005, 2026-06-12.
    """
    assert scopes_for("GET", f"{JIRA}/rest/api/3/auditing/record") == (
        "manage:jira-configuration",
        "read:audit-log:jira read:user:jira",
    )


def test_part_of_a_set_does_not_suffice() -> None:
    """What is missing is told of the alternative that is nearest, the first one when in doubt.

    Source: "scope does not match" for part of a set of granular scopes, simstudioai/sim#5005.
    """
    audit = scopes_for("GET", f"{JIRA}/rest/api/3/auditing/record")
    for granted, missing in (
        ("", "manage:jira-configuration"),
        ("read:jira-work", "manage:jira-configuration"),
        ("manage:jira-configuration", ""),
        ("read:audit-log:jira read:jira-user", "manage:jira-configuration"),
        ("read:user:jira read:audit-log:jira offline_access", ""),
    ):
        assert lacking(audit, granted.split()) == missing, granted
    me = scopes_for("GET", f"{JIRA}/rest/api/3/myself")
    assert lacking(me, ["read:user:jira"]) == "read:jira-user"
    attachment = scopes_for("PUT", f"{CONFLUENCE}/wiki/rest/api/content/1/child/attachment/2")
    props = "write:confluence-props"
    assert lacking(attachment, ["write:confluence-file"]) == props
    assert lacking(attachment, ["read:content-details:confluence", "read:page:confluence"]) == (
        "write:attachment:confluence"
    )
    assert lacking([], ["read:jira-work"]) == lacking([""], []) == ""


#: What each named set is for: product, names, and what it opens.
SETS = [
    ("jira", "read", [("GET", "/rest/api/3/issue/A-1"), ("POST", "/rest/api/3/search/jql"),
                      ("GET", "/rest/api/3/field"), ("GET", "/rest/api/3/myself")]),
    ("jira", "write", [("GET", "/rest/api/3/issue/A-1"), ("POST", "/rest/api/3/issue"),
                       ("POST", "/rest/api/3/issue/A-1/attachments"),
                       ("GET", "/rest/api/3/myself")]),
    ("jira", "audit", [("GET", "/rest/api/3/auditing/record"), ("GET", "/rest/api/3/myself")]),
    ("confluence", "read", [("GET", "/wiki/api/v2/pages/1"), ("GET", "/wiki/api/v2/spaces"),
                            ("GET", "/wiki/api/v2/pages/1/footer-comments"),
                            ("GET", "/wiki/api/v2/pages/1/attachments"),
                            ("GET", "/wiki/rest/api/content/1/child/attachment/2/download"),
                            ("GET", "/wiki/rest/api/search"),
                            ("GET", "/wiki/rest/api/user/current")]),
    ("confluence", "write", [("GET", "/wiki/api/v2/pages/1"), ("PUT", "/wiki/api/v2/pages/1"),
                             ("POST", "/wiki/api/v2/footer-comments"),
                             ("POST", "/wiki/rest/api/content/1/label"),
                             ("POST", "/wiki/rest/api/content/1/child/attachment"),
                             ("GET", "/wiki/rest/api/user/current")]),
    ("confluence", "audit", [("GET", "/wiki/rest/api/audit"), ("GET", "/wiki/rest/api/audit/since"),
                             ("GET", "/wiki/rest/api/user/current")]),
]  # fmt: skip


@pytest.mark.parametrize(("product", "name", "opened"), SETS)
def test_a_named_set_opens_what_it_is_for(
    product: str, name: Any, opened: list[tuple[str, str]]
) -> None:
    """Also who is signed in; and the login can be refreshed. Reading changes nothing.

    Source: the API documents of Atlassian, field `security`, as in scopes.toml.
    """
    found = scope_set(product, name)
    gateway = f"{PRODUCTS[product].gateway_path}/{CLOUD_ID}"
    for method, path in opened:
        assert scopes_for(method, gateway + path), path
        assert lacking(scopes_for(method, gateway + path), found) == "", path
    assert "offline_access" in found
    assert name == "write" or not [
        scope for scope in found if not re.match("read|search|off", scope)
    ]


def test_every_named_set_is_tried() -> None:
    """The table above is whole."""
    assert {(product, name) for product, name, _ in SETS} == {
        (product, name) for product, of in scopes._document()["sets"].items() for name in of
    }


def test_named_sets_may_be_joined() -> None:
    """Each scope once, in a form that `scopes=` takes."""
    both = scope_set("Jira", "write", "audit")
    assert len(set(both)) == len(both)
    assert set(both) == {*scope_set("jira", "write"), *scope_set("jira", "audit")}


@pytest.mark.parametrize(
    "arguments",
    [("jira",), ("jira", "admin"), ("bitbucket", "read"), ("trello", "read"), ("", "read"),
     ("read:jira-work", "read"), (None, "read"), ("jira", "read", "x"), ("jira", ["read"])],
)  # fmt: skip
def test_an_unknown_set_is_refused_with_those_that_there_are(arguments: Any) -> None:
    """The error lists products and names."""
    with pytest.raises(ConfigurationError, match=r"'jira' has 'read', 'write', 'audit' and 'conf"):
        scope_set(*arguments)


def test_what_is_not_known_has_no_alternatives() -> None:
    """Nothing is guessed for unknown paths and methods, and for what no scope opens."""
    for method, path in (
        ("GET", ""),
        ("GET", "/"),
        ("POST", "/me"),
        ("GET", f"{JIRA}/me"),
        ("GET", "/rest/api/3/myself"),
        ("GET", "/ex/jira//rest/api/3/myself"),
        ("GET", f"{JIRA}/rest/api/4/myself"),
        ("GET", f"{JIRA}/rest/api/3/issues-of-mine"),
        ("GET", f"{JIRA}/rest/api/3/user/email"),
        ("BREW", f"{JIRA}/rest/api/3/issue/ACME-1"),
        ("GET", f"{JIRA}/wiki/rest/api/user/current"),
        ("GET", f"{CONFLUENCE}/rest/api/3/myself"),
        ("GET", f"{CONFLUENCE}/wiki/rest/api/content/1"),
        ("GET", f"{CONFLUENCE}/wiki/api/v3/pages"),
    ):
        assert scopes_for(method, path) == (), (method, path)


def test_the_default_scopes_suffice_for_the_package_itself() -> None:
    """They open the identity, and the audit log of Confluence; that of Jira needs one more.

    Jira's default is that of the older integration on purpose: `scope_set("jira", "audit")` has
    what the API document asks for.
    """
    for product, audit, missing in (
        ("jira", "/rest/api/3/auditing/record", "manage:jira-configuration"),
        ("confluence", "/wiki/rest/api/audit", ""),
    ):
        record = PRODUCTS[product]
        gateway = f"{record.gateway_path}/{CLOUD_ID}"
        identity = scopes_for("GET", gateway + record.cloud_identity)
        assert lacking(identity, record.cloud_scopes) == ""
        assert lacking(scopes_for("GET", gateway + audit), record.cloud_scopes) == missing


@pytest.mark.parametrize("rows", [rows for _, rows in scopes._apis()])
def test_every_row_can_be_reached(rows: tuple[scopes._Row, ...]) -> None:
    """No row is hidden by the rows above it: for each there is a path that it decides."""

    def first(method: str, path: str) -> scopes._Row | None:
        fits = (row for row in rows if method in row.methods and row.path.fullmatch(path))
        return next(fits, None)

    without_shrinking = settings(derandomize=True, database=None, phases=[Phase.generate])
    visible = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
    for row in rows:
        paths = st.from_regex(row.path, fullmatch=True, alphabet=visible)
        find(
            st.tuples(st.sampled_from(sorted(row.methods)), paths),
            lambda example, row=row: first(*example) is row,
            settings=without_shrinking,
        )


@given(method=st.text(), path=st.text())
def test_nothing_makes_it_raise(method: str, path: str) -> None:
    """Whatever the method and the path, there is an answer."""
    assert scopes_for(method, path) == ()
    assert successor_of(path) == ""


@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "get"]),
    api=st.sampled_from(
        [
            f"{JIRA}/rest/api/3",
            f"{JIRA}/rest/agile/1.0",
            f"{JIRA}/rest/servicedeskapi",
            f"{CONFLUENCE}/wiki/rest/api",
            f"{CONFLUENCE}/api/v2",
        ]
    ),
    rest=st.lists(
        st.sampled_from(["issue", "board", "sprint", "request", "content", "pages", "spaces", "1"])
        | st.text()
    ),
)
def test_alternatives_are_sets_of_scopes(method: str, api: str, rest: list[str]) -> None:
    """An alternative is a list of well-formed scopes, with nothing left to be filled in."""
    for alternative in scopes_for(method, "/".join([api, *rest])):
        for scope in alternative.split():
            assert re.fullmatch(r"[a-z]+:[a-z.-]+(:[a-z-]+)?", scope)


def test_the_successor_of_what_is_gone() -> None:
    """Paths that answer 410 Gone have a successor; paths among them that still work have none."""
    for path, successor in (
        (f"{JIRA}/rest/api/3/search", "/rest/api/3/search/jql"),
        (f"{JIRA}/rest/api/2/search/", "/rest/api/3/search/jql"),
        (f"{CONFLUENCE}/wiki/rest/api/content", "/wiki/api/v2/pages"),
        (f"{CONFLUENCE}/rest/api/content/1", "/wiki/api/v2/pages"),
        (f"{CONFLUENCE}/wiki/rest/api/content/1/child/page", "/wiki/api/v2/pages"),
        (f"{CONFLUENCE}/wiki/rest/api/space", "/wiki/api/v2/spaces"),
        (f"{CONFLUENCE}/wiki/rest/api/space/ACME", "/wiki/api/v2/spaces"),
        (f"{CONFLUENCE}/wiki/rest/api/content/search", ""),
        (f"{CONFLUENCE}/wiki/rest/api/content/1/label", ""),
        (f"{CONFLUENCE}/wiki/rest/api/content/1/child/attachment", ""),
        (f"{CONFLUENCE}/wiki/rest/api/search", ""),
        (f"{CONFLUENCE}/wiki/api/v2/pages", ""),
        (f"{JIRA}/rest/api/3/search/jql", ""),
        (f"{JIRA}/rest/api/3/content", ""),
    ):
        assert successor_of(path) == successor, path


def test_without_its_data_nothing_is_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A program frozen without the file: requests go on, only their hints are missing."""
    caches = (scopes._document, scopes._apis, scopes._moved)
    for cached in caches:
        cached.cache_clear()
    monkeypatch.setattr("importlib.resources.files", lambda _: tmp_path)
    try:
        assert scopes_for("GET", f"{JIRA}/rest/api/3/myself") == ()
        assert successor_of(f"{JIRA}/rest/api/3/search") == ""
        with pytest.raises(ConfigurationError, match="none is installed"):
            scope_set("jira", "read")
    finally:
        for cached in caches:
            cached.cache_clear()


def test_granted_scopes_are_shortened_to_a_line() -> None:
    """A few are shown whole; of many those that fit, and how many more there are."""
    assert shortened([]) == ""
    assert shortened(["write:b", "read:a"]) == "read:a write:b"
    for count in (4, 28, 236):
        names = [f"read:some-granular-thing-{number:03}:confluence" for number in range(count)]
        assert shortened(names) == f"{names[0]} {names[1]} and {count - 2} more"
    assert shortened(["x" * 500, "y"]) == "and 2 more"


@pytest.mark.parametrize("library", ["requests", "httpx"])
def test_the_table_is_read_when_it_is_needed_only(library: str, make_client: Any) -> None:
    """A sign-in and a request that is answered do not read it; an answer about a scope does."""
    for cached in (scopes._document, scopes._apis, scopes._moved):
        cached.cache_clear()
    client = make_client()
    for path, is_read in (("myself", False), ("auditing/record", True)):
        url = f"{client.base_url}/rest/api/3/{path}"
        if library == "requests":
            requests.get(url, auth=AtlassianAuth(client), timeout=10)
        else:
            httpx.get(url, auth=AtlassianHTTPXAuth(client), timeout=10)
        assert bool(scopes._document.cache_info().currsize) == is_read

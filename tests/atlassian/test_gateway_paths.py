"""The APIs of the gateway beside /ex/: which carry the token, and what is said about the others."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from atlassian_auth_adapter import ConfigurationError
from atlassian_auth_adapter.atlassian.gateway import CloudGateway
from atlassian_auth_adapter.atlassian.gateway_paths import checked_gateway_paths
from atlassian_auth_adapter.atlassian.locations import Location

API, SITE, ID = "https://api.atlassian.com", "https://acme.atlassian.net", "11111111-2222-3333"
OTHER = "99999999-2222-3333"
AUTOMATION = "/automation/public/jira/{cloudId}"
GATEWAY = CloudGateway(API, ID, site_url=SITE)
OPEN = CloudGateway(
    API, ID, site_url=SITE, gateway_paths=checked_gateway_paths(["/graphql", AUTOMATION, "/a/b"])
)
OPS, FORMS, ASSETS = f"/jsm/ops/api/{ID}", f"/jira/forms/cloud/{ID}", "/jsm/assets/workspace/w-1/v1"


def test_ops_forms_and_assets_carry_the_token() -> None:
    """Row 8: their paths of the gateway carry it, in the form for OAuth tokens, whatever the
    product of the client; that form maps to itself.
    """
    for path, sent in (
        (f"{OPS}/v1/alerts", f"{OPS}/v1/alerts"),
        (OPS, OPS),
        (f"{FORMS}/issue/A-1/form", f"/ex/jira/{ID}/forms/issue/A-1/form"),
        (FORMS, f"/ex/jira/{ID}/forms"),
        (f"{ASSETS}/object/1", f"/ex/jira/{ID}{ASSETS}/object/1"),
    ):
        for gateway in (GATEWAY, CloudGateway(API, ID, "/ex/confluence"), OPEN):
            route = gateway.route(Location.of(API + path))
            assert (route.bearer, route.location) == (True, Location.of(API + sent))
            assert gateway.route(route.location) == route


@pytest.mark.parametrize(
    "path",
    [
        *(f"/jsm/ops/api/{OTHER}/v1/alerts", f"/jira/forms/cloud/{OTHER}/issue/A-1/form"),
        *(f"/jsm/ops/api/{ID}x/v1", f"/jsm/ops/api/{ID}%2f/v1", f"/jsm//ops/api/{ID}/v1"),
        *(f"{OPS}/../{OTHER}/v1", f"{OPS}/%2e%2e/{OTHER}/v1", f"{OPS}\\..\\{OTHER}"),
        *(f"{OPS};x/v1", f"/JSM/ops/api/{ID}/v1", "/jsm/ops/api", f"/jsm/ops/{ID}"),
        *("/jsm/assets", "/jsm/assets/x", "/jsm/assets/workspace/../x", "/jsm/assets/workspaces/1"),
        *(
            "/graphql",
            "/graphqlx",
            f"/automation/public/jira/{ID}/rest/v1/rule",
            "/public/teams/v1",
        ),
    ],
)
def test_other_paths_of_the_gateway_carry_no_token(path: str) -> None:
    """Row 8: another cloud id, crooked ways to it, and what has to be opened by the option."""
    route = GATEWAY.route(Location.of(API + path))
    assert (route.bearer, route.location) == (False, Location.of(API + path))


def test_these_paths_are_the_gateways_alone() -> None:
    """Row 8: not at the site, another port, plain http or another host."""
    for origin in (SITE, f"{API}:8443", "http://api.atlassian.com", "https://evil.example"):
        for path in (f"{OPS}/v1", f"{FORMS}/x", f"{ASSETS}/x", "/graphql", "/a/b"):
            assert not OPEN.route(Location.of(origin + path)).bearer, origin + path


def test_the_option_opens_its_paths_and_what_is_below() -> None:
    """Row 8: on the gateway, letter by letter; `{cloudId}` is that of the login."""
    for path, bearer in (
        *(("/graphql", True), ("/graphql/", True), ("/graphql/x", True), ("/a/b/c%20d", True)),
        (f"/automation/public/jira/{ID}/rest/v1/rule", True),
        (f"/automation/public/jira/{OTHER}/rest/v1/rule", False),
        (f"/automation/public/confluence/{ID}/rest/v1/rule", False),
        (f"/automation/public/jira/{ID}/../{OTHER}/rest", False),
        (f"/ex/jira/{OTHER}/rest/api/3/myself", False),
        (f"/jsm/ops/api/{OTHER}/v1/alerts", False),
        *(("/graphqlx", False), ("/%67raphql", False), ("/a", False), ("/a/bc", False)),
        *(("//graphql", False), ("/graphql/../me/x", False), ("/graphql/..;/x", False)),
    ):
        route = OPEN.route(Location.of(API + path))
        assert (route.bearer, route.location) == (bearer, Location.of(API + path)), path


@given(st.lists(st.sampled_from(
    ["ex", "jira", "graphql", "automation", "public", "a", "b", ID, OTHER, "..", "%2e%2e", ";",
     "jsm", "ops", "api", "forms", "cloud", "assets", "workspace", "%65x", "", ".", "%6a%73m"]
), max_size=7))  # fmt: skip
def test_no_path_leads_to_another_site(parts: list[str]) -> None:
    """Row 8: what carries the token begins like one of the paths of this site, or of the option."""
    route = OPEN.route(Location.of(f"{API}/{'/'.join(parts)}"))
    if route.bearer:
        path = f"{route.location.path}/"
        own = (OPS, "/graphql", f"/automation/public/jira/{ID}", "/a/b")
        assert path.startswith(tuple(f"{each}/" for each in own)) or path.split("/")[3] == ID
        assert OPEN.route(route.location) == route


#: What is asked for, and what the hint says.
HINTS = [
    (f"{API}/graphql", "gateway_paths=('/graphql',)"),
    (f"{API}/public/teams/v1/org/o/teams", "gateway_paths=('/public/teams',)"),
    (f"{API}/automation/public/jira/{ID}/rest/v1/rule", f"gateway_paths=({AUTOMATION!r},)"),
    (f"{API}/automation/public/jira/{OTHER}/rest/v1/rule", f"not one of the site {ID}"),
    (f"{API}/jsm/ops/api/{OTHER}/v1/alerts", f"not one of the site {ID}"),
    (f"{API}/jira/forms/cloud/{OTHER}/x", f"not one of the site {ID}"),
    (f"{API}/ex/jira/{OTHER}/rest", f"use {API}/ex/jira/{ID}."),
    (f"{API}/admin/v1/orgs", "StaticTokenSource.organization_key(key)"),
    (f"{API}/users/557058:1/manage/profile", "StaticTokenSource.organization_key(key)"),
    (f"{SITE}/jsm/assets/workspace/w/v1/object/1",
     f"write {API}/ex/jira/{ID}/jsm/assets/workspace/... instead"),
    (f"{SITE}/gateway/api/jsm/assets/workspace/w/v1/object/1",
     f"write {API}/ex/jira/{ID}/jsm/assets/workspace/... instead"),
    (f"{SITE}/gateway/api/jsm/ops/api/{ID}/v1/alerts", f"write {API}/jsm/ops/api/{ID}/... instead"),
    (f"{SITE}/gateway/api/jira/forms/cloud/{ID}/x", f"write {API}/ex/jira/{ID}/forms/... instead"),
    (f"{SITE}/gateway/api/graphql", f"write {API}/graphql instead. The token"),
    (f"{SITE}/browse/A-1", "no counterpart"),
]  # fmt: skip


def test_the_hint_names_the_right_url_or_the_option() -> None:
    """Row 8: what to write in place of each, and the option of the client that opens it; rows 9 and
    20: the key of an organization, and a custom domain.
    """
    custom = "https://jira.company.com/rest/api/3/myself"
    for url, right in (*HINTS, (custom, f"write {SITE}/rest/...")):
        route = GATEWAY.route(Location.of(url))
        assert not route.bearer
        assert right in route.hint, (url, route.hint)
    opened = OPEN.route(Location.of(f"{SITE}/gateway/api/graphql")).hint
    assert f"write {API}/graphql instead." in opened


def test_a_custom_domain_is_routed_to_the_gateway() -> None:
    """Row 20: it accepts no token (AX-649), so its resources are asked of the gateway."""
    gateway = CloudGateway(API, ID, site_url="https://jira.company.com")
    route = gateway.route(Location.of("https://jira.company.com/rest/api/3/myself"))
    assert route.bearer
    assert route.location == Location.of(f"{gateway.base_url}/rest/api/3/myself")


@pytest.mark.parametrize(
    "paths",
    [
        *("graphql", "https://evil.example/graphql", "//evil.example", "/", "", "/a//b", "/a/../b"),
        *(
            "/a/.",
            "/.",
            "/a?b",
            "/a#b",
            "/a%2e",
            "/a\\b",
            "/a;b",
            "/a@b",
            "/\u00e9",
            "/a\n",
            "/a{x}",
        ),
        *("/a{cloudId}", "/{cloud_id}", 5, None, b"/graphql"),
    ],
)
def test_a_malformed_path_is_refused(paths: Any) -> None:
    """It names no other origin, and is read the same by every server."""
    with pytest.raises(ConfigurationError, match="gateway_paths: give a list of paths"):
        checked_gateway_paths([paths])


@pytest.mark.parametrize(
    "path",
    [
        *("/ex", "/ex/", "/EX/jira", f"/ex/jira/{OTHER}", "/ex/jira/{cloudId}", "/jsm", "/jira"),
        *("/jira/forms", "/jsm/ops/api", f"/jsm/ops/api/{OTHER}", "/jsm/assets/workspace/w"),
        *("/automation", "/automation/public/jira", f"/automation/public/jira/{OTHER}"),
        *("/Automation/public/jira/{cloudId}", "/automation/public/{cloudId}"),
    ],
)
def test_the_option_opens_no_other_site(path: str) -> None:
    """Where the cloud id decides there is nothing to open; Automation needs the placeholder."""
    with pytest.raises(ConfigurationError, match=r"gateway_paths: (below|Automation)"):
        checked_gateway_paths([path])


def test_the_option_is_a_list_or_a_text() -> None:
    """As `scopes`; the same path twice is one, and a slash at the end changes nothing."""
    assert checked_gateway_paths(["/graphql", "/graphql/"]) == ("/graphql",)
    assert checked_gateway_paths("/graphql /public/teams") == ("/graphql", "/public/teams")
    for none in (None, (), [], ""):
        assert checked_gateway_paths(none) == ()
    for wrong in (5, b"/graphql"):
        with pytest.raises(ConfigurationError, match="gateway_paths: give a list"):
            checked_gateway_paths(wrong)

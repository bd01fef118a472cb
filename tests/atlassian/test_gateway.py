"""Which URL may carry the token: properties of the rules, and the URLs that SDKs really send."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote

import pytest
from hypothesis import assume, given, strategies as st

from atlassian_auth_adapter import ConfigurationError
from atlassian_auth_adapter.atlassian.gateway import (
    CloudGateway,
    Location,
    OneServer,
    is_loopback,
    normalized_base_url,
)

API, SITE, ID = "https://api.atlassian.com", "https://acme.atlassian.net", "11111111-2222-3333"
OTHER = "99999999-2222-3333"
GATEWAY = CloudGateway(API, ID, site_url=SITE)
SERVER = OneServer("https://jira.company.com:8443/jira")

# Pieces of which hostile and harmless URLs are made.
segments = st.sampled_from(
    ["", "ex", "jira", "confluence", ID, OTHER, "rest", "wiki", "api", "3", "me", "oauth", "token",
     "accessible-resources", "..", ".", "%2e%2e", "%2E.", "%252e%252e", "..;", "..;a=b", "..%2f",
     "%2f..", "..\\", "\\..", "a\\b", "%5c", "a%20b", "secure", "Jira", "jiraevil", "_edge"]
)  # fmt: skip
paths = st.lists(segments, max_size=8).map(lambda parts: "/" + "/".join(parts))
prefixed = st.sampled_from(
    ["", f"/ex/jira/{ID}", f"/ex/jira/{OTHER}", f"/ex/confluence/{ID}", "/rest", "/wiki/api",
     "/wiki/rest", "/jira", "/jira/rest"]
)  # fmt: skip
hosts = st.sampled_from(
    ["api.atlassian.com", "acme.atlassian.net", "evil.example", "api.atlassian.com.evil.example",
     "jira.company.com", "api.atlassian.com.", "xapi.atlassian.com", "127.0.0.1"]
)  # fmt: skip
locations = st.builds(
    Location,
    st.sampled_from(["https", "http", "ftp", ""]),
    hosts,
    st.sampled_from([None, 443, 80, 8443, 1]),
    st.builds(lambda prefix, path: prefix + path, prefixed, paths),
    st.booleans(),
)


def _dots(path: str) -> bool:
    """Whether any server could see a dot segment, however it decodes."""
    for _ in range(3):
        if any(
            part.partition(";")[0] in (".", "..") for part in path.replace("\\", "/").split("/")
        ):
            return True
        path = unquote(path)
    return False


@given(
    locations,
    st.sampled_from([GATEWAY, CloudGateway(API, ID), CloudGateway(API, ID, "/ex/confluence")]),
)
def test_a_cloud_token_goes_to_its_own_site_on_the_gateway_only(
    location: Location, gateway: CloudGateway
) -> None:
    """Origin of the gateway, path under the own cloud id (or about the grant itself), no tricks."""
    route = gateway.route(location)
    if not route.bearer:
        assert route.location == location  # passed on untouched
        return
    target = route.location
    assert target.origin == ("https", "api.atlassian.com", 443)
    assert not target.userinfo
    assert not _dots(target.path)
    parts = target.path.split("/")
    assert target.path in ("/me", "/oauth/token/accessible-resources") or (
        parts[1] == "ex" and parts[3] == ID
    )


@given(locations)
def test_the_rules_are_idempotent(location: Location) -> None:
    """A URL that was mapped maps to itself: sending a request twice does no harm."""
    for server in (GATEWAY, SERVER):
        once = server.route(location)
        assert server.route(once.location) == once


@given(locations)
def test_a_data_center_token_goes_under_the_base_url_only(location: Location) -> None:
    """Same scheme, host and port, and below the context path."""
    route = SERVER.route(location)
    assert route.location == location
    if route.bearer:
        assert location.origin == ("https", "jira.company.com", 8443)
        assert f"{location.path}/".startswith("/jira/")
        assert not _dots(location.path)
        assert not location.userinfo


@given(locations)
def test_an_unknown_site_gives_the_token_to_no_other_host(location: Location) -> None:
    """While the cloud id is not known, only gateway and site are candidates at all."""
    route = CloudGateway(API, "", site_url=SITE).route(location)
    assert not route.bearer
    if route.undecided:
        assert location.origin[1] in ("api.atlassian.com", "acme.atlassian.net")
        assert location.origin[0] == "https"


@pytest.mark.parametrize(
    ("api", "url", "undecided"),
    [
        (API, SITE, True),
        (API, "http://acme.atlassian.net", False),
        (API, "https://jira.company.com", False),
        (API, "http://localhost:9200", False),
        (API, "https://127.0.0.1", False),
        ("http://127.0.0.1:8001", "http://127.0.0.1:8002", True),
        ("http://127.0.0.1:8001", SITE, False),
    ],
)
def test_who_may_turn_out_to_be_the_site(api: str, url: str, undecided: bool) -> None:
    """A site of Cloud; this machine only beside an emulator: others wait for no login."""
    assert CloudGateway(api, "").route(Location.of(f"{url}/rest/x")).undecided == undecided


@pytest.mark.parametrize("site", ["", SITE])
@pytest.mark.parametrize("url", ["http://acme.atlassian.net", "http://api.atlassian.com"])
def test_clear_text_is_hinted_at_before_anything_else(url: str, site: str) -> None:
    """No advice to pass an http URL as the site, which would be refused."""
    for cloud_id in ("", ID):
        route = CloudGateway(API, cloud_id, site_url=site).route(Location.of(f"{url}/rest/x"))
        assert route.hint == "Write https:// in place of http://."


@given(st.text(min_size=1).filter(lambda text: "/" not in text), st.integers(0, 2))
def test_no_encoding_hides_a_way_out(segment: str, encodings: int) -> None:
    """Percent-encode a dot segment as often as a server might decode it: no token."""
    hidden = ".."
    for _ in range(encodings):
        hidden = "".join(f"%{ord(c):02x}" for c in hidden) if "%" not in hidden else quote(hidden)
    assume(segment not in (".", ".."))
    path = f"/ex/jira/{ID}/{quote(segment)}/{hidden}/{hidden}/{OTHER}/rest"
    assert not GATEWAY.route(Location("https", "api.atlassian.com", None, path)).bearer


@pytest.mark.parametrize(
    ("url", "path"),
    [
        (f"{API}/ex/jira/{ID}/rest/api/3/myself", f"/ex/jira/{ID}/rest/api/3/myself"),
        (f"{API}/ex/confluence/{ID}/wiki/api/v2/pages", f"/ex/confluence/{ID}/wiki/api/v2/pages"),
        (f"{API}/ex/jira/{ID}", f"/ex/jira/{ID}"),
        (f"{API}:443/ex/jira/{ID}/", f"/ex/jira/{ID}/"),
        (f"{SITE}/rest/api/3/myself", f"/ex/jira/{ID}/rest/api/3/myself"),
        (f"{SITE}/rest/agile/1.0/board", f"/ex/jira/{ID}/rest/agile/1.0/board"),
        (f"{SITE}/wiki/rest/api/search", f"/ex/confluence/{ID}/wiki/rest/api/search"),
        (f"{SITE}/wiki/api/v2/spaces", f"/ex/confluence/{ID}/wiki/api/v2/spaces"),
        (f"{SITE}/ex/jira/{ID}/rest/api/3/myself", f"/ex/jira/{ID}/rest/api/3/myself"),
        (f"{API}/rest/api/3/myself", f"/ex/jira/{ID}/rest/api/3/myself"),
        (f"{API}/wiki/api/v2/pages", f"/ex/confluence/{ID}/wiki/api/v2/pages"),
        (f"{API}/me", "/me"),
        (f"{API}/oauth/token/accessible-resources", "/oauth/token/accessible-resources"),
        (f"{SITE}/browse/KEY-1", None),
        (f"{SITE}/secure/attachment/1/a.png", f"/ex/jira/{ID}/rest/api/3/attachment/content/1"),
        (f"{SITE}/secure/thumbnail/1/a.png", f"/ex/jira/{ID}/rest/api/3/attachment/thumbnail/1"),
        (f"{SITE}/secure/attachment/1/a/b.png", None),
        (f"{SITE}/secure/attachment/{{}}/a.png", None),
        (f"{SITE}/secure/projectavatar", None),
        (f"{SITE}/_edge/tenant_info", None),
        (f"{SITE}/wiki/download/attachments/1", None),
        (f"{SITE}/wiki/spaces/X", None),
        (f"{SITE}/me", None),
        (f"{SITE}/ex/jira/{OTHER}/rest", None),
        (f"{API}/ex/jira/{OTHER}/rest/api/3/myself", None),
        (f"{API}/ex/jira/{ID}evil/rest", None),
        (f"{API}/ex/jira/{ID[:-1]}/rest", None),
        (f"{API}/ex/jira//{ID}/rest", None),
        (f"{API}//ex/jira/{ID}/rest", None),
        (f"{API}/x/ex/jira/{ID}/rest", None),
        (f"{API}/graphql", None),
        (f"{API}/admin/v1/orgs", None),
        (f"{API}/me/", None),
        (f"{API}/", None),
        (f"{API}:8443/ex/jira/{ID}/rest", None),
        (f"http://api.atlassian.com/ex/jira/{ID}/rest", None),
        (f"https://user@api.atlassian.com/ex/jira/{ID}/rest", None),
        (f"https://api.atlassian.com@evil.example/ex/jira/{ID}/rest", None),
        (f"https://media.atlassian.com/ex/jira/{ID}/rest", None),
        (f"https://other.atlassian.net/ex/jira/{ID}/rest", None),
        (f"{API}/ex/jira/{ID}/../{OTHER}/rest", None),
        (f"{API}/ex/jira/{ID}/%2e%2e/{OTHER}/rest", None),
        (f"{API}/ex/jira/{ID}/..;/{OTHER}/rest", None),
        (f"{API}/ex/jira/{ID}/..%2f{OTHER}/rest", None),
        (f"{API}/ex/jira/{ID}/%252e%252e/{OTHER}/rest", None),
        (f"{API}/ex/jira/{ID}\\..\\{OTHER}/rest", None),
    ],
)
def test_the_urls_that_sdks_send(url: str, path: str | None) -> None:
    """Resources of the own site are sent to the gateway with the token; all else goes bare."""
    location = Location.of(url)
    route = GATEWAY.route(location)
    assert route.bearer == (path is not None)
    if path is None:
        assert route.location == location
    else:
        assert (route.location.origin, route.location.path) == (Location.of(API).origin, path)


@pytest.mark.parametrize(
    ("base", "url", "bearer"),
    [
        ("https://j.example/jira", "https://j.example/jira/rest/api/2/myself", True),
        ("https://j.example/jira", "https://j.example/jira", True),
        ("https://j.example/jira", "https://j.example:443/jira/", True),
        ("https://j.example/jira", "https://J.EXAMPLE/jira/x", True),
        ("https://j.example", "https://j.example/anything", True),
        ("https://j.example", "https://j.example", True),
        ("https://j.example/jira", "https://j.example/jiraevil", False),
        ("https://j.example/jira", "https://j.example/confluence/rest", False),
        ("https://j.example/jira", "https://j.example/JIRA/rest", False),
        ("https://j.example/jira", "https://j.example/", False),
        ("https://j.example/jira", "https://j.example/jira/../confluence", False),
        ("https://j.example/jira", "https://j.example/jira/..;/confluence", False),
        ("https://j.example/jira", "http://j.example/jira/rest", False),
        ("https://j.example/jira", "https://j.example:8443/jira/rest", False),
        ("https://j.example/jira", "https://k.j.example/jira/rest", False),
        ("http://localhost:8080", "http://localhost:8080/rest", True),
        ("http://localhost:8080", "http://localhost:8081/rest", False),
        ("http://[::1]:80", "http://[::1]/rest", True),
    ],
)
def test_data_center_keeps_to_origin_and_context_path(base: str, url: str, bearer: bool) -> None:
    """Another product behind the same host name gets nothing."""
    assert OneServer(normalized_base_url(base, "x")).route(Location.of(url)).bearer is bearer


def test_who_treats_a_dead_token_like_none() -> None:
    """Data Center does, the gateway does not."""
    assert SERVER.anonymous_fallback
    assert not GATEWAY.anonymous_fallback


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("https://jira.company.com", "https://jira.company.com"),
        ("https://jira.company.com/", "https://jira.company.com"),
        ("https://JIRA.company.com/Jira/", "https://jira.company.com/Jira"),
        ("HTTPS://jira.company.com:8443/a/b//", "https://jira.company.com:8443/a/b"),
        ("http://localhost:2990/jira", "http://localhost:2990/jira"),
        ("http://127.0.0.2", "http://127.0.0.2"),
        ("http://[::1]:2990", "http://[::1]:2990"),
    ],
)
def test_a_base_url_is_normalized(url: str, normal: str) -> None:
    """However it was typed, it is the same login; doing it again changes nothing."""
    assert normalized_base_url(url, "server_url") == normal
    assert normalized_base_url(normal, "server_url") == normal


@pytest.mark.parametrize(
    "url",
    [
        "jira.company.com",
        "https://",
        "https:///jira",
        "//jira.company.com",
        "ftp://jira.company.com",
        "javascript:alert(1)",
        "https://jira.company.com:port",
        "https://jira.company.com:99999",
        "https://jira.company.com:0",
        "https://[::1",
        "https://bob:s3cr3t@jira.company.com",
        "https://bob@jira.company.com",
        "https://bob:s3cr3t@jira.company.com:port",
        "ftp://bob:s3cr3t@jira.company.com",
        "https://jir\u00e4.company.com",
        "https://jira.company.com?x=1",
        "https://jira.company.com#top",
        "https://jira.company.com/a/../b",
        "https://jira.company.com/a/%2e%2e/b",
        "https://jira company.com",
        "https://jira.company.com\\evil.example",
        "https://jira.company.com/a\\b",
        "https://jira.company.com/a b",
        "https://jira.company.com\x00",
        "http://jira.company.com",
        "http://10.0.0.1/jira",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example",
        "http://0.0.0.0",
    ],
)
def test_a_base_url_that_is_none_is_refused(url: str) -> None:
    """Not https, not a URL, or with parts that a base URL must not have: told at once."""
    with pytest.raises(ConfigurationError, match="server_url") as caught:
        normalized_base_url(url, "server_url")
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("url", [None, 5, b"https://jira.company.com", ["https://x"]])
def test_a_base_url_that_is_no_text_is_refused(url: Any) -> None:
    """A wrong type is a ConfigurationError like any other wrong value."""
    with pytest.raises(ConfigurationError, match="server_url"):
        normalized_base_url(url, "server_url")


@given(st.text())
def test_no_text_makes_it_raise_anything_else(url: str) -> None:
    """Any text is a base URL or a ConfigurationError."""
    for text in (url, f"https://{url}", f"https://host/{url}", f"http://localhost:{url}"):
        try:
            normal = normalized_base_url(text, "x")
        except ConfigurationError:
            continue
        assert normalized_base_url(normal, "x") == normal


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("localhost.", False),
        ("localhost.example", False),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("::ffff:8.8.8.8", False),
        ("example.com", False),
        ("", False),
    ],
)
def test_which_hosts_are_this_machine(host: str, expected: bool) -> None:
    """Plain http is good enough for this machine only."""
    assert is_loopback(host) is expected

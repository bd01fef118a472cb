"""Which URL may carry the token: properties of the rules, and the URLs that SDKs send."""

from __future__ import annotations

from itertools import product
from typing import Any
from urllib.parse import quote, unquote

import pytest
from hypothesis import assume, given, strategies as st

from atlassian_auth_adapter import ConfigurationError
from atlassian_auth_adapter.atlassian.gateway import (
    CloudGateway,
    OneServer,
    is_cloud_host,
)
from atlassian_auth_adapter.atlassian.locations import Location, normalized_base_url

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
    """Origin of the gateway, path under its cloud id (or about the grant), no dot segment."""
    route = gateway.route(location)
    if not route.bearer:
        assert route.location == location
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
    """A URL that was mapped maps to itself: a request may be sent twice."""
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


def test_which_urls_are_undecided_while_the_site_is_not_known() -> None:
    """A site of Cloud; this machine only beside an emulator. No other URL waits for a login."""
    emulator = "http://127.0.0.1:8001"
    for api, url, undecided in (
        (API, SITE, True),
        (API, "http://acme.atlassian.net", False),
        (API, "https://jira.company.com", False),
        (API, "http://localhost:9200", False),
        (API, "https://127.0.0.1", False),
        (emulator, "http://127.0.0.1:8002", True),
        (emulator, SITE, False),
    ):
        route = CloudGateway(api, "").route(Location.of(f"{url}/rest/x"))
        assert route.undecided == undecided, url


def test_which_urls_are_undecided_while_the_url_of_the_site_is_not_known() -> None:
    """Resources of a site of Cloud. Each has a hint, for when the site is another one."""
    gateway = CloudGateway(API, ID, learns_site_url=True)
    for url, undecided in (
        (f"{SITE}/rest/api/3/myself", True),
        (f"{SITE}//wiki/api/v2/pages", True),
        (f"{SITE}/browse/A-1", False),
        (f"{SITE}/rest/../x", False),
        ("http://acme.atlassian.net/rest/x", False),
        ("https://jira.company.com/rest/api/3/myself", False),
        (f"{API}/ex/jira/{OTHER}/rest", False),
    ):
        route = gateway.route(Location.of(url))
        assert (route.bearer, route.undecided) == (False, undecided), url
        assert route.hint or not undecided
    assert gateway.route(Location.of(f"{API}/ex/jira/{ID}/rest")).bearer
    assert not CloudGateway(API, ID).route(Location.of(f"{SITE}/rest/x")).undecided


def test_the_first_hint_for_http_is_https() -> None:
    """No advice to pass an http URL as the site, which would be refused."""
    for url, site, cloud_id in product(
        ("http://acme.atlassian.net", "http://api.atlassian.com"), ("", SITE), ("", ID)
    ):
        route = CloudGateway(API, cloud_id, site_url=site).route(Location.of(f"{url}/rest/x"))
        assert route.hint == "Write https:// in place of http://."


@given(st.text(min_size=1).filter(lambda text: "/" not in text), st.integers(0, 12))
def test_no_encoding_hides_a_dot_segment(segment: str, encodings: int) -> None:
    """Percent-encode a dot segment as often as a server might decode it: no token."""
    hidden = ".."
    for _ in range(encodings):
        hidden = "".join(f"%{ord(c):02x}" for c in hidden) if "%" not in hidden else quote(hidden)
    assume(segment not in (".", ".."))
    path = f"/ex/jira/{ID}/{quote(segment)}/{hidden}/{hidden}/{OTHER}/rest"
    assert not GATEWAY.route(Location("https", "api.atlassian.com", None, path)).bearer


@pytest.mark.parametrize(
    "crooked",
    [
        *("x\\y", "x%5cy", "x%255c", "%00", "x%09", "%0d%0a", "x%7f", "%2500", "..%00", ".%09."),
        *("..%20", "%20..", "%2520..;x", ".. ", " .", "..;x=%2f"),
    ],
)
def test_no_character_hides_a_dot_segment(crooked: str) -> None:
    """Some servers drop control characters and blanks, end a path at NUL, or turn backslashes."""
    for path in (f"/jira/{crooked}/x", f"/jira/x/{crooked}", f"/jira/x%2f{crooked}%2fy"):
        location = Location("https", "jira.company.com", 8443, path)
        assert not SERVER.route(location).bearer, path


def test_names_with_dots_and_blanks_are_plain() -> None:
    """Attachments have them, also encoded twice."""
    for name in (
        "a.b",
        "..a",
        "a..",
        "...",
        "a%20b.txt",
        "%2e%2ea",
        "a%2520b",
        "caf%c3%a9",
        "100%25",
    ):
        location = Location("https", "jira.company.com", 8443, f"/jira/secure/attachment/1/{name}")
        assert SERVER.route(location).bearer, name


def test_port_0_is_not_the_usual_port() -> None:
    """Libraries do not agree about what it means."""
    for port, is_inside in ((0, False), (443, True), (None, True), (80, False)):
        location = Location("https", "jira.company.com", port, "/x")
        assert OneServer("https://jira.company.com").route(location).bearer == is_inside


#: A URL, and the path on the gateway to which it is sent with the token.
WITH_TOKEN = [
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
    (f"{SITE}/secure/attachment/1/a.png", f"/ex/jira/{ID}/rest/api/3/attachment/content/1"),
    (f"{SITE}/secure/thumbnail/1/a.png", f"/ex/jira/{ID}/rest/api/3/attachment/thumbnail/1"),
    (f"{SITE}//rest/api/3/myself", f"/ex/jira/{ID}/rest/api/3/myself"),
    (f"{SITE}///rest//api/3/myself", f"/ex/jira/{ID}/rest/api/3/myself"),
    (f"{SITE}//wiki//rest/api/search", f"/ex/confluence/{ID}/wiki/rest/api/search"),
    (f"{SITE}/wiki//api/v2/spaces", f"/ex/confluence/{ID}/wiki/api/v2/spaces"),
    (f"{SITE}//secure/attachment/1/a.png", f"/ex/jira/{ID}/rest/api/3/attachment/content/1"),
]
#: These are sent as they are, without the token.
BARE = [
    f"{SITE}/browse/KEY-1",
    f"{SITE}/secure/attachment/1/a/b.png",
    f"{SITE}/secure/attachment/{{}}/a.png",
    f"{SITE}/secure/projectavatar",
    f"{SITE}/_edge/tenant_info",
    f"{SITE}/wiki/download/attachments/1",
    f"{SITE}/wiki/spaces/X",
    f"{SITE}/me",
    f"{SITE}/ex/jira/{OTHER}/rest",
    f"{API}/ex/jira/{OTHER}/rest/api/3/myself",
    f"{API}/ex/jira/{ID}evil/rest",
    f"{API}/ex/jira/{ID[:-1]}/rest",
    f"{API}/ex/jira//{ID}/rest",
    f"{API}//ex/jira/{ID}/rest",
    f"{API}/x/ex/jira/{ID}/rest",
    f"{API}/graphql",
    f"{API}/admin/v1/orgs",
    f"{API}/me/",
    f"{API}/",
    f"{API}:8443/ex/jira/{ID}/rest",
    f"http://api.atlassian.com/ex/jira/{ID}/rest",
    f"https://user@api.atlassian.com/ex/jira/{ID}/rest",
    f"https://api.atlassian.com@evil.example/ex/jira/{ID}/rest",
    f"https://media.atlassian.com/ex/jira/{ID}/rest",
    f"https://other.atlassian.net/ex/jira/{ID}/rest",
    f"{API}/ex/jira/{ID}/../{OTHER}/rest",
    f"{API}/ex/jira/{ID}/%2e%2e/{OTHER}/rest",
    f"{API}/ex/jira/{ID}/..;/{OTHER}/rest",
    f"{API}/ex/jira/{ID}/..%2f{OTHER}/rest",
    f"{API}/ex/jira/{ID}/%252e%252e/{OTHER}/rest",
    f"{API}/ex/jira/{ID}\\..\\{OTHER}/rest",
]


def test_the_urls_that_sdks_send() -> None:
    """Resources of the login's site go to the gateway with the token; all else goes bare."""
    for url, path in WITH_TOKEN:
        route = GATEWAY.route(Location.of(url))
        assert route.bearer, url
        assert (route.location.origin, route.location.path) == (Location.of(API).origin, path)
    for url in BARE:
        route = GATEWAY.route(Location.of(url))
        assert (route.bearer, route.location) == (False, Location.of(url)), url


CUSTOM = CloudGateway(API, ID, site_url="https://jira.company.com")
#: Where the token is accepted, a URL that is not one of its resources, and the URL in the hint.
HINTS = [
    (SERVER, "https://jira.company.com:8443/rest/api/2/myself", "https://jira.company.com:8443/jira/rest/..."),
    (SERVER, "https://jira.company.com:8443//jira/rest/x", "https://jira.company.com:8443/jira/rest/..."),
    (SERVER, "https://jira.company.com/jira/rest/x", "Write https://jira.company.com:8443"),
    (OneServer("https://wiki.company.com/confluence"), "https://wiki.company.com/rest/api/content",
     "https://wiki.company.com/confluence/rest/..."),
    (OneServer("https://api.bitbucket.org/2.0"), "https://api.bitbucket.org/repositories/acme",
     "https://api.bitbucket.org/2.0/repositories/..."),
    (GATEWAY, f"{SITE}/api/v2/pages", f"{SITE}/wiki/api/v2/..."),
    (GATEWAY, f"{SITE}//api/v2/pages/1", f"{SITE}/wiki/api/v2/..."),
    (GATEWAY, f"{API}/api/v2/pages", f"{API}/wiki/api/v2/..."),
    (CUSTOM, f"{SITE}/rest/api/3/myself", "https://jira.company.com/rest/..."),
    (CUSTOM, f"{SITE}/wiki/rest/api/search", "https://jira.company.com/wiki/rest/..."),
    (GATEWAY, "https://jira.company.com/rest/api/3/myself", f"{SITE}/rest/..."),
    (GATEWAY, "https://wiki.company.com/wiki/api/v2/pages", f"{SITE}/wiki/..."),
    (GATEWAY, f"{SITE}:8443/rest/api/3/myself", f"write {SITE}/rest/..."),
    (GATEWAY, f"{API}:8443/rest/api/3/myself", f"write {SITE}/rest/..."),
    (SERVER, "https://jira.company.com:8443/", "https://jira.company.com:8443/jira/..."),
    (CloudGateway(API, ID), "https://jira.company.com/rest/api/3/myself",
     "site_url='https://jira.company.com'"),
]  # fmt: skip


def test_the_hint_names_the_right_url() -> None:
    """A context path, /wiki or another name of the site: no token, and what to write instead."""
    for server, url, right in HINTS:
        route = server.route(Location.of(url))
        assert not route.bearer, url
        assert right in route.hint, (url, route.hint)


def test_resources_of_one_kind_have_one_hint() -> None:
    """A hint is reported once, so it does not name each page and each issue."""
    for server, kind in (
        (SERVER, "https://jira.company.com:8443/rest/api/2/issue/{}"),
        (GATEWAY, SITE + "/api/v2/pages/{}"),
        (GATEWAY, SITE + "/browse/A-{}"),
        (CUSTOM, SITE + "/rest/api/3/issue/{}"),
    ):
        hints = {server.route(Location.of(kind.format(i))).hint for i in range(3)}
        assert len(hints) == 1
        assert hints != {""}


def test_hosts_that_have_nothing_to_do_with_the_login_have_no_hint() -> None:
    """A session may be used for other hosts as well: there is nothing to do about that."""
    for server, url in (
        (GATEWAY, "https://ci.company.com/job/1"),
        (GATEWAY, "https://other.atlassian.net/browse/A-1"),
        (SERVER, "https://ci.company.com/rest/x"),
        (SERVER, "https://jira.company.com:8443/jira/../x"),
        (GATEWAY, f"{SITE}/rest/../x"),
        (GATEWAY, f"{API}/rest/%2e%2e/x"),
        (CloudGateway(API, ID), "https://ci.company.com/job/1"),
    ):
        assert server.route(Location.of(url)).hint == "", url


def test_other_paths_of_a_server_are_matched_as_a_whole() -> None:
    """Beside the base URL, on its origin only, without dot segments."""
    server = OneServer(f"{API}/admin", other_paths="/users/[^/]+/manage(?:/.*)?")
    for path, bearer in (
        ("/admin/v1/orgs", True),
        ("/users/557058:ab-1/manage", True),
        ("/users/557058%3Aab/manage/profile", True),
        ("/users/1/manage/api-tokens/2", True),
        ("/users/1/management", False),
        ("/users/1", False),
        ("/users//manage", False),
        ("/users/1/2/manage", False),
        ("/x/users/1/manage", False),
        ("/users/../manage", False),
        ("/users/1/manage/../../../ex/jira", False),
        ("/users/1/manage/%2e%2e/x", False),
    ):
        assert server.route(Location.of(API + path)).bearer is bearer, path
    assert not server.route(Location.of("https://x.example/users/1/manage")).bearer


#: By base URL of Data Center: what is below it, and what is not.
BELOW = {
    "https://j.example/jira": [
        *("https://j.example/jira/rest/api/2/myself", "https://j.example/jira"),
        *("https://j.example:443/jira/", "https://J.EXAMPLE/jira/x"),
    ],
    "https://j.example": ["https://j.example/anything", "https://j.example"],
    "http://localhost:8080": ["http://localhost:8080/rest"],
    "http://[::1]:80": ["http://[::1]/rest"],
}
OUTSIDE = {
    "https://j.example/jira": [
        *("https://j.example/jiraevil", "https://j.example/confluence/rest"),
        *("https://j.example/JIRA/rest", "https://j.example/", "http://j.example/jira/rest"),
        *("https://j.example/jira/../confluence", "https://j.example/jira/..;/confluence"),
        *("https://j.example:8443/jira/rest", "https://k.j.example/jira/rest"),
    ],
    "http://localhost:8080": ["http://localhost:8081/rest"],
}


def test_a_data_center_token_stays_below_the_base_url() -> None:
    """Another product behind the same host name gets no token."""
    for table, bearer in ((BELOW, True), (OUTSIDE, False)):
        for base, urls in table.items():
            server = OneServer(normalized_base_url(base, "x"))
            for url in urls:
                assert server.route(Location.of(url)).bearer is bearer, url


def test_which_server_treats_an_invalid_token_like_none() -> None:
    """Data Center does, the gateway does not."""
    assert SERVER.anonymous_fallback
    assert not GATEWAY.anonymous_fallback


def test_a_base_url_is_normalized() -> None:
    """However it was typed, it is the same login; doing it again changes nothing."""
    for url, normal in {
        "https://jira.company.com": "https://jira.company.com",
        "https://jira.company.com/": "https://jira.company.com",
        "https://JIRA.company.com/Jira/": "https://jira.company.com/Jira",
        "HTTPS://jira.company.com:8443/a/b//": "https://jira.company.com:8443/a/b",
        "http://localhost:2990/jira": "http://localhost:2990/jira",
        "http://127.0.0.2": "http://127.0.0.2",
        "http://[::1]:2990": "http://[::1]:2990",
    }.items():
        assert normalized_base_url(url, "server_url") == normal
        assert normalized_base_url(normal, "server_url") == normal


def test_an_invalid_base_url_is_refused() -> None:
    """Not https, not a URL, or with parts that a base URL must not have: an error at once."""
    invalid: list[Any] = [
        *("jira.company.com", "https://", "https:///jira", "//jira.company.com"),
        *("ftp://jira.company.com", "javascript:alert(1)", "https://[::1"),
        *("https://jira.company.com:port", "https://jira.company.com:99999"),
        *("https://jira.company.com:0", "https://bob:s3cr3t@jira.company.com"),
        *("https://bob@jira.company.com", "https://bob:s3cr3t@jira.company.com:port"),
        *("ftp://bob:s3cr3t@jira.company.com", "https://jir\u00e4.company.com"),
        *("https://jira.company.com?x=1", "https://jira.company.com#top"),
        *("https://jira.company.com/a/../b", "https://jira.company.com/a/%2e%2e/b"),
        *("https://jira company.com", "https://jira.company.com\\evil.example"),
        *("https://jira.company.com/a\\b", "https://jira.company.com/a b"),
        *("https://jira.company.com\x00", "http://jira.company.com", "http://10.0.0.1/jira"),
        *("http://localhost.evil.example", "http://127.0.0.1.evil.example", "http://0.0.0.0"),
        *(None, 5, b"https://jira.company.com", ["https://x"]),
    ]
    for url in invalid:
        with pytest.raises(ConfigurationError, match="server_url") as caught:
            normalized_base_url(url, "server_url")
        assert "s3cr3t" not in str(caught.value)


@given(st.text())
def test_no_text_makes_it_raise_anything_else(url: str) -> None:
    """Any text is a base URL or a ConfigurationError."""
    for text in (url, f"https://{url}", f"https://host/{url}", f"http://localhost:{url}"):
        try:
            normal = normalized_base_url(text, "x")
        except ConfigurationError:
            continue
        assert normalized_base_url(normal, "x") == normal


def test_which_hosts_are_those_of_cloud() -> None:
    """Sites and gateways, of Government Cloud and of Isolated Cloud as well.

    Source: Government Cloud from Nango's providers.yaml; Isolated Cloud from Atlassian's library
    atlassian-context and its packages, read 2026-11-27.
    """
    for host in ("acme.atlassian.net", "acme.jira.com", "api.atlassian.com",
                 "acme.atlassian-us-gov-mod.net", "api.atlassian-us-gov-mod.com",
                 "acme.atlassian-isolated.net", "jira.acme.atlassian-isolated.net",
                 "x.ic-7bf.atl-ic.net"):  # fmt: skip
        assert is_cloud_host(host)
    for host in ("jira.acme.com", "atlassian-isolated.net.evil.example",
                 "notatlassian-isolated.net", "evilatl-ic.net", "atlassian.com", ""):  # fmt: skip
        assert not is_cloud_host(host)

"""Where the token goes: inside of the grant, and nowhere else. Redirects: `redirects.py`."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pytest

from atlassian_auth_adapter.atlassian.gateway import OneServer, ResourceServer
from atlassian_auth_adapter.errors import ForeignOriginError

from .base import AdapterTests
from .world import (
    BEARER,
    CLOUD,
    CLOUD_ID,
    DATA_CENTER,
    GATEWAY,
    UPS,
    Call,
    FixedTokenSource,
    Sent,
    World,
)

__all__ = ["DestinationTests"]

_WIKI = f"https://api.atlassian.com/ex/confluence/{CLOUD_ID}"
OTHER_ID = "99999999-2222-3333-4444-555555555555"

#: Where no token of the site CLOUD_ID must go.
_OUTSIDE_CLOUD = (
    f"https://evil.example/ex/jira/{CLOUD_ID}/rest/echo",
    f"http://api.atlassian.com/ex/jira/{CLOUD_ID}/rest/echo",
    f"https://api.atlassian.com:8443/ex/jira/{CLOUD_ID}/rest/echo",
    f"https://api.atlassian.com:80/ex/jira/{CLOUD_ID}/rest/echo",
    f"https://api.atlassian.com.evil.example/ex/jira/{CLOUD_ID}/rest/echo",
    f"https://api.atlassian.com./ex/jira/{CLOUD_ID}/rest/echo",
    f"https://evil-api.atlassian.com/ex/jira/{CLOUD_ID}/rest/echo",
    f"https://atlassian.com/ex/jira/{CLOUD_ID}/rest/echo",
    f"https://somebody:pw@api.atlassian.com/ex/jira/{CLOUD_ID}/rest/echo",
    f"https://somebody@api.atlassian.com/ex/jira/{CLOUD_ID}/rest/echo",
    f"https://api.atlassian.com@evil.example/ex/jira/{CLOUD_ID}/rest/echo",
    f"https://api.atlassian.com:443@evil.example/ex/jira/{CLOUD_ID}/rest/echo",
    f"https://evil.example\\@api.atlassian.com/ex/jira/{CLOUD_ID}/rest/echo",
    f"https://api.atlassian.com\\@evil.example/ex/jira/{CLOUD_ID}/rest/echo",
    f"https://api.atlassian.com\\.evil.example/ex/jira/{CLOUD_ID}/rest/echo",
    f"https://evil.example#@api.atlassian.com/ex/jira/{CLOUD_ID}/rest/echo",
    f"https://evil.example?@api.atlassian.com/ex/jira/{CLOUD_ID}/rest/echo",
    f"https://evil.example/?x=https://api.atlassian.com/ex/jira/{CLOUD_ID}/rest/echo",
    f"https://api.atlassian.com/ex/jira/{OTHER_ID}/rest/echo",
    f"https://api.atlassian.com/ex/jira/{CLOUD_ID}0/rest/echo",
    f"https://api.atlassian.com/ex/jira/{CLOUD_ID};{OTHER_ID}/rest/echo",
    f"https://api.atlassian.com/ex/jira/{CLOUD_ID}%2f{OTHER_ID}/rest/echo",
    f"https://api.atlassian.com/EX/JIRA/{CLOUD_ID}/rest/echo",
    f"https://api.atlassian.com//ex/jira/{CLOUD_ID}/rest/echo",
    f"https://api.atlassian.com/x/ex/jira/{CLOUD_ID}/rest/echo",
    f"https://api.atlassian.com/ex//{CLOUD_ID}/rest/echo",
    f"https://api.atlassian.com/ex/jira/x/{CLOUD_ID}/rest/echo",
    f"https://api.atlassian.com/?/ex/jira/{CLOUD_ID}/rest/echo",
    f"https://api.atlassian.com/#/ex/jira/{CLOUD_ID}/rest/echo",
    "https://api.atlassian.com/ex/jira/",
    "https://api.atlassian.com/ex/jira",
    "https://api.atlassian.com/",
    "https://api.atlassian.com",
    "https://api.atlassian.com/oauth/token",
    "https://api.atlassian.com/admin/v1/orgs",
    "https://api.atlassian.com/me/x",
    "https://api.atlassian.com/restx",
    *(f"{GATEWAY}/{up}/{OTHER_ID}/rest/echo" for up in UPS),
    f"{GATEWAY}\\..\\{OTHER_ID}/rest/echo",
    f"{GATEWAY}/..\\{OTHER_ID}/rest/echo",
    f"{GATEWAY}/..%5c{OTHER_ID}/rest/echo",
    f"{GATEWAY}/..%2f{OTHER_ID}/rest/echo",
    f"{GATEWAY}%2f..%2f{OTHER_ID}/rest/echo",
    f"{GATEWAY}/..%252f{OTHER_ID}/rest/echo",
    f"{GATEWAY}/rest/x\\..\\..\\..\\{OTHER_ID}",
    "https://acme.atlassian.net/",
    "https://acme.atlassian.net/browse/ABC-1",
    "https://acme.atlassian.net/secure/useravatar?ownerId=1",
    "https://acme.atlassian.net/_edge/tenant_info",
    "https://acme.atlassian.net/wiki/download/attachments/1/a.txt",
    "https://acme.atlassian.net/wiki/spaces/DOCS",
    "https://acme.atlassian.net/wiki/restx",
    "https://acme.atlassian.net/me",
    f"https://acme.atlassian.net/ex/jira/{OTHER_ID}/rest/echo",
    "https://globex.atlassian.net/rest/api/3/myself",
    "https://acme.atlassian.net.evil.example/rest/api/3/myself",
    "https://acme.atlassian.net./rest/api/3/myself",
    "https://acme.atlassian.net:8443/rest/api/3/myself",
    "http://acme.atlassian.net/rest/api/3/myself",
    "https://somebody:pw@acme.atlassian.net/rest/api/3/myself",
    "https://acme.atlassian.net//rest/api/3/myself",
    *(f"https://acme.atlassian.net/rest/{up}/secure/x" for up in UPS),
    "https://acme.atlassian.net/rest/..%2fsecure",
)

#: Where no token of https://jira.example.com/jira must go.
_OUTSIDE_DATA_CENTER = (
    "https://evil.example/jira/rest/echo",
    "http://jira.example.com/jira/rest/echo",
    "https://jira.example.com:8443/jira/rest/echo",
    "https://jira.example.com./jira/rest/echo",
    "https://jira.example.com.evil.example/jira/rest/echo",
    "https://example.com/jira/rest/echo",
    "https://somebody:pw@jira.example.com/jira/rest/echo",
    "https://jira.example.com@evil.example/jira/rest/echo",
    "https://evil.example\\@jira.example.com/jira/rest/echo",
    "https://jira.example.com\\@evil.example/jira/rest/echo",
    "https://jira.example.com/",
    "https://jira.example.com",
    "https://jira.example.com/jira2/rest/echo",
    "https://jira.example.com/confluence/rest/echo",
    "https://jira.example.com/JIRA/rest/echo",
    "https://jira.example.com//jira/rest/echo",
    "https://jira.example.com/jira%2frest/echo",
    "https://jira.example.com/confluence/jira/rest/echo",
    *(f"https://jira.example.com/jira/{up}/confluence/rest/echo" for up in UPS),
    "https://jira.example.com/jira\\..\\confluence/rest/echo",
    "https://jira.example.com/jira/..\\confluence/rest/echo",
    "https://jira.example.com/jira/..%5cconfluence/rest/echo",
    "https://jira.example.com/jira/..%2fconfluence/rest/echo",
    "https://jira.example.com/jira%2f..%2fconfluence/rest/echo",
)

#: Where no token of https://jira.example.com must go.
_OUTSIDE_ROOT = (
    "https://evil.example/rest/echo",
    "http://jira.example.com/rest/echo",
    "https://jira.example.com:8443/rest/echo",
    "https://jira.example.com\\@evil.example/rest/echo",
    "https://jira.example.com\\.evil.example/rest/echo",
    "https://evil.example\\@jira.example.com/rest/echo",
    "https://evil.example\\/@jira.example.com/rest/echo",
    "https://jira.example.com@evil.example/rest/echo",
    "https://somebody@jira.example.com/rest/echo",
)

_OUTSIDE = [
    pytest.param(CLOUD, _OUTSIDE_CLOUD, id="cloud"),
    pytest.param(DATA_CENTER, _OUTSIDE_DATA_CENTER, id="data_center"),
    pytest.param(OneServer("https://jira.example.com"), _OUTSIDE_ROOT, id="data_center_at_root"),
]

#: What goes with the token, and as what it arrives.
_INSIDE: tuple[tuple[ResourceServer, str, str], ...] = (
    *(
        (CLOUD, url, url)
        for url in (
            f"{GATEWAY}/rest/api/3/myself",
            f"{GATEWAY}/rest/api/3/search/jql?jql=a%20%3D%20b&x=%2F..%2F&y",
            f"{GATEWAY}/rest/api/3/issue/A%20B%2FC",
            f"{GATEWAY}/rest/api/3/attachment/a..b/...",
            f"{_WIKI}/wiki/api/v2/pages",
            "https://api.atlassian.com/me",
            "https://api.atlassian.com/oauth/token/accessible-resources",
        )
    ),
    *(
        (CLOUD, url, arrives)
        for url, arrives in (
            (f"https://API.Atlassian.COM/ex/jira/{CLOUD_ID}/rest/x", f"{GATEWAY}/rest/x"),
            (f"https://api.atlassian.com:443/ex/jira/{CLOUD_ID}/rest/x", f"{GATEWAY}/rest/x"),
            ("https://api.atlassian.com/rest/api/3/x?a=b", f"{GATEWAY}/rest/api/3/x?a=b"),
            ("https://api.atlassian.com/wiki/rest/api/x", f"{_WIKI}/wiki/rest/api/x"),
            (
                "https://acme.atlassian.net/rest/api/3/search/jql?jql=a%20%3D%20b&x=%2F..%2F&y",
                f"{GATEWAY}/rest/api/3/search/jql?jql=a%20%3D%20b&x=%2F..%2F&y",
            ),
            ("https://acme.atlassian.net/rest/x/A%20B%2FC", f"{GATEWAY}/rest/x/A%20B%2FC"),
            ("https://ACME.Atlassian.net:443/rest/api/3/x", f"{GATEWAY}/rest/api/3/x"),
            (
                "https://acme.atlassian.net/wiki/api/v2/pages?cursor=x%3D%3D",
                f"{_WIKI}/wiki/api/v2/pages?cursor=x%3D%3D",
            ),
            (f"https://acme.atlassian.net/ex/jira/{CLOUD_ID}/rest/x", f"{GATEWAY}/rest/x"),
        )
    ),
    *(
        (DATA_CENTER, f"https://jira.example.com{path}", f"https://jira.example.com{path}")
        for path in (
            "/jira/rest/api/2/myself",
            "/jira",
            "/jira/",
            "/jira/secure/attachment/1/a%20b.txt",
        )
    ),
    (
        DATA_CENTER,
        "https://JIRA.example.com:443/jira/rest/x?y",
        "https://jira.example.com/jira/rest/x?y",
    ),
)


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


class DestinationTests(AdapterTests):
    """Which requests go with the token, and where to."""

    @pytest.mark.parametrize(("server", "urls"), _OUTSIDE)
    def test_outside_of_the_grant_nobody_gets_the_token(
        self, server: ResourceServer, urls: Sequence[str]
    ) -> None:
        """The request goes out as the program wrote it, without a token."""
        auth = self.auth(FixedTokenSource(server))
        went: dict[str, Any] = {}
        for url in urls:
            with suppress(*self.url_errors):  # no URL for this library: nothing is sent
                went[url] = self.rehearse(Call("GET", url), auth=auth)
        assert [url for url, sent in went.items() if BEARER in str(sent)] == []
        assert [url for url, sent in went.items() if len(sent) != 1] == []
        moved = [url for url, (sent,) in went.items() if _host(sent.url) not in url.lower()]
        assert moved == []
        assert len(went) > len(urls) / 2

    @pytest.mark.parametrize(("server", "urls"), _OUTSIDE)
    def test_outside_of_the_grant_nothing_is_sent_if_so_chosen(
        self, server: ResourceServer, urls: Sequence[str]
    ) -> None:
        """`foreign="raise"` raises, and the error is one of the library's as well."""
        auth = self.auth(FixedTokenSource(server), foreign="raise")
        sent: list[Sent] = []
        raised: list[Exception] = []
        for url in urls:
            try:
                sent += self.rehearse(Call("GET", url), auth=auth)
            except ForeignOriginError as error:
                raised.append(error)
            except self.url_errors:
                pass
        assert sent == []
        assert all(isinstance(error, self.request_error) for error in raised)
        assert not any(isinstance(error, self.connection_errors) for error in raised)
        assert len(raised) > len(urls) / 2

    def test_within_the_grant_the_token_is_sent(self) -> None:
        """Also from a URL of the site, which is turned into the gateway's, query and all."""
        for server, url, arrives in _INSIDE:
            (sent,) = self.rehearse(
                Call("GET", url, headers={"Cookie": "a=b"}),
                auth=self.auth(FixedTokenSource(server), foreign="raise"),
            )
            assert sent.url.replace(":443/", "/") == arrives
            assert sent.headers["authorization"] == f"Bearer {BEARER}", url
            if _host(url) != _host(arrives):
                assert "cookie" not in sent.headers, url
            host = sent.headers.get("host", "").removesuffix(":443")
            assert host in ("", _host(sent.url)), url

    def test_a_program_s_host_header_does_not_follow_to_the_gateway(self) -> None:
        """The gateway is asked as itself, whatever virtual host was named for the site."""
        (sent,) = self.rehearse(
            Call("GET", "https://acme.atlassian.net/rest/x", headers={"Host": "acme.example"}),
            auth=self.auth(FixedTokenSource(CLOUD)),
        )
        assert sent.headers.get("host", "api.atlassian.com") == "api.atlassian.com"

    @pytest.mark.parametrize(
        "url", ["https://evil.example/x", "https://api.atlassian.com/admin/v1/orgs"]
    )
    def test_another_credential_for_another_place_is_left_alone(self, url: str) -> None:
        """A program that logs in elsewhere by its own header goes on doing so."""
        (sent,) = self.rehearse(
            Call("GET", url, headers={"Authorization": "Basic eDp5", "Cookie": "a=b"}),
            auth=self.auth(FixedTokenSource(CLOUD)),
        )
        assert sent.headers["authorization"] == "Basic eDp5"
        assert sent.headers["cookie"] == "a=b"
        assert sent.url == url

    def test_a_foreign_origin_is_reported_once(self) -> None:
        """However often a program asks there, and from however many threads."""
        source = FixedTokenSource(CLOUD)
        auth = self.auth(source)
        urls = ["https://evil.example/a", "https://evil.example/b", "https://evil.example:8443/a"]
        calls = [Call("GET", url) for url in urls]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: self.rehearse(*calls, auth=auth), range(8)))
        assert sorted(event.fields["origin"] for event in source.events) == [
            "https://evil.example",
            "https://evil.example:8443",
        ]
        assert {event.name for event in source.events} == {"foreign_origin"}

    def test_a_client_that_knows_its_site_only(self, world: World) -> None:
        """The cloud id is asked for with the first request, which is already judged by it."""
        ours, other = world.emulator.cloud.sites
        gateway = f"{world.emulator.cloud.api_url}/ex/jira"
        for url, arrives, status in (
            (f"{ours.url}/rest/echo", f"{gateway}/{ours.id}/rest/echo", 200),
            (f"{ours.url}/browse/ABC-1", f"{ours.url}/browse/ABC-1", 200),
            (f"{gateway}/{ours.id}/rest/echo", f"{gateway}/{ours.id}/rest/echo", 200),
            (f"{gateway}/{other.id}/rest/echo", f"{gateway}/{other.id}/rest/echo", 401),
            (f"{other.url}/rest/echo", f"{other.url}/rest/echo", 401),
        ):
            client = world.login("cloud", cloud_id="", account=url)
            (reply,) = self._get(url, auth=self.auth(client))
            assert (reply.url, reply.status) == (arrives, status)
        assert world.leaks() == []
        assert world.refreshes == 0

    def test_the_site_s_urls_are_sent_to_the_gateway(self, world: World) -> None:
        """With body and query, and again with the new token after a rejection."""
        client = world.login("cloud")
        world.expire()
        url = f"{world.emulator.cloud.sites[0].url}/rest/echo?a=%20b"
        (reply,) = self.exchange(
            Call("POST", url, **self.body("multipart")), auth=self.auth(client)
        )
        assert (reply.status, reply.history) == (200, (401,))
        assert reply.url == f"{client.base_url}/rest/echo?a=%20b"
        first, second = world.emulator.requests[0], world.emulator.requests[-1]
        assert first.role == second.role == "api"
        assert first.headers["host"] == urlsplit(client.base_url).netloc
        assert first.body_sha256 == second.body_sha256

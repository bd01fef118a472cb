"""The token is sent to URLs of the grant, and to no others. Redirects: `redirects.py`."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pytest

from atlassian_auth_adapter.adapters import _auth
from atlassian_auth_adapter.atlassian.gateway import OneServer, ResourceServer
from atlassian_auth_adapter.errors import ForeignOriginError

from .base import AdapterTests
from .world import (
    BEARER,
    CLOUD,
    CLOUD_ID,
    DATA_CENTER,
    GATEWAY,
    PARENT_SEGMENTS,
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
    f"https://user:pw@api.atlassian.com/ex/jira/{CLOUD_ID}/rest/echo",
    f"https://user@api.atlassian.com/ex/jira/{CLOUD_ID}/rest/echo",
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
    *(f"{GATEWAY}/{up}/{OTHER_ID}/rest/echo" for up in PARENT_SEGMENTS),
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
    "https://user:pw@acme.atlassian.net/rest/api/3/myself",
    *(f"https://acme.atlassian.net/rest/{up}/secure/x" for up in PARENT_SEGMENTS),
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
    "https://user:pw@jira.example.com/jira/rest/echo",
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
    *(f"https://jira.example.com/jira/{up}/confluence/rest/echo" for up in PARENT_SEGMENTS),
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
    "https://user@jira.example.com/rest/echo",
)

_OUTSIDE: tuple[tuple[ResourceServer, tuple[str, ...]], ...] = (
    (CLOUD, _OUTSIDE_CLOUD),
    (DATA_CENTER, _OUTSIDE_DATA_CENTER),
    (OneServer("https://jira.example.com"), _OUTSIDE_ROOT),
)

#: What is sent with the token, and the URL that it is sent to.
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
            ("https://acme.atlassian.net//rest/api/3/x?a=//b", f"{GATEWAY}/rest/api/3/x?a=//b"),
            ("https://acme.atlassian.net/wiki//rest/api/x", f"{_WIKI}/wiki/rest/api/x"),
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
    """Which requests carry the token, and where they are sent."""

    def _outside(self) -> Iterator[tuple[ResourceServer, list[str]]]:
        for server, urls in _OUTSIDE:
            shown = self.shows_user_names
            yield server, [url for url in urls if shown or "//user" not in url]

    def test_the_token_is_not_sent_outside_of_the_grant(self) -> None:
        """The request is sent as the program wrote it, without a token."""
        for server, urls in self._outside():
            auth = self.auth(FixedTokenSource(server))
            went: dict[str, Any] = {}
            for url in urls:
                with suppress(*self.url_errors):  # the library cannot read it: nothing is sent
                    went[url] = self.send_offline(Call("GET", url), auth=auth)
            assert [url for url, sent in went.items() if BEARER in str(sent)] == []
            assert [url for url, sent in went.items() if len(sent) != 1] == []
            moved = [url for url, (sent,) in went.items() if _host(sent.url) not in url.lower()]
            assert moved == []
            assert len(went) >= len(urls) / 2

    def test_with_foreign_raise_nothing_is_sent_outside_of_the_grant(self) -> None:
        """A ForeignOriginError is raised, which is one of the library's errors as well."""
        for server, urls in self._outside():
            auth = self.auth(FixedTokenSource(server), foreign="raise")
            sent: list[Sent] = []
            raised: list[Exception] = []
            for url in urls:
                try:
                    sent += self.send_offline(Call("GET", url), auth=auth)
                except ForeignOriginError as error:
                    raised.append(error)
                except self.url_errors:
                    pass
            assert sent == []
            assert all(isinstance(error, self.request_error) for error in raised)
            assert not any(isinstance(error, self.connection_errors) for error in raised)
            assert len(raised) >= len(urls) / 2

    def test_the_token_is_sent_within_the_grant(self) -> None:
        """Also for a URL of the site, which becomes one of the gateway, with its query."""
        for server, url, arrives in _INSIDE:
            (sent,) = self.send_offline(
                Call("GET", url, headers={"Cookie": "a=b"}),
                auth=self.auth(FixedTokenSource(server), foreign="raise"),
            )
            assert sent.url.replace(":443/", "/") == self.as_sent(arrives)
            assert sent.headers["authorization"] == f"Bearer {BEARER}", url
            if _host(url) != _host(arrives):
                assert "cookie" not in sent.headers, url
            host = sent.headers.get("host", "").removesuffix(":443")
            assert host in ("", _host(sent.url)), url

    def test_the_token_is_sent_to_a_host_with_an_international_name(self) -> None:
        """The configuration has its ASCII form; a program may write either."""
        server = OneServer("https://xn--bcher-kva.example/jira")
        for host in ("xn--bcher-kva.example", "XN--bcher-kva.example", "b\u00fccher.example"):
            (sent,) = self.send_offline(
                Call("GET", f"https://{host}/jira/rest/x"),
                auth=self.auth(FixedTokenSource(server), foreign="raise"),
            )
            assert sent.headers["authorization"] == f"Bearer {BEARER}", host

    def test_a_host_header_is_not_sent_to_the_gateway(self) -> None:
        """The gateway gets its own name, whatever the program has set for the site."""
        (sent,) = self.send_offline(
            Call("GET", "https://acme.atlassian.net/rest/x", headers={"Host": "acme.example"}),
            auth=self.auth(FixedTokenSource(CLOUD)),
        )
        assert sent.headers.get("host", "api.atlassian.com") == "api.atlassian.com"

    def test_other_credentials_for_another_url_are_kept(self) -> None:
        """A program may log in elsewhere by a header of its own."""
        headers = {"Authorization": "Basic eDp5", "Cookie": "a=b"}
        for url in ("https://evil.example/x", "https://api.atlassian.com/admin/v1/orgs"):
            call = Call("GET", url, headers=headers)
            (sent,) = self.send_offline(call, auth=self.auth(FixedTokenSource(CLOUD)))
            assert sent.headers["authorization"] == "Basic eDp5"
            assert sent.headers["cookie"] == "a=b"
            assert sent.url == url

    def test_a_foreign_origin_is_reported_once(self) -> None:
        """However many requests go there, from however many threads."""
        source = FixedTokenSource(CLOUD)
        auth = self.auth(source)
        urls = ["https://evil.example/a", "https://evil.example/b", "https://evil.example:8443/a"]
        calls = [Call("GET", url) for url in urls]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: self.send_offline(*calls, auth=auth), range(8)))
        assert sorted(event.fields["origin"] for event in source.events) == [
            "https://evil.example",
            "https://evil.example:8443",
        ]
        assert {event.name for event in source.events} == {"foreign_origin"}

    def test_a_foreign_origin_is_reported_with_each_hint(self) -> None:
        """An origin may be asked for in several ways, each of which is put right in its own way."""
        source = FixedTokenSource(CLOUD)
        urls = [
            "https://acme.atlassian.net:8443/rest/x",
            "http://acme.atlassian.net:8443/rest/x",
            "https://api.atlassian.com/rest",
            f"https://api.atlassian.com/ex/jira/{OTHER_ID}/rest/x",
            "https://api.atlassian.com/admin/v1/orgs",
        ]
        self.send_offline(*[Call("GET", url) for url in urls * 2], auth=self.auth(source))
        told = [(event.fields["origin"], event.fields["hint"]) for event in source.events]
        assert len(told) == len(set(told)) >= 3
        assert {origin for origin, _ in told} == {
            "https://acme.atlassian.net:8443",
            "http://acme.atlassian.net:8443",
            "https://api.atlassian.com",
        }

    def test_news_of_one_kind_does_not_silence_another(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """After as many foreign origins as are remembered others are reported, and so is a path
        that is gone; the first ones are forgotten.
        """
        monkeypatch.setattr(_auth, "MOST_REMEMBERED", most := 50)
        source = FixedTokenSource(DATA_CENTER)
        auth = self.auth(source)
        many = [Call("GET", f"https://host-{number}.example/x") for number in range(most + 1)]
        gone = [Call("GET", f"{DATA_CENTER.base_url}/rest/{number}") for number in range(most + 1)]
        fine: tuple[int, dict[str, str]] = (200, {})
        answers = [fine] * len(many) + [(410, {})] * (2 * len(gone))
        self.send_offline(*many, *gone, auth=auth, answers=answers)
        names = [event.name for event in source.events]
        assert names == ["foreign_origin"] * len(many) + ["gone"] * len(gone)
        source.events.clear()
        calls = [many[0], many[-1], Call("GET", "https://new.example/x"), gone[0], gone[-1]]
        self.send_offline(*calls, auth=auth, answers=[(200, {})] * 3 + [(410, {})] * 2)
        assert [event.name for event in source.events] == [*["foreign_origin"] * 2, "gone"]
        assert [event.fields["origin"] for event in source.events] == [
            "https://host-0.example",
            "https://new.example",
            "https://jira.example.com",
        ]

    def test_a_client_that_knows_its_site_only(self, world: World) -> None:
        """The first request looks the cloud id up, and is routed by it."""
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

"""Token sources without a refresh: static tokens of each kind."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import httpx2
import pytest
import requests
import trio

from atlassian_auth_adapter import (
    AtlassianAuth,
    AtlassianHTTPX2Auth,
    AtlassianHTTPXAuth,
    CloudEnvironment,
    ConfigurationError,
    ForeignOriginError,
    FreshTokenRejectedError,
    StaticTokenSource,
    TokenSource,
    create_atlassian_oauth_client,
)
from atlassian_auth_adapter.atlassian.locations import Location
from atlassian_auth_adapter.testing import AtlassianEmulator
from atlassian_auth_adapter.testing.contracts.aiohttp_base import ask

BASE = "https://jira.company.com/jira"


def test_a_static_token_is_used_as_it_is() -> None:
    """Under its base URL only."""
    source = StaticTokenSource("p4t-s3cr3t", BASE + "/")
    assert source.token_set().access_token == "p4t-s3cr3t"
    assert source.current() is source.token_set()
    assert source.token_set("another one") is source.token_set()
    assert source.resource_server.base_url == BASE
    assert source.resource_server.route(Location.of(BASE + "/rest")).bearer
    assert not source.resource_server.route(Location.of("https://jira.company.com/x")).bearer
    assert not source.has_ended(source.token_set())


def test_a_rejected_static_token_is_an_error() -> None:
    """There is no other token, so the caller gets the server's rejection."""
    source = StaticTokenSource("p4t-s3cr3t", BASE)
    with pytest.raises(FreshTokenRejectedError, match="make a new one") as caught:
        source.token_set("p4t-s3cr3t")
    assert "p4t" not in str(caught.value)

    async def main() -> None:
        assert (await source.token_set_async()).access_token == "p4t-s3cr3t"
        with pytest.raises(FreshTokenRejectedError):
            await source.token_set_async("p4t-s3cr3t")

    asyncio.run(main())
    trio.run(main)


def test_a_static_source_does_not_print_its_token() -> None:
    """Neither the repr nor a pickle holds the token; unpickling returns the same source."""
    source = StaticTokenSource("p4t-s3cr3t", BASE)
    assert "p4t" not in repr(source) + str(source)
    pickled = pickle.dumps(source)
    assert b"p4t" not in pickled
    assert pickle.loads(pickled) is copy.deepcopy(source) is source


def test_in_another_process_an_unpickled_source_has_no_token() -> None:
    """The first use says what to do."""
    pickled = pickle.dumps(StaticTokenSource("p4t-s3cr3t", BASE))
    gc.collect()
    stranger = pickle.loads(pickled)
    assert stranger.current() is None
    with pytest.raises(ConfigurationError, match="another process"):
        stranger.token_set()


def test_an_invalid_static_token_is_refused() -> None:
    """A token that was read from a file with its line break is an error at once."""
    tokens: list[Any] = ["", "p4t\n", " p4t", "p4t with spaces", "p4t\u20ac", None, 5]
    for token in tokens:
        with pytest.raises(ConfigurationError, match="access_token") as caught:
            StaticTokenSource(token, BASE)
        assert "p4t" not in str(caught.value)


def test_a_static_token_is_not_sent_in_clear() -> None:
    """Plain http is refused for any other machine."""
    with pytest.raises(ConfigurationError, match="base_url"):
        StaticTokenSource("p4t", "http://jira.company.com")


# --- each kind of static token --------------------------------------------------------------------


@pytest.fixture
def sources(emulator: AtlassianEmulator) -> dict[str, tuple[StaticTokenSource, str]]:
    """A source of each kind that the emulator knows, and a URL that accepts its token."""
    cloud, server = emulator.cloud, emulator.data_center
    site = cloud.sites[0]
    environment = CloudEnvironment(cloud.auth_url, cloud.api_url, cloud.audience)
    make = StaticTokenSource
    pat = make.personal_access_token(server.personal_access_token, server.url)
    classic = make.api_token(cloud.email, cloud.api_token, f"{site.url}/jira/projects")
    scoped = make.scoped_api_token(
        cloud.email, cloud.scoped_api_token, site.id, site.url, cloud=environment
    )
    return {
        "personal access token": (pat, f"{server.url}/rest/api/2/myself"),
        "API token": (classic, f"{site.url}/rest/api/3/myself"),
        "API token with scopes": (scoped, f"{scoped.resource_server.base_url}/rest/api/3/myself"),
        "API token with scopes, by the site": (scoped, f"{site.url}/rest/api/3/myself"),
    }


def test_each_kind_of_static_token_works_with_each_library(sources: Any) -> None:
    """Header, host and path are right in requests, httpx, httpx2 and aiohttp."""

    async def get_async(url: str, source: StaticTokenSource) -> Any:
        async with httpx.AsyncClient(auth=AtlassianHTTPXAuth(source)) as client:
            return await client.get(url)

    for source, url in sources.values():
        assert requests.get(url, auth=AtlassianAuth(source)).json()["displayName"]
        assert httpx.get(url, auth=AtlassianHTTPXAuth(source)).json()["displayName"]
        assert httpx2.get(url, auth=AtlassianHTTPX2Auth(source)).json()["displayName"]
        assert asyncio.run(get_async(url, source)).json()["displayName"]
        assert ask(source, url)[0].json()["displayName"]


def test_a_static_token_is_sent_to_no_other_host(sources: Any, emulator: AtlassianEmulator) -> None:
    """Neither to the hosts of the other kinds nor to foreign ones."""
    site = emulator.cloud.sites[0].url
    hosts = {emulator.data_center.url, emulator.cloud.api_url, site, emulator.foreign_url}
    for source, url in sources.values():
        base = source.resource_server.base_url
        own = {base, url, getattr(source.resource_server, "site_url", "")}
        origins = {Location.of(each).origin for each in own}
        others = [host for host in hosts if Location.of(host).origin not in origins]
        assert len(others) in (2, 3)
        for host in others:
            requests.get(f"{host}/somewhere", auth=AtlassianAuth(source))
            assert "authorization" not in emulator.requests[-1].headers


def test_a_rejection_of_a_static_token_is_returned(
    sources: Any, emulator: AtlassianEmulator
) -> None:
    """The caller gets the server's answer: one request, no second one."""
    emulator.data_center.personal_access_tokens.clear()
    emulator.cloud.api_token = emulator.cloud.scoped_api_token = "another"
    for source, url in sources.values():
        answer = requests.get(url, auth=AtlassianAuth(source))
        assert answer.status_code == 401
        assert not answer.history


def test_a_wrong_combination_is_refused_with_the_right_name() -> None:
    """A token of one kind and a place of another: an error before any request."""
    make = StaticTokenSource
    pat, site = make.personal_access_token, "https://acme.atlassian.net"
    api, scoped = (
        partial(make.api_token, "a@b.c", "t"),
        partial(make.scoped_api_token, "a@b.c", "t"),
    )
    wrong: list[tuple[Callable[[], object], str]] = [
        (lambda: pat("t", site), "api_token"),
        (lambda: api("https://api.atlassian.com"), "scoped_api_token"),
        (
            lambda: make("an-oauth-token", site),
            r"accepts no bearer.*api_token\(.*https://api.atlassian.com/ex/jira/CLOUD_ID",
        ),
        (lambda: make.api_token("", "t", site), "email"),
        (lambda: scoped(site), "cloud_id"),
        (lambda: scoped("id", "https://acme.atlassian-us-gov-mod.net"), "cloud=US_GOV_MODERATE"),
        (lambda: scoped("x", product="bitbucket"), "bitbucket has a Cloud of its own"),
        (lambda: make.api_token(" a@b.c ", "t", site), "email"),
        (lambda: make.api_token('"a@b.c"', "t", site), "email"),
        (lambda: make.organization_key("two words"), "access_token"),
        (lambda: pat('"t0ken"', "https://jira.company.com"), "access_token"),
        (lambda: api("http://acme.atlassian.net"), "https"),
    ]
    for call, text in wrong:
        with pytest.raises(ConfigurationError, match=text):
            call()


def test_the_key_of_an_organization_serves_its_administration() -> None:
    """Its own API, and the one for managed accounts; no product, and no other API."""
    source = StaticTokenSource.organization_key("k3y")
    assert source.resource_server.base_url == "https://api.atlassian.com/admin"
    for path, bearer in (
        ("/admin/v1/orgs", True),
        ("/admin/user-provisioning/v1/org/1", True),
        ("/users/557058:ab/manage/profile", True),
        ("/users/1/manage", True),
        ("/users/1/manage/lifecycle/disable", True),
        ("/users/1/profile", False),
        ("/ex/jira/some-id/rest/api/3/myself", False),
        ("/me", False),
        ("/adminx", False),
    ):
        route = source.resource_server.route(Location.of("https://api.atlassian.com" + path))
        assert route.bearer is bearer, path
        assert bearer or "administration only" in route.hint


def test_a_request_without_the_token_comes_with_a_hint() -> None:
    """With foreign="raise" in the error, otherwise in the event, once per origin."""
    make, gateway = StaticTokenSource, "https://api.atlassian.com/ex/jira"
    site = "https://acme.atlassian.net"
    oauth = partial(create_atlassian_oauth_client, "id", "secret")
    scoped = partial(make.scoped_api_token, "a@b.c", "t", "some-id")
    path = "/rest/api/3/myself"
    other_site = "not one of the site some-id, which this login is for"
    cases: list[tuple[Callable[[], TokenSource], str, str]] = [
        (lambda: make.api_token("a@b.c", "t", site), f"{gateway}/x{path}", "scoped_api_token"),
        (scoped, f"{site}{path}", f"pass site_url='{site}'"),
        (scoped, f"{gateway}/other-id{path}", other_site),
        (
            lambda: scoped(site),
            f"{site}/wiki/download/attachments/1/x.png",
            "/rest/api/3/attachment/content/ID",
        ),
        (scoped, f"http://api.atlassian.com/ex/jira/some-id{path}", "Write https://"),
        (
            lambda: make.personal_access_token("t", BASE),
            f"http://jira.company.com/jira{path}",
            "Write https://",
        ),
        (
            lambda: make.personal_access_token("t", BASE),
            f"{site}{path}",
            "for Cloud use StaticTokenSource.api_token",
        ),
        (
            lambda: oauth(cloud_id="some-id"),
            f"{site}{path}",
            f"use {gateway}/some-id, or pass site_url=",
        ),
        (lambda: oauth(cloud_id="some-id"), f"{gateway}/other-id{path}", other_site),
        (lambda: oauth(server_url=BASE), f"http://jira.company.com/jira{path}", "Write https://"),
        (lambda: make.organization_key("t"), f"{site}{path}", "administration only"),
    ]
    for new_source, url, hint in cases:
        with pytest.raises(ForeignOriginError, match=re.escape(hint)):
            AtlassianAuth(new_source(), foreign="raise").admit(Location.of(url), again=True)
        source, events = new_source(), []
        source.on_event = events.append
        assert AtlassianAuth(source).admit(Location.of(url), again=True) is None
        (event,) = events
        assert event.name == "foreign_origin"
        assert hint in event.fields["hint"]

"""Token sources that need no refresh: static tokens of each kind."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import re
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
    create_atlassian_oauth_client,
)
from atlassian_auth_adapter.atlassian.gateway import Location
from atlassian_auth_adapter.testing import AtlassianEmulator

RUNNERS = {"asyncio": lambda function: asyncio.run(function()), "trio": trio.run}
BASE = "https://jira.company.com/jira"


def test_a_static_token_is_handed_out() -> None:
    """A personal access token is used as it is, under its base URL only."""
    source = StaticTokenSource("p4t-s3cr3t", BASE + "/")
    assert source.token_set().access_token == "p4t-s3cr3t"
    assert source.current() is source.token_set()
    assert source.token_set("another one") is source.token_set()
    assert source.resource_server.base_url == BASE
    assert source.resource_server.route(Location.of(BASE + "/rest")).bearer
    assert not source.resource_server.route(Location.of("https://jira.company.com/x")).bearer
    assert not source.has_ended(source.token_set())


@pytest.mark.parametrize("run", RUNNERS.values(), ids=RUNNERS)
def test_a_rejected_static_token_has_no_successor(run: Any) -> None:
    """The server's rejection is handed to the caller: there is no other token."""
    source = StaticTokenSource("p4t-s3cr3t", BASE)
    with pytest.raises(FreshTokenRejectedError, match="make a new one") as caught:
        source.token_set("p4t-s3cr3t")
    assert "p4t" not in str(caught.value)

    async def main() -> None:
        assert (await source.token_set_async()).access_token == "p4t-s3cr3t"
        with pytest.raises(FreshTokenRejectedError):
            await source.token_set_async("p4t-s3cr3t")

    run(main)


def test_a_static_source_does_not_print_its_token() -> None:
    """Neither the repr nor a pickle has the token; the pickle leads back to the source."""
    source = StaticTokenSource("p4t-s3cr3t", BASE)
    assert "p4t" not in repr(source) + str(source)
    pickled = pickle.dumps(source)
    assert b"p4t" not in pickled
    assert pickle.loads(pickled) is copy.deepcopy(source) is source


def test_a_static_source_of_another_process_says_so() -> None:
    """A pickle has no token to bring along: the first use says what to do."""
    pickled = pickle.dumps(StaticTokenSource("p4t-s3cr3t", BASE))
    gc.collect()
    stranger = pickle.loads(pickled)
    assert stranger.current() is None
    with pytest.raises(ConfigurationError, match="another process"):
        stranger.token_set()


@pytest.mark.parametrize("token", ["", "p4t\n", " p4t", "p4t with spaces", "p4t\u20ac", None, 5])
def test_a_static_token_that_is_none_is_refused(token: Any) -> None:
    """A token read from a file with its line break is told at once, not by a broken header."""
    with pytest.raises(ConfigurationError, match="access_token") as caught:
        StaticTokenSource(token, BASE)
    assert "p4t" not in str(caught.value)


def test_a_static_token_is_not_sent_in_clear() -> None:
    """Plain http is refused outside of this machine."""
    with pytest.raises(ConfigurationError, match="base_url"):
        StaticTokenSource("p4t", "http://jira.company.com")


# --- each kind of static token --------------------------------------------------------------------


@pytest.fixture
def sources(emulator: AtlassianEmulator) -> dict[str, tuple[StaticTokenSource, str]]:
    """A source of each kind that the emulator knows, and a URL that it is good for."""
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


KINDS = (
    "personal access token",
    "API token",
    "API token with scopes",
    "API token with scopes, by the site",
)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_static_token_works_with_each_library(sources: Any, kind: str) -> None:
    """Header, host and path are right in requests, httpx and httpx2, sync and async."""
    source, url = sources[kind]
    with requests.Session() as session:
        session.auth = AtlassianAuth(source)
        assert session.get(url).json()["displayName"]
    with httpx.Client(auth=AtlassianHTTPXAuth(source)) as client:
        assert client.get(url).json()["displayName"]
    with httpx2.Client(auth=AtlassianHTTPX2Auth(source)) as client2:
        assert client2.get(url).json()["displayName"]

    async def main() -> None:
        async with httpx.AsyncClient(auth=AtlassianHTTPXAuth(source)) as async_client:
            assert (await async_client.get(url)).json()["displayName"]

    asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS[:3])
def test_a_static_token_goes_nowhere_else(
    sources: Any, kind: str, emulator: AtlassianEmulator, session: requests.Session
) -> None:
    """Each kind is unknown to the hosts of the others, and to foreign ones."""
    source, _ = sources[kind]
    session.auth = AtlassianAuth(source)
    base = Location.of(source.resource_server.base_url).origin
    others = {
        emulator.data_center.url,
        emulator.cloud.api_url,
        emulator.cloud.sites[0].url,
        emulator.foreign_url,
    }
    for other in others:
        if Location.of(other).origin != base and not (
            kind == "API token with scopes" and other == emulator.cloud.sites[0].url
        ):
            session.get(f"{other}/somewhere")
            assert "authorization" not in emulator.requests[-1].headers


@pytest.mark.parametrize("kind", KINDS)
def test_a_rejected_static_token_is_the_callers_to_replace(
    sources: Any, kind: str, emulator: AtlassianEmulator, session: requests.Session
) -> None:
    """The server's answer is handed on as it is: one request, no second one."""
    source, url = sources[kind]
    emulator.data_center.personal_access_tokens.clear()
    emulator.cloud.api_token = emulator.cloud.scoped_api_token = "another"
    session.auth = AtlassianAuth(source)
    answer = session.get(url)
    assert answer.status_code == 401
    assert not answer.history


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (
            lambda: StaticTokenSource.personal_access_token("t", "https://acme.atlassian.net"),
            "api_token",
        ),
        (
            lambda: StaticTokenSource.api_token("a@b.c", "t", "https://api.atlassian.com"),
            "scoped_api_token",
        ),
        (
            lambda: StaticTokenSource("an-oauth-token", "https://acme.atlassian.net"),
            r"accepts no bearer.*api_token\(.*https://api.atlassian.com/ex/jira/CLOUD_ID",
        ),
        (lambda: StaticTokenSource.api_token("", "t", "https://acme.atlassian.net"), "email"),
        (
            lambda: StaticTokenSource.scoped_api_token("a@b.c", "t", "https://acme.atlassian.net"),
            "cloud_id",
        ),
        (
            lambda: StaticTokenSource.scoped_api_token(
                "a@b.c", "t", "some-id", "https://acme.atlassian-us-gov-mod.net"
            ),
            "cloud=US_GOV_MODERATE",
        ),
        (
            lambda: StaticTokenSource.scoped_api_token("a@b.c", "t", "x", product="bitbucket"),
            "bitbucket has a Cloud of its own",
        ),
        (lambda: StaticTokenSource.organization_key("two words"), "access_token"),
        (lambda: StaticTokenSource.api_token("a@b.c", "t", "http://acme.atlassian.net"), "https"),
    ],
)
def test_what_is_mixed_up_is_refused_with_the_right_name(make: Any, names: str) -> None:
    """A wrong combination of token and place is an error before any request."""
    with pytest.raises(ConfigurationError, match=names):
        make()


@pytest.mark.parametrize(
    ("source", "url", "hint"),
    [
        (
            lambda: StaticTokenSource.api_token("a@b.c", "t", "https://acme.atlassian.net"),
            "https://api.atlassian.com/ex/jira/some-id/rest/api/3/myself",
            "scoped_api_token",
        ),
        (
            lambda: StaticTokenSource.scoped_api_token("a@b.c", "t", "some-id"),
            "https://acme.atlassian.net/rest/api/3/myself",
            "pass site_url='https://acme.atlassian.net'",
        ),
        (
            lambda: StaticTokenSource.scoped_api_token("a@b.c", "t", "some-id"),
            "https://api.atlassian.com/ex/jira/other-id/rest/api/3/myself",
            "not one of the site some-id, which this login is for",
        ),
        (
            lambda: StaticTokenSource.scoped_api_token(
                "a@b.c", "t", "some-id", "https://acme.atlassian.net"
            ),
            "https://acme.atlassian.net/wiki/download/attachments/1/x.png",
            "/rest/api/3/attachment/content/ID",
        ),
        (
            lambda: StaticTokenSource.scoped_api_token("a@b.c", "t", "some-id"),
            "http://api.atlassian.com/ex/jira/some-id/rest/api/3/myself",
            "Write https://",
        ),
        (
            lambda: StaticTokenSource.personal_access_token("t", BASE),
            "http://jira.company.com/jira/rest/api/2/myself",
            "Write https://",
        ),
        (
            lambda: StaticTokenSource.personal_access_token("t", BASE),
            "https://acme.atlassian.net/rest/api/3/myself",
            "for Cloud use StaticTokenSource.api_token",
        ),
        (
            lambda: create_atlassian_oauth_client("id", "secret", cloud_id="some-id"),
            "https://acme.atlassian.net/rest/api/3/myself",
            "use https://api.atlassian.com/ex/jira/some-id, or pass site_url=",
        ),
        (
            lambda: create_atlassian_oauth_client("id", "secret", cloud_id="some-id"),
            "https://api.atlassian.com/ex/jira/other-id/rest/api/3/myself",
            "not one of the site some-id, which this login is for",
        ),
        (
            lambda: create_atlassian_oauth_client("id", "secret", server_url=BASE),
            "http://jira.company.com/jira/rest/api/2/myself",
            "Write https://",
        ),
        (
            lambda: StaticTokenSource.organization_key("t"),
            "https://acme.atlassian.net/rest/api/3/myself",
            "administration only",
        ),
    ],
)
def test_a_request_that_goes_without_the_token_names_the_right_way(
    source: Any, url: str, hint: str
) -> None:
    """With foreign="raise" the error says it, else the event, once per origin."""
    with pytest.raises(ForeignOriginError, match=re.escape(hint)):
        AtlassianAuth(source(), foreign="raise").admit(Location.of(url))
    bare, events = source(), []
    bare.on_event = events.append
    assert AtlassianAuth(bare).admit(Location.of(url)) is None
    (event,) = events
    assert event.name == "foreign_origin"
    assert hint in event.fields["hint"]

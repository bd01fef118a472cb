"""Session cookies of Data Center: it prefers them to the token, so they are not sent with it."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import httpx2
import pytest
import requests

from atlassian_auth_adapter import (
    AtlassianAuth,
    AtlassianHTTPX2Auth,
    AtlassianHTTPXAuth,
    StaticTokenSource,
)
from atlassian_auth_adapter.testing import AtlassianEmulator, FakeClock
from atlassian_auth_adapter.testing.contracts.aiohttp_base import ask

MYSELF = "/rest/api/2/myself"


@pytest.fixture
def source(emulator: AtlassianEmulator) -> StaticTokenSource:
    """A personal access token of Data Center."""
    server = emulator.data_center
    return StaticTokenSource.personal_access_token(server.personal_access_token, server.url)


def _got(library: str, source: StaticTokenSource, url: str, cookies: dict[str, str]) -> Any:
    """The answer to a GET by a client of that library, redirects followed."""

    options: dict[str, Any] = {"cookies": cookies, "follow_redirects": True}

    async def with_async() -> Any:
        async with httpx.AsyncClient(auth=AtlassianHTTPXAuth(source), **options) as http:
            return await http.get(url)

    match library:
        case "requests":
            with requests.Session() as session:
                session.auth = AtlassianAuth(source)
                session.cookies.update(cookies)
                return session.get(url)
        case "httpx":
            with httpx.Client(auth=AtlassianHTTPXAuth(source), **options) as client:
                return client.get(url)
        case "aiohttp":
            (answer,) = ask(source, url, cookies=cookies)
            return answer
        case "httpx2":
            with httpx2.Client(auth=AtlassianHTTPX2Auth(source), **options) as client2:
                return client2.get(url)
        case _:
            return asyncio.run(with_async())


@pytest.mark.parametrize("library", ["requests", "httpx", "httpx2", "aiohttp", "httpx, async"])
def test_the_session_of_another_person_is_not_sent_with_the_token(
    emulator: AtlassianEmulator, source: StaticTokenSource, library: str
) -> None:
    """A JSESSIONID in the jar: other cookies stay, also in the hop after a redirect."""
    server = emulator.data_center
    cookies = {"JSESSIONID": server.session_cookie, "balancer": "node-2"}
    for url in (server.url + MYSELF, f"{server.url}/rest/redirect?to={server.url}{MYSELF}"):
        answer = _got(library, source, url, cookies)
        assert answer.status_code == 200
        assert answer.json()["name"] != "grace"
    assert [request.headers["cookie"] for request in emulator.requests] == ["balancer=node-2"] * 3


def test_the_session_of_another_host_is_kept(
    emulator: AtlassianEmulator, source: StaticTokenSource, session: requests.Session
) -> None:
    """The name is common: another host's session is sent to it after a redirect."""
    server = emulator.data_center
    session.auth = AtlassianAuth(source)
    session.cookies.set("JSESSIONID", "of-the-identity-provider")
    session.get(f"{server.url}/rest/redirect?to={emulator.foreign_url}/sso")
    assert emulator.requests[-1].headers["cookie"] == "JSESSIONID=of-the-identity-provider"


def test_a_jar_of_the_program_is_not_changed(
    emulator: AtlassianEmulator, source: StaticTokenSource
) -> None:
    """Neither its cookies nor its policy."""
    jar = requests.cookies.cookiejar_from_dict({"JSESSIONID": "mine"})
    policy = jar.get_policy()
    prepared = requests.Request(
        "GET", emulator.data_center.url, cookies=jar, auth=AtlassianAuth(source)
    )
    assert "Cookie" not in prepared.prepare().headers
    assert jar["JSESSIONID"] == "mine"
    assert jar.get_policy() is policy


def test_a_session_that_starts_with_a_rejection_is_not_sent_again(
    emulator: AtlassianEmulator, make_client: Any, clock: FakeClock, session: requests.Session
) -> None:
    """The 401 sets a session cookie; the request that is sent again carries the token only."""
    client = make_client("data_center")
    session.auth = AtlassianAuth(client)
    session.cookies.set("JSESSIONID", emulator.data_center.session_cookie)
    clock.advance(60)
    emulator.data_center.revoke_access_tokens()
    answer = session.get(client.base_url + MYSELF)
    assert answer.status_code == 200
    assert answer.json()["name"] != "grace"
    assert len(answer.history) == 1
    assert "cookie" not in emulator.requests[-1].headers


def test_on_cloud_all_cookies_are_kept(
    emulator: AtlassianEmulator, make_client: Any, session: requests.Session
) -> None:
    """The gateway has no sessions."""
    client = make_client()
    session.auth = AtlassianAuth(client)
    session.cookies.set("JSESSIONID", "kept")
    assert session.get(client.base_url + "/rest/api/3/myself").status_code == 200
    assert emulator.requests[-1].headers["cookie"] == "JSESSIONID=kept"

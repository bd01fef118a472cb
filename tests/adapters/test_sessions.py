"""Session cookies of Data Center: they would win over the token, so they do not go with it."""

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

WHO = "/rest/api/2/myself"


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
        case "httpx2":
            with httpx2.Client(auth=AtlassianHTTPX2Auth(source), **options) as client2:
                return client2.get(url)
        case _:
            return asyncio.run(with_async())


@pytest.mark.parametrize("library", ["requests", "httpx", "httpx2", "httpx, async"])
def test_a_session_of_somebody_else_does_not_answer_for_us(
    emulator: AtlassianEmulator, library: str
) -> None:
    """A JSESSIONID in the jar belongs to another person; the token's owner is who we are. Other
    cookies stay.
    """
    server = emulator.data_center
    cookies = {"JSESSIONID": server.session_cookie, "balancer": "node-2"}
    source = StaticTokenSource.personal_access_token(server.personal_access_token, server.url)
    answer = _got(library, source, server.url + WHO, cookies)
    assert answer.json()["name"] != "grace"
    assert emulator.requests[-1].headers["cookie"] == "balancer=node-2"


@pytest.mark.parametrize("library", ["requests", "httpx", "httpx2", "httpx, async"])
def test_a_session_does_not_join_after_a_redirect(
    emulator: AtlassianEmulator, library: str
) -> None:
    """HTTP libraries add their cookies to each hop: on the way to our server none of a session."""
    server = emulator.data_center
    cookies = {"JSESSIONID": server.session_cookie, "balancer": "node-2"}
    source = StaticTokenSource.personal_access_token(server.personal_access_token, server.url)
    url = f"{server.url}/rest/redirect?to={server.url}{WHO}"
    answer = _got(library, source, url, cookies)
    assert answer.status_code == 200
    assert answer.json()["name"] != "grace"
    assert [request.headers["cookie"] for request in emulator.requests] == ["balancer=node-2"] * 2


def test_a_session_with_somebody_else_is_kept(
    emulator: AtlassianEmulator, session: requests.Session
) -> None:
    """The name is common: another host's session goes where a redirect leads."""
    server = emulator.data_center
    session.auth = AtlassianAuth(
        StaticTokenSource.personal_access_token(server.personal_access_token, server.url)
    )
    session.cookies.set("JSESSIONID", "of-the-identity-provider")
    session.get(f"{server.url}/rest/redirect?to={emulator.foreign_url}/sso")
    assert emulator.requests[-1].headers["cookie"] == "JSESSIONID=of-the-identity-provider"


def test_a_jar_of_the_program_is_left_as_it_was(emulator: AtlassianEmulator) -> None:
    """What a request was prepared with is the program's, its policy as well."""
    server = emulator.data_center
    source = StaticTokenSource.personal_access_token(server.personal_access_token, server.url)
    jar = requests.cookies.cookiejar_from_dict({"JSESSIONID": "mine"})
    policy = jar.get_policy()
    prepared = requests.Request("GET", server.url, cookies=jar, auth=AtlassianAuth(source))
    assert "Cookie" not in prepared.prepare().headers
    assert jar["JSESSIONID"] == "mine"
    assert jar.get_policy() is policy


def test_a_session_that_begins_with_a_rejection_does_not_join_the_resend(
    emulator: AtlassianEmulator, make_client: Any, clock: FakeClock, session: requests.Session
) -> None:
    """The 401 sets a session cookie; the request that is sent again carries the token alone."""
    client = make_client("data_center")
    session.auth = AtlassianAuth(client)
    session.cookies.set("JSESSIONID", emulator.data_center.session_cookie)
    clock.advance(60)
    emulator.data_center.revoke_access_tokens()
    answer = session.get(client.base_url + WHO)
    assert answer.status_code == 200
    assert answer.json()["name"] != "grace"
    assert len(answer.history) == 1
    assert "cookie" not in emulator.requests[-1].headers


def test_on_cloud_cookies_are_the_programs_affair(
    emulator: AtlassianEmulator, make_client: Any, session: requests.Session
) -> None:
    """The gateway knows no sessions: nothing is taken away."""
    client = make_client()
    session.auth = AtlassianAuth(client)
    session.cookies.set("JSESSIONID", "kept")
    assert session.get(client.base_url + "/rest/api/3/myself").status_code == 200
    assert emulator.requests[-1].headers["cookie"] == "JSESSIONID=kept"

"""Programs mock the network in their own tests: the auth objects work the same with a mock."""

from __future__ import annotations

from typing import Any

import httpx
import httpx2
import pytest
import requests
import responses

from atlassian_auth_adapter import AtlassianAuth, AtlassianHTTPX2Auth, AtlassianHTTPXAuth
from atlassian_auth_adapter.testing import AtlassianEmulator, FakeClock

#: The gateway's answers to an expired token, and to one that lacks a scope (live traffic).
EXPIRED = {"code": 401, "message": "Unauthorized"}
SCOPE_MISSING = {"code": 401, "message": "Unauthorized; scope does not match"}


@pytest.fixture
def client(emulator: AtlassianEmulator, clock: FakeClock, make_client: Any) -> Any:
    """A client that logged in a minute ago; only its token endpoint is real."""
    client = make_client()
    clock.advance(60)
    return client


@pytest.mark.parametrize(
    ("first", "calls", "refreshes"),
    [(EXPIRED, 2, 1), (SCOPE_MISSING, 1, 0)],
    ids=["expired", "scope"],
)
def test_under_responses(
    emulator: AtlassianEmulator,
    client: Any,
    session: requests.Session,
    first: dict[str, Any],
    calls: int,
    refreshes: int,
) -> None:
    """A rejected request is sent again through the mock; a missing scope is returned."""
    old, url = client.get_access_token(), f"{client.base_url}/rest/api/3/issue"
    session.auth = AtlassianAuth(client)
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.add_passthru(emulator.cloud.auth_url)
        mock.post(url, json=first, status=401)
        mock.post(url, json={"key": "AB-1"}, status=201)
        answer = session.post(url, json={"summary": "mocked"})
        sent = [(call.request.headers["Authorization"], call.request.body) for call in mock.calls]
    bodies = {body for _, body in sent}
    assert answer.status_code == (201 if calls == 2 else 401)
    assert [header for header, _ in sent] == [
        f"Bearer {old}",
        f"Bearer {client.get_access_token()}",
    ][:calls]
    assert bodies == {b'{"summary": "mocked"}'}
    assert emulator.count("refresh_token") == refreshes


@pytest.mark.parametrize(
    ("library", "auth"), [(httpx, AtlassianHTTPXAuth), (httpx2, AtlassianHTTPX2Auth)]
)
@pytest.mark.parametrize(
    ("first", "calls", "refreshes"),
    [(EXPIRED, 2, 1), (SCOPE_MISSING, 1, 0)],
    ids=["expired", "scope"],
)
def test_under_mock_transport(
    emulator: AtlassianEmulator,
    client: Any,
    library: Any,
    auth: Any,
    first: dict[str, Any],
    calls: int,
    refreshes: int,
) -> None:
    """The same with the mock transport of httpx and httpx2."""
    seen: list[tuple[str, bytes]] = []

    def answer(request: Any) -> Any:
        seen.append((request.headers["Authorization"], request.content))
        if len(seen) == 1:
            return library.Response(401, json=first)
        return library.Response(201, json={"key": "AB-1"})

    old, url = client.get_access_token(), f"{client.base_url}/rest/api/3/issue"
    with library.Client(auth=auth(client), transport=library.MockTransport(answer)) as http:
        assert http.post(url, json={"summary": "mocked"}).status_code == (
            201 if calls == 2 else 401
        )
    headers = [f"Bearer {old}", f"Bearer {client.get_access_token()}"][:calls]
    assert [header for header, _ in seen] == headers
    assert len({body for _, body in seen}) == 1
    assert emulator.count("refresh_token") == refreshes

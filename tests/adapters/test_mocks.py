"""Programs mock the network in their own tests: the auth objects work the same with a mock."""

from __future__ import annotations

from functools import partial
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


Sent = list[tuple[str, bytes]]


def _under_responses(emulator: Any, client: Any, url: str, first: Any) -> tuple[int, Sent]:
    """The status of a POST by requests, and what was sent: token and body."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.add_passthru(emulator.cloud.auth_url)
        mock.post(url, json=first, status=401)
        mock.post(url, json={"key": "AB-1"}, status=201)
        answer = requests.post(url, json={"summary": "mocked"}, auth=AtlassianAuth(client))
        sent = [(call.request.headers["Authorization"], call.request.body) for call in mock.calls]
    return answer.status_code, sent  # type: ignore[return-value]


def _under_mock_transport(
    library: Any, auth: Any, _: Any, client: Any, url: str, first: Any
) -> tuple[int, Sent]:
    """The same by httpx or httpx2."""
    sent: Sent = []

    def answer(request: Any) -> Any:
        sent.append((request.headers["Authorization"], request.content))
        if len(sent) == 1:
            return library.Response(401, json=first)
        return library.Response(201, json={"key": "AB-1"})

    with library.Client(auth=auth(client), transport=library.MockTransport(answer)) as http:
        return http.post(url, json={"summary": "mocked"}).status_code, sent


@pytest.mark.parametrize(
    "post",
    [
        _under_responses,
        partial(_under_mock_transport, httpx, AtlassianHTTPXAuth),
        partial(_under_mock_transport, httpx2, AtlassianHTTPX2Auth),
    ],
    ids=["requests", "httpx", "httpx2"],
)
def test_under_a_mock(emulator: AtlassianEmulator, client: Any, post: Any) -> None:
    """A rejected request is sent again through the mock; a missing scope is returned."""
    url = f"{client.base_url}/rest/api/3/issue"
    for first, expected, calls in ((EXPIRED, 201, 2), (SCOPE_MISSING, 401, 1)):
        old = client.get_access_token()
        status, sent = post(emulator, client, url, first)
        tokens = [old, client.get_access_token()][:calls]
        assert status == expected
        assert [header for header, _ in sent] == [f"Bearer {token}" for token in tokens]
        assert len({body for _, body in sent}) == 1
        assert emulator.count("refresh_token") == 1

"""What stands between a server and the auth object may keep a rejection from it (docs/testing.md,
docs/sdks.md): what does not work, and the lines that do.
"""

from __future__ import annotations

from typing import Any

import httpx
import httpx2
import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from atlassian_auth_adapter import AtlassianAuth, AtlassianHTTPX2Auth, AtlassianHTTPXAuth
from atlassian_auth_adapter.testing import AtlassianEmulator, FakeClock


@pytest.fixture
def client(emulator: AtlassianEmulator, clock: FakeClock, make_client: Any) -> Any:
    """A client whose access token the server has revoked."""
    client = make_client()
    clock.advance(60)
    emulator.cloud.revoke_access_tokens()
    return client


def _raises(response: Any) -> None:
    response.raise_for_status()


def _raises_but_for_401(response: Any) -> None:
    if response.status_code != 401:
        response.raise_for_status()


@pytest.mark.parametrize(
    ("library", "auth"), [(httpx, AtlassianHTTPXAuth), (httpx2, AtlassianHTTPX2Auth)]
)
def test_an_event_hook_that_raises_hides_a_rejection(
    emulator: AtlassianEmulator, client: Any, library: Any, auth: Any
) -> None:
    """It is called before the auth object: let it pass a 401, which is checked afterwards."""
    url = f"{client.base_url}/rest/api/3/myself"
    with library.Client(auth=auth(client), event_hooks={"response": [_raises]}) as http:
        with pytest.raises(library.HTTPStatusError):
            http.get(url)
        assert emulator.count("refresh_token") == 0
        http.event_hooks = {"response": [_raises_but_for_401]}
        assert http.get(url).raise_for_status().status_code == 200
    assert emulator.count("refresh_token") == 1


def test_a_retry_policy_with_401_hides_a_rejection(
    emulator: AtlassianEmulator, client: Any, session: requests.Session
) -> None:
    """urllib3 repeats the request with the same token, below requests: leave the 401 out."""
    url = f"{client.base_url}/rest/api/3/myself"
    session.auth = AtlassianAuth(client)
    session.mount(url, HTTPAdapter(max_retries=Retry(2, status_forcelist=[401, 503])))
    with pytest.raises(requests.exceptions.RetryError):
        session.get(url)
    assert emulator.count("refresh_token") == 0
    session.mount(url, HTTPAdapter(max_retries=Retry(2, status_forcelist=[429, 502, 503, 504])))
    assert session.get(url).status_code == 200
    assert emulator.count("refresh_token") == 1


@pytest.mark.parametrize("how", ["session", "adapter"])
def test_requests_mock_for_one_session(
    emulator: AtlassianEmulator, client: Any, session: requests.Session, how: str
) -> None:
    """A rejected request is sent again through the mock; the refresh goes to the emulator."""
    requests_mock = pytest.importorskip("requests_mock")
    url = f"{client.base_url}/rest/api/3/issue"
    answers = [{"status_code": 401}, {"status_code": 201}]
    session.auth = AtlassianAuth(client)
    if how == "adapter":
        mock = requests_mock.Adapter()
        session.mount(client.base_url, mock)
        mock.register_uri("POST", url, answers)
        status = session.post(url, data="summary").status_code
    else:
        with requests_mock.Mocker(session=session) as mock:
            mock.post(url, answers)
            status = session.post(url, data="summary").status_code
    assert status == 201
    assert [request.text for request in mock.request_history] == ["summary"] * 2
    assert emulator.count("refresh_token") == 1

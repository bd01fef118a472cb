"""Service accounts: tokens of a client that acts for itself, on Cloud and on Data Center."""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
import requests
import responses

from atlassian_auth_adapter import (
    AtlassianAuth,
    AtlassianHTTPXAuth,
    AtlassianServiceAccountClient,
    CloudEnvironment,
    ConfigurationError,
    FileTokenStore,
    MemoryTokenStore,
    TokenEndpointUnavailableError,
    TokenRequestRefusedError,
)
from atlassian_auth_adapter.testing import AtlassianEmulator, FakeClock
from atlassian_auth_adapter.testing.emulator import CloseAfter, Edit, Hold, Status

both = pytest.mark.parametrize("flavour", ["cloud", "data_center"])
WHO = {"cloud": "/rest/api/3/myself", "data_center": "/rest/api/2/myself"}


@pytest.fixture
def make(emulator: AtlassianEmulator, clock: FakeClock) -> Callable[..., Any]:
    """Makes the service account of a flavour."""

    def make(flavour: str = "cloud", **changes: Any) -> AtlassianServiceAccountClient:
        side = getattr(emulator, flavour)
        arguments: dict[str, Any] = {
            "client_id": side.service_account.client_id,
            "client_secret": side.service_account.client_secret,
            "clock": clock,
        }
        if flavour == "cloud":
            cloud = CloudEnvironment(side.auth_url, side.api_url, side.audience)
            arguments |= {"site_url": side.sites[0].url, "cloud": cloud}
        else:
            arguments["server_url"] = side.url
        return AtlassianServiceAccountClient(**(arguments | changes))

    return make


def _fetched(emulator: AtlassianEmulator) -> int:
    return emulator.count("client_credentials", "issued")


@both
def test_a_wrong_secret_is_sent_once_in_five_seconds(
    flavour: str, emulator: AtlassianEmulator, clock: FakeClock, make: Any
) -> None:
    """Twenty requests, one token request; a secret that was corrected is used after that time."""
    secret = "wrong-secret"
    client = make(flavour, client_secret=lambda: secret)
    for _ in range(20):
        with pytest.raises(TokenRequestRefusedError):
            client.get_access_token()
        clock.advance(0.2)
    assert len(emulator.token_requests) == 1
    secret = getattr(emulator, flavour).service_account.client_secret
    clock.advance(1)
    assert client.get_access_token()


@both
def test_requests_are_made_without_a_login(
    flavour: str, emulator: AtlassianEmulator, make: Any, session: requests.Session
) -> None:
    """No person, no refresh token, one token request for any number of requests."""
    client = make(flavour)
    assert client.status().state == "none"
    session.auth = AtlassianAuth(client)
    for _ in range(3):
        assert session.get(client.base_url + WHO[flavour]).status_code == 200
    assert client.test_connection().id
    assert _fetched(emulator) == len(emulator.token_requests) == 1
    assert client.current().refresh_token == ""
    assert client.status().state == "fresh"
    assert (client.status().idle_until, client.status().reauthorize_by) == (None, None)


@both
def test_an_ended_token_is_fetched_again(
    flavour: str, emulator: AtlassianEmulator, make: Any, clock: FakeClock
) -> None:
    """After its hour, and when it is rejected before."""
    client = make(flavour)
    first = client.get_access_token()
    clock.advance(3600)
    assert client.status().state == "expired"
    second = client.get_access_token()
    assert client.token_set(rejected=second).access_token not in (first, second)
    assert _fetched(emulator) == 3


@both
def test_many_who_start_at_once_share_one_request(
    flavour: str, emulator: AtlassianEmulator, make: Any
) -> None:
    """64 threads with auth objects of their own, and an event loop."""
    client = make(flavour)
    hold = Hold()
    emulator.faults.next("token", hold)

    async def tasks() -> set[str]:
        async with httpx.AsyncClient(auth=AtlassianHTTPXAuth(client)) as http:
            waiting = [
                asyncio.create_task(http.get(client.server_url or client.base_url))
                for _ in range(3)
            ]
            await asyncio.gather(*waiting)
        return {(await client.token_set_async()).access_token}

    with ThreadPoolExecutor(65) as pool:
        waiting = [pool.submit(client.get_access_token) for _ in range(64)]
        hold.wait_arrived()
        loop = pool.submit(asyncio.run, tasks())
        hold.release()
        assert {one.result(20) for one in waiting} == loop.result(20)
    assert _fetched(emulator) == 1


@both
def test_processes_share_a_token_through_the_store(
    flavour: str, emulator: AtlassianEmulator, make: Any, tmp_path: Path
) -> None:
    """Two clients with stores of their own over one directory: one token request for both."""
    one, other = (make(flavour, store=FileTokenStore(tmp_path)) for _ in range(2))
    first = one.get_access_token()
    code = (
        "import sys; from atlassian_auth_adapter import *;"
        "print(AtlassianServiceAccountClient(sys.argv[1], 'wrong', server_url=sys.argv[2],"
        "store=FileTokenStore(sys.argv[3])).get_access_token())"
    )
    assert other.get_access_token() == first
    if flavour == "data_center":
        server = emulator.data_center
        run = subprocess.run(
            [sys.executable, "-c", code, server.service_account.client_id, server.url, tmp_path],
            capture_output=True,
            text=True,
            check=True,
        )
        assert run.stdout.strip() == first
    assert _fetched(emulator) == 1


def test_cloud_is_sent_no_scope_and_data_center_is(make: Any, emulator: AtlassianEmulator) -> None:
    """Cloud refuses any; Data Center wants one, its default unless told otherwise."""
    bodies = []

    def answer(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        bodies.append(parse_qs(str(request.body)))
        return 200, {}, '{"access_token": "t", "expires_in": 3600}'

    with responses.RequestsMock() as mock:
        for side in (
            emulator.cloud.auth_url + "/oauth",
            emulator.data_center.url + "/rest/oauth2/latest",
        ):
            mock.add_callback("POST", side + "/token", callback=answer)
        make("cloud", cloud_id="x").get_access_token()
        make("data_center").get_access_token()
        make("data_center", scopes=["READ"]).get_access_token()
    assert [body.get("scope") for body in bodies] == [None, ["WRITE"], ["READ"]]
    assert all("redirect_uri" not in body for body in bodies)


def test_tokens_of_other_scopes_are_others(make: Any) -> None:
    """Two programs with one store: the one that may read does not get the writer's token."""
    store = MemoryTokenStore()
    reader, writer = (make("data_center", store=store, scopes=s) for s in ("READ", ["WRITE"]))
    assert reader.get_access_token() != writer.get_access_token()
    assert reader.status().scopes == ("READ",)


def test_the_same_scopes_are_the_same_token(make: Any, clock: FakeClock) -> None:
    """However they are written, in whatever order; an account's name is never taken for a scope."""
    store = MemoryTokenStore()
    spellings = ("READ WRITE", " WRITE  READ", ["WRITE", "READ"], iter(["READ", "WRITE"]))
    clients = [make("data_center", store=store, scopes=scopes) for scopes in spellings]
    other = make("data_center", store=store, account="default READ", scopes="WRITE")
    assert len({client.get_access_token() for client in (*clients, other)}) == 2
    _, (_, make_elsewhere) = clients[-1].__reduce__()
    elsewhere = make_elsewhere(client_secret="another", clock=clock)
    assert elsewhere.get_access_token() == clients[0].get_access_token()


def test_a_person_s_login_with_the_same_client_is_another(
    make: Any, make_client: Any, emulator: AtlassianEmulator
) -> None:
    """A consumer of Bitbucket Cloud acts for persons and for itself, in one store as well."""
    store = MemoryTokenStore()
    person = make_client("bitbucket", store=store)
    bitbucket = emulator.bitbucket
    account = AtlassianServiceAccountClient(
        bitbucket.app.client_id,
        bitbucket.app.client_secret,
        product="bitbucket",
        cloud=CloudEnvironment(bitbucket.auth_url, bitbucket.api_url, ""),
        store=store,
    )
    login = person.token_set()
    assert account.get_access_token() != login.access_token
    account.refresh()
    account.forget()
    assert person.token_set() == login
    assert person.refresh().state == "fresh"


def test_scopes_for_cloud_are_refused_at_once(make: Any) -> None:
    """They are chosen in the administration; the server would answer invalid_scope."""
    with pytest.raises(ConfigurationError, match="chosen when the credential is made"):
        make("cloud", scopes=["read:jira-work"])


@both
def test_a_wrong_secret_is_told(flavour: str, make: Any) -> None:
    """No person is asked to log in for it."""
    with pytest.raises(TokenRequestRefusedError, match="client_secret") as caught:
        make(flavour, client_secret="wrong").get_access_token()
    assert caught.value.status == 401


@both
def test_a_lost_answer_is_asked_for_again(
    flavour: str, emulator: AtlassianEmulator, make: Any, events: Any, landed: Any
) -> None:
    """Also on Data Center, which has no grace for refresh tokens: here nothing is spent."""
    client = make(flavour, on_event=events)
    emulator.faults.next("token", CloseAfter(), times=2)
    assert client.get_access_token()
    landed()
    assert events.names == ["replayed"]


@both
def test_a_throttled_request_is_waited_for_by_all(
    flavour: str, emulator: AtlassianEmulator, make: Any
) -> None:
    """Retry-After is kept in the store: the next client does not ask before."""
    store = MemoryTokenStore()
    emulator.faults.next("token", Status(429, retry_after=60))
    with pytest.raises(TokenEndpointUnavailableError):
        make(flavour, store=store).get_access_token()
    with pytest.raises(TokenEndpointUnavailableError, match="try again in"):
        make(flavour, store=store).get_access_token()
    assert len(emulator.token_requests) == 1


def test_a_refresh_token_that_comes_all_the_same_is_not_kept(
    emulator: AtlassianEmulator, make: Any
) -> None:
    """The client has its secret; one secret less to lose."""

    def generous(response: Any) -> Any:
        return replace(response, body=response.body.replace(b"{", b'{"refresh_token":"r",', 1))

    emulator.faults.next("token", Edit(generous))
    assert make().token_set().refresh_token == ""


def test_the_only_site_of_a_service_account_is_found(
    make: Any, emulator: AtlassianEmulator
) -> None:
    """accessible-resources answers service accounts as well."""
    assert make(site_url="").base_url.endswith(emulator.cloud.sites[0].id)


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        ({}, "say which site"),
        ({"server_url": "http://jira.company.com"}, "https"),
        ({"cloud_id": "x", "product": "jria"}, "unknown product"),
        ({"cloud_id": "a/b"}, "cloud_id"),
    ],
)
def test_a_configuration_that_cannot_work_is_told_at_once(
    arguments: dict[str, str], advice: str
) -> None:
    """Before any request, with what to change."""
    with pytest.raises(ConfigurationError, match=advice):
        AtlassianServiceAccountClient("id", "secret", **arguments)


@both
def test_forgetting_and_revoking_are_no_end(
    flavour: str, emulator: AtlassianEmulator, make: Any
) -> None:
    """The next use fetches another token."""
    client = make(flavour)
    tokens = {client.get_access_token()}
    client.forget()
    tokens.add(client.get_access_token())
    client.revoke()
    tokens.add(client.get_access_token())
    assert len(tokens) == 3
    assert client.refresh().generation > 1


@both
def test_a_pickle_is_a_configuration(
    flavour: str, make: Any, tmp_path: Path, clock: FakeClock
) -> None:
    """The same object here; a new one in another process, and no secret in the pickle."""
    client = make(flavour, store=FileTokenStore(tmp_path))
    token = client.get_access_token()
    pickled = pickle.dumps(client)
    assert pickle.loads(pickled) is client
    assert token.encode() not in pickled
    _, (_, make_elsewhere) = client.__reduce__()
    elsewhere = make_elsewhere(client_secret="another", clock=clock)
    assert elsewhere.get_access_token() == token

"""Bitbucket: an authorization server of its own on Cloud, the common provider on Data Center."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from atlassian_auth_adapter import (
    AtlassianAuth,
    AtlassianServiceAccountClient,
    CloudEnvironment,
    FileTokenStore,
    LoginRequiredError,
    MemoryTokenStore,
    TokenEndpointUnavailableError,
)
from atlassian_auth_adapter.testing import AtlassianEmulator, FakeClock
from atlassian_auth_adapter.testing.emulator import (
    HTML,
    CloseAfter,
    CloseBefore,
    CutBody,
    Status,
    TruncatedJSON,
)

REPOSITORIES = {"bitbucket": "/repositories/acme", "data_center": "/rest/api/1.0/projects"}
both = pytest.mark.parametrize("flavour", REPOSITORIES)


@pytest.fixture
def client_of(make_client: Any) -> Any:
    """Makes a logged-in client of Bitbucket Cloud ("bitbucket") or Data Center."""

    def make(flavour: str, **changes: Any) -> Any:
        product = {"product": "bitbucket"} if flavour == "data_center" else {}
        return make_client(flavour, **product, **changes)

    return make


@both
def test_a_login_names_its_owner(flavour: str, client_of: Any) -> None:
    """Cloud answers with an account, Data Center says in a header who has asked."""
    identity = client_of(flavour).test_connection()
    assert identity.id
    assert identity.name


@both
def test_a_rejected_token_is_replaced(
    flavour: str, client_of: Any, emulator: AtlassianEmulator, clock: FakeClock,
    session: requests.Session,
) -> None:  # fmt: skip
    """An expired token on Cloud is a 401 with a body of its own shape; rotation works on both."""
    client = client_of(flavour)
    session.auth = AtlassianAuth(client)
    clock.advance(60)
    getattr(emulator, flavour).expire_access_tokens()
    answer = session.get(client.base_url + REPOSITORIES[flavour])
    assert answer.status_code == 200
    assert [each.status_code for each in answer.history] == [401 if flavour == "bitbucket" else 200]
    assert emulator.count("refresh_token", "issued") == 1


@both
def test_a_request_that_never_arrived_is_sent_once_more(
    flavour: str, client_of: Any, emulator: AtlassianEmulator, clock: FakeClock
) -> None:
    """One resend is enough when nothing was rotated."""
    client = client_of(flavour)
    clock.advance(7200)
    emulator.faults.next("token", CloseBefore())
    assert client.get_access_token()


@pytest.mark.parametrize(
    "faults",
    [
        [CloseAfter()],
        [CutBody()],
        [TruncatedJSON(), HTML(after=True), CloseAfter()],
        [Status(502, after=True), CloseBefore(), Status(429, retry_after=3)],
    ],
    ids=lambda faults: "-".join(fault.name for fault in faults),
)
def test_a_lost_answer_of_cloud_is_asked_for_again(
    faults: list[Any], client_of: Any, emulator: AtlassianEmulator, clock: FakeClock
) -> None:
    """A used refresh token is taken again for ten minutes; whatever the answer was lost by, the
    login goes on.
    """
    emulator.bitbucket.siblings_stay_valid = False  # it is documented nowhere that they do
    client = client_of("bitbucket")
    clock.advance(7200)
    for fault in faults:
        emulator.faults.next("token", fault)
    assert client.get_access_token() == client.current().access_token
    clock.advance(7200)
    assert client.get_access_token()
    assert not emulator.revoked_families


def test_an_answer_of_cloud_can_be_asked_for_until_the_grace_ends(
    client_of: Any, emulator: AtlassianEmulator, clock: FakeClock
) -> None:
    """A flight asks for a minute; a later one still can nine minutes after the first request."""
    for minutes, reason in ((9, ""), (10, "answer_lost")):
        client = client_of("bitbucket", store=MemoryTokenStore())
        clock.advance(7200)
        emulator.faults.next("token", CloseAfter(), times=None)
        with pytest.raises(TokenEndpointUnavailableError) as caught:
            client.get_access_token()
        assert caught.value.outcome == "ambiguous"
        emulator.faults.clear()
        sent = client.status().pending_since
        assert 30 < clock.time() - sent <= 60
        clock.advance(sent + minutes * 60 - clock.time())
        with suppress(LoginRequiredError):
            client.get_access_token()
        assert client.status().reason == reason, minutes


def test_a_cloud_without_its_grace_ends_the_login_and_says_so(
    client_of: Any, emulator: AtlassianEmulator, clock: FakeClock
) -> None:
    """The grace is known from one report: where it is not kept, a person is told to sign in."""
    emulator.bitbucket.rotation_grace = 0
    client = client_of("bitbucket")
    clock.advance(7200)
    emulator.faults.next("token", CloseAfter())
    with pytest.raises(LoginRequiredError):
        client.get_access_token()
    assert client.status().state == "login_required"
    assert client.status().generation == 1  # nothing was deleted


def test_a_login_of_cloud_ends_after_three_months_without_use(
    client_of: Any, emulator: AtlassianEmulator, clock: FakeClock
) -> None:
    """The status says when, a refresh starts the time again, and the emulator keeps to it."""
    client = client_of("bitbucket")
    for _ in range(2):
        status = client.status()
        assert status.idle_until == status.reauthorize_by == clock.time() + 90 * 86400
        clock.advance(89 * 86400)
        client.refresh()
    clock.advance(90 * 86400)
    with pytest.raises(LoginRequiredError) as caught:
        client.get_access_token()
    assert caught.value.reason == "refused"


def test_tokens_of_cloud_are_longer_than_some_keyrings_hold(
    client_of: Any, emulator: AtlassianEmulator, tmp_path: Path
) -> None:
    """Access and refresh token have more than 2,500 characters each, and are read back whole."""
    token_set = client_of("bitbucket", store=FileTokenStore(tmp_path / "t")).token_set()
    assert len(token_set.access_token) > 2500
    assert len(token_set.refresh_token) > 2500
    again = client_of("bitbucket", store=FileTokenStore(tmp_path / "t"), login=False)
    assert again.token_set() == token_set


@both
def test_a_service_account_needs_no_person(
    flavour: str, emulator: AtlassianEmulator, clock: FakeClock, session: requests.Session
) -> None:
    """On Cloud the consumer asks for itself, by HTTP Basic; on Data Center with a scope."""
    side = getattr(emulator, flavour)
    where: dict[str, Any] = {"server_url": side.url} if flavour == "data_center" else {
        "cloud": CloudEnvironment(side.auth_url, side.api_url, "")
    }  # fmt: skip
    account = side.service_account
    account.scopes = (*account.scopes, "REPO_READ")
    client = AtlassianServiceAccountClient(
        account.client_id, account.client_secret, product="bitbucket", clock=clock, **where
    )
    session.auth = AtlassianAuth(client)
    for _ in range(2):
        assert session.get(client.base_url + REPOSITORIES[flavour]).status_code == 200
    assert emulator.count("client_credentials", "issued") == len(emulator.token_requests) == 1

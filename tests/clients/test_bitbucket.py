"""Bitbucket: an authorization server of its own on Cloud, the common provider on Data Center."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from atlassian_auth_adapter import (
    AtlassianAuth,
    AtlassianServiceAccountClient,
    CloudEnvironment,
    LoginRequiredError,
)
from atlassian_auth_adapter.testing import AtlassianEmulator, FakeClock
from atlassian_auth_adapter.testing.emulator import CloseAfter, CloseBefore

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
    """Nothing is known of a grace: one resend, which is enough when nothing was rotated."""
    client = client_of(flavour)
    clock.advance(7200)
    emulator.faults.next("token", CloseBefore())
    assert client.get_access_token()


def test_a_lost_answer_of_cloud_is_told_as_what_it_is(
    client_of: Any, emulator: AtlassianEmulator, clock: FakeClock
) -> None:
    """Without a grace the login has ended; the reason says so, and nothing was deleted."""
    client = client_of("bitbucket")
    clock.advance(7200)
    emulator.faults.next("token", CloseAfter())
    with pytest.raises(LoginRequiredError) as caught:
        client.get_access_token()
    assert caught.value.reason == "answer_lost"
    assert client.status().state == "login_required"


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

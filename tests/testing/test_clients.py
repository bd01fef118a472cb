"""Clients of the emulator in one line, settings that do not exist, and the pytest fixtures."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from atlassian_auth_adapter import AtlassianAuth, MemoryTokenStore, TokenRequestRefusedError
from atlassian_auth_adapter.testing import AtlassianEmulator, FakeClock
from atlassian_auth_adapter.testing.emulator import CloseBefore, NotRedirectedError, Status

FLAVOURS = ("cloud", "data_center", "bitbucket", "trello")
MYSELF = {"cloud": "/rest/api/3/myself", "data_center": "/rest/api/2/myself"}
MYSELF |= {"bitbucket": "/user", "trello": "/1/members/me"}


@pytest.fixture
def local(atlassian_emulator: AtlassianEmulator) -> AtlassianEmulator:
    """That of the plugin, as authors of tests have it."""
    return atlassian_emulator


def ask(client: Any, url: str) -> int:
    """The status of a request with the client's tokens."""
    with requests.Session() as session:
        session.auth = AtlassianAuth(client)
        return session.get(url, timeout=30).status_code


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_client_in_one_line(flavour: str, local: AtlassianEmulator) -> None:
    """It is signed in, and its tokens are accepted."""
    client = getattr(local, flavour).client()
    assert client.status().state == "fresh"
    assert ask(client, client.base_url + MYSELF[flavour]) == 200


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_person_may_sign_in_later(flavour: str, local: AtlassianEmulator) -> None:
    """With signed_in=False there is no login, and the client can start one."""
    side = getattr(local, flavour)
    client = side.client(signed_in=False)
    assert client.status().state == "none"
    client.oauth_complete(side.authorize(client.oauth_start()))
    assert client.status().state == "fresh"


def test_a_login_that_the_store_has_is_used(local: AtlassianEmulator) -> None:
    """As another process of the same program: no second person signs in."""
    store = MemoryTokenStore()
    first, second = (local.cloud.client(store=store) for _ in range(2))
    assert first.get_access_token() == second.get_access_token()
    assert local.count("authorization_code") == 1


@pytest.mark.parametrize("flavour", ["cloud", "data_center", "bitbucket"])
def test_a_client_of_the_service_account(flavour: str, local: AtlassianEmulator) -> None:
    """Nobody signs in."""
    client = getattr(local, flavour).service_account_client()
    assert ask(client, client.base_url + MYSELF[flavour]) == 200
    assert local.count("client_credentials", "issued") == len(local.token_requests) == 1


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_client_and_emulator_share_the_clock(
    flavour: str, local: AtlassianEmulator, atlassian_clock: FakeClock
) -> None:
    """Moving it ends tokens at both ends; one refresh follows."""
    side = getattr(local, flavour)
    client = side.client()
    old = client.get_access_token()
    atlassian_clock.advance(side.access_token_lifetime)
    assert side.bearer(old)[1] == "expired"
    assert client.get_access_token() != old
    assert local.count("refresh_token", "issued") == 1


def test_a_client_may_have_another_clock(local: AtlassianEmulator) -> None:
    """Then it believes its token to be expired, and the emulator does not."""
    clock = FakeClock()
    client = local.cloud.client(clock=clock)
    old = client.get_access_token()
    clock.advance(3600)
    assert client.get_access_token() != old
    assert local.cloud.bearer(old)[1] == "live"


def test_a_clock_that_only_tells_the_time_is_for_the_emulator() -> None:
    """A client needs more of a clock, and takes the machine's."""

    class Clock:
        def time(self) -> float:
            return FakeClock().time()

    with AtlassianEmulator(Clock(), bitbucket=False, trello=False) as emulator:
        assert emulator.cloud.client().status().state == "fresh"


def test_scopes_product_and_site_are_those_asked_for() -> None:
    """The arguments of the factory are those of the method."""
    with AtlassianEmulator(sites=2) as emulator:
        second = emulator.cloud.sites[1]
        client = emulator.cloud.client(
            scopes=["read:confluence-user"], product="confluence", site_url=second.url
        )
        assert client.base_url.endswith(f"/ex/confluence/{second.id}")
        assert client.get_oauth_scopes() == ["read:confluence-user"]
        with pytest.raises(ValueError, match="this emulator has the sites"):
            emulator.cloud.client(site_url="https://acme.atlassian.net")
        with pytest.raises(ValueError, match="only Cloud has sites"):
            emulator.data_center.client(site_url=second.url)


def test_what_goes_wrong_is_raised(local: AtlassianEmulator) -> None:
    """An argument that does not exist, a wrong secret, a scope that the app lacks."""
    with pytest.raises(TypeError, match="scope"):
        local.cloud.client(scope="read:jira-work")
    with pytest.raises(TokenRequestRefusedError):
        local.cloud.client(client_secret="another")
    local.cloud.app.scopes = ("read:jira-work",)
    with pytest.raises(NotRedirectedError):
        local.cloud.client(scopes=["write:jira-work"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"grant_type": "refresh"},
        {"outcome": "reused_after_grace"},
        {"outcome": "fault:close"},
        {"flavour": "server"},
    ],
    ids=str,
)
def test_a_count_that_is_always_zero_raises(
    wrong: dict[str, str], local: AtlassianEmulator
) -> None:
    """A misspelt outcome would let `count(...) == 0` pass for ever."""
    with pytest.raises(ValueError, match="there is no"):
        local.count(**wrong)


def test_every_outcome_that_exists_may_be_counted(local: AtlassianEmulator) -> None:
    """Also those that have not happened, and those of faults."""
    for outcome in ("issued", "replayed_in_grace", "reuse_after_grace", "refused"):
        assert local.count(outcome=outcome) == 0
    client = local.cloud.client()
    for fault in (CloseBefore(), Status(503)):
        local.faults.next("token", fault)
    client.refresh()
    assert local.count(outcome="fault:closebefore") == local.count(outcome="fault:status-503") == 1


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_values_that_do_not_exist_raise(flavour: str, local: AtlassianEmulator) -> None:
    """A knob with few values takes those only; each of them is taken."""
    side = getattr(local, flavour)
    for name, values in side.choices.items():
        for value in values:
            setattr(side, name, value)
        with pytest.raises(ValueError, match=f"{name} = 'wrong': there is no such value; use"):
            setattr(side, name, "wrong")


def test_what_is_no_knob_raises(local: AtlassianEmulator) -> None:
    """A method in place of a knob, a knob of Cloud at the emulator, a queue that is none."""
    with pytest.raises(AttributeError, match="not a setting but a method: call it"):
        local.cloud.expire_access_tokens = True
    with pytest.raises(AttributeError, match="has no setting 'rate_limit'"):
        local.rate_limit = 5
    with pytest.raises(AttributeError):
        local.faults.token = Status(503)
    with pytest.raises(ValueError, match="not a kind of request"):
        local.faults.pending("tokens")

"""A resource server has rejected the token: what is looked up, what is asked for, and how often."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from atlassian_auth_adapter import (
    AtlassianAuth,
    AtlassianOAuthClient,
    FreshTokenRejectedError,
    LoginRequiredError,
    TokenSet,
)
from atlassian_auth_adapter.testing import AtlassianEmulator, FakeClock, save_login, stored_login

from .stores import FragileStore, Pause, successor


def forced(client: AtlassianOAuthClient) -> TokenSet:
    """What follows a token that was rejected."""
    return client.token_set(rejected=client.get_access_token())


def over(client: AtlassianOAuthClient) -> float:
    """Seconds until the next forced refresh, which is not possible now."""
    with pytest.raises(FreshTokenRejectedError) as caught:
        forced(client)
    assert caught.value.retry_after is not None
    return caught.value.retry_after


def test_a_rejected_token_is_looked_up_before_it_is_replaced(
    emulator: AtlassianEmulator, make_client: Any, newer: TokenSet
) -> None:
    """Another process has refreshed, so the old token was rejected: the newer one is used."""
    client = make_client()
    save_login(client, successor(stored_login(client), newer))
    assert forced(client) == newer
    assert emulator.count("refresh_token") == 0


def test_a_rejection_of_an_old_token_costs_nothing(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any
) -> None:
    """A late 401 for a token that has been replaced meanwhile is answered from memory."""
    client = make_client()
    old = client.get_access_token()
    clock.advance(3600)
    new = client.get_access_token()
    assert client.token_set(rejected=old).access_token == new
    assert emulator.count("refresh_token") == 1


def test_ten_forced_refreshes_at_once_and_one_more_every_thirty_seconds(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any
) -> None:
    """A resource that rejects every token does not burn a rotation per request."""
    client = make_client()
    tokens = {forced(client).access_token for _ in range(10)}
    assert len(tokens) == 10
    assert over(client) == 30
    clock.advance(29)
    assert over(client) == 1
    assert client.get_access_token() in tokens
    clock.advance(1)
    assert forced(client).access_token not in tokens
    assert over(client) == 30
    clock.advance(300)
    for _ in range(10):
        forced(client)
    assert over(client) == 30
    assert emulator.count("refresh_token") == 21


def test_a_spent_budget_is_no_reason_to_keep_an_expired_token(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any
) -> None:
    """The token is rejected, the budget is spent, and a second later the token ends: renewed."""
    emulator.cloud.access_token_lifetime = 20
    client = make_client()
    for _ in range(10):
        last = forced(client)
    assert over(client) == 30
    clock.advance(4.5)
    assert client.get_access_token() == last.access_token
    assert over(client) == 25.5
    clock.advance(5.5)
    assert client.get_access_token() != last.access_token


def test_the_budget_is_shared_through_the_store(make_client: Any, another_process: Any) -> None:
    """Two processes have ten forced refreshes together, and every process is told the same."""
    store = FragileStore()
    first = make_client(store=store)
    second, third = another_process(store=store), another_process(store=store)

    def up_to_date(client: AtlassianOAuthClient) -> AtlassianOAuthClient:
        newest = stored_login(client).token_set.access_token  # type: ignore[union-attr]
        if client.get_access_token() != newest:
            assert forced(client).access_token == newest  # adopted
        return client

    for _ in range(5):
        forced(up_to_date(first))
        forced(up_to_date(second))
    assert {over(up_to_date(client)) for client in (first, second, third)} == {30}
    assert stored_login(first).generation == 11  # type: ignore[union-attr]


@pytest.mark.parametrize("jump", [-86400, -1000, -200, -5])
def test_a_clock_that_is_set_back_locks_no_client_out(
    clock: FakeClock, make_client: Any, emulator: AtlassianEmulator, jump: float
) -> None:
    """What was saved by a clock far ahead does not count; a little costs as much more patience."""
    emulator.cloud.rotation_grace = 1e9  # the emulator's clock jumps as well
    client = make_client()
    for _ in range(10):
        forced(client)
    clock.jump(jump)
    if jump > -300:
        assert over(client) == pytest.approx(30 - jump)
        clock.advance(30 - jump)
    assert forced(client)


def test_refreshes_for_other_reasons_do_not_touch_the_budget(
    clock: FakeClock, make_client: Any
) -> None:
    """Expiry and `refresh()` cost nothing of it; and a rejected token that has ended neither."""
    client = make_client()
    for _ in range(12):
        client.refresh()
        clock.advance(3600)
        client.get_access_token()
    old = client.get_access_token()
    for _ in range(12):
        clock.advance(3600)
        old = client.token_set(rejected=old).access_token
    for _ in range(10):
        forced(client)
    assert over(client) == 30


def test_each_early_revocation_is_followed_by_a_refresh(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any, session: requests.Session
) -> None:
    """An access token is revoked early, and 5 s later its successor is too, eight times over."""
    client = make_client()
    session.auth = AtlassianAuth(client)
    url = client.base_url + "/rest/api/3/myself"
    for _ in range(8):
        emulator.cloud.revoke_access_tokens()
        assert session.get(url).status_code == 200
        clock.advance(5)
    assert emulator.count("refresh_token", "issued") == 8


def test_a_grant_that_is_revoked_just_after_a_renewal_asks_for_a_login(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any, session: requests.Session
) -> None:
    """The token has expired and was renewed; within 30 s the grant is revoked: the refusal by the
    token endpoint decides, and LoginRequiredError says what to do.
    """
    client = make_client()
    session.auth = AtlassianAuth(client)
    url = client.base_url + "/rest/api/3/myself"
    clock.advance(3600)
    assert session.get(url).status_code == 200
    clock.advance(10)
    emulator.cloud.revoke_grants()
    with pytest.raises(LoginRequiredError) as caught:
        session.get(url)
    assert caught.value.reason == "refused"


def test_a_rejected_token_is_never_handed_out_by_a_flight_for_others(
    emulator: AtlassianEmulator, start: Callable[..., Any], expired_client: Any
) -> None:
    """A caller joins a flight that brings the very token that was rejected: it asks once more."""
    store = FragileStore()
    client = expired_client(store=store)
    pause = Pause()
    store.before["unlock"] = pause
    token = start(client.get_access_token)
    pause.wait_arrived()
    rejected = token.result(20)
    again = start(client.token_set, rejected)
    store.recover()
    pause.release()
    assert again.result(20).access_token != rejected
    assert emulator.count("refresh_token") == 2

"""What is sent to the token endpoint, how often, and what is reported of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from atlassian_auth_adapter import ExpiryPolicy, LoginRequiredError, TokenStoreError
from atlassian_auth_adapter.testing import (
    AtlassianEmulator,
    FakeClock,
    save_login,
    stored_login,
)
from atlassian_auth_adapter.testing.emulator import Hold

from .stores import FragileStore

Landed = Callable[[], None]


def test_a_fresh_token_costs_no_request_and_no_look_into_the_store(
    emulator: AtlassianEmulator, make_client: Any
) -> None:
    """The token is handed out from memory while it is fresh."""
    store = FragileStore()
    client = make_client(store=store)
    store.fail("load", "lock", "save")
    assert {client.get_access_token() for _ in range(100)} == {client.current().access_token}
    assert emulator.count("refresh_token") == 0


def test_a_store_that_can_only_be_read_does_until_the_token_ends(
    make_client: Any, another_process: Any, clock: FakeClock
) -> None:
    """A new process needs neither lock nor write for a valid token, as with a read-only home."""
    store = FragileStore()
    first = make_client(store=store)
    store.fail("lock", "save")
    client = another_process(store=store)
    assert client.current() is None
    assert client.get_access_token() == first.get_access_token()
    clock.advance(3600)
    with pytest.raises(TokenStoreError, match="broken"):
        client.get_access_token()


@pytest.mark.parametrize("flavour", ["cloud", "data_center"])
def test_what_is_handed_out_lives_for_ten_more_seconds(
    clock: FakeClock, make_client: Any, flavour: str
) -> None:
    """Even with the narrowest policy a token is renewed 10 s before its end at the latest."""
    client = make_client(flavour, expiry=ExpiryPolicy(stale=0, expired=0))
    first = client.get_access_token()
    clock.advance(3600 - 10.001)
    assert client.get_access_token() == first
    clock.advance(0.001)
    assert client.get_access_token() != first


@pytest.mark.parametrize("jump", [-7200, 7200], ids=["back", "forward"])
def test_a_clock_that_jumps_does_not_keep_a_dead_token(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any, jump: int
) -> None:
    """The wall clock is set: the token has ended when either clock says so."""
    client = make_client()
    emulator.cloud.rotation_grace = 1e9  # the emulator's clock jumps as well
    first = client.get_access_token()
    clock.jump(jump)
    if jump < 0:
        assert client.get_access_token() == first
        clock.advance(3600)
    assert client.get_access_token() != first
    assert emulator.count("refresh_token") == 1


def test_a_token_saved_by_a_clock_that_was_ahead_lives_no_longer_than_it_was_given(
    clock: FakeClock, make_client: Any, another_process: Any
) -> None:
    """Another program, whose clock is two hours ahead, has saved the login; it is used one hour."""
    store = FragileStore()
    clock.jump(7200)
    make_client(store=store)
    clock.jump(-7200)
    client = another_process(store=store)
    first = client.get_access_token()
    clock.advance(3600)
    assert client.get_access_token() != first


def test_expiry_counts_from_the_moment_the_request_was_sent(
    emulator: AtlassianEmulator, clock: FakeClock, start: Any, expired_client: Any
) -> None:
    """An answer that takes 50 s on its way does not make the token live 50 s longer."""
    client = expired_client()
    sent_at = clock.time()
    hold = Hold(after=True)
    emulator.faults.next("token", hold)
    waiting = start(client.token_set)
    hold.wait_arrived()
    clock.advance(50)
    hold.release()
    assert waiting.result().expires_at == sent_at + 3600


@pytest.mark.parametrize("form", ["int", "string", "missing"])
def test_expires_in_may_be_an_int_a_string_or_missing(
    emulator: AtlassianEmulator, make_client: Any, form: str
) -> None:
    """All three spellings of the lifetime are understood."""
    emulator.cloud.expires_in_as = form
    assert make_client().current().lifetime == 3600


def test_a_short_lived_token_is_not_renewed_for_every_request(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any
) -> None:
    """Tokens that live 8 s are used for the first half of it."""
    emulator.cloud.access_token_lifetime = 8
    client = make_client()
    for _ in range(20):
        client.get_access_token()
        clock.advance(1)
    assert emulator.count("refresh_token") == 4


def test_an_answer_without_a_refresh_token_keeps_the_old_one(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any, kept: Any
) -> None:
    """The server leaves `refresh_token` out: the login goes on with the one it has."""
    client = make_client()
    refresh_token = kept(client).refresh_token
    emulator.cloud.omit_refresh_token = True
    for _ in range(2):
        clock.advance(3600)
        client.get_access_token()
    assert kept(client).refresh_token == refresh_token
    assert emulator.count("refresh_token", "issued") == 2


def test_data_center_gets_the_redirect_uri_with_a_refresh(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any
) -> None:
    """The redirect URI goes along: the server, which compares it when it comes, refuses another."""
    store = FragileStore()
    make_client("data_center", store=store)
    clock.advance(3600)
    other = make_client("data_center", store=store, callback_url="https://other/cb", login=False)
    with pytest.raises(LoginRequiredError):
        other.get_access_token()
    assert [request.outcome for request in emulator.token_requests] == ["issued", "refused"]


def test_what_is_about_to_be_spent_is_on_record_before_it_is_sent(
    emulator: AtlassianEmulator, clock: FakeClock, kept: Any, start: Any, expired_client: Any
) -> None:
    """While the token request is under way the store holds a journal without the secret."""
    client = expired_client()
    refresh_token = kept(client).refresh_token
    hold = Hold()
    emulator.faults.next("token", hold)
    waiting = start(client.get_access_token)
    hold.wait_arrived()
    journal = stored_login(client).journal  # type: ignore[union-attr]
    assert journal
    assert journal.started_at == client.status().pending_since == clock.time()
    assert refresh_token not in str(tuple(journal))
    hold.release()
    assert waiting.result()
    assert stored_login(client).journal is None  # type: ignore[union-attr]


# --- tokens that a program brings along -----------------------------------------------------------


def test_a_refresh_token_from_the_configuration_is_taken_over_once(
    emulator: AtlassianEmulator, clock: FakeClock, another_process: Any
) -> None:
    """A program offers the token it was installed with at every start: it is not spent again."""
    store = FragileStore()
    installed = emulator.cloud.issue()["refresh_token"]
    for starts in range(3):
        client = another_process(store=store)
        assert client.oauth2_retrieve_access_token(refresh_token=installed)
        clock.advance(3600)
        assert client.get_access_token()
        assert emulator.count("refresh_token") == starts + 2
    assert emulator.count(outcome="reuse_after_grace") == 0


@pytest.mark.parametrize("together", [True, False], ids=["threads", "processes"])
@pytest.mark.parametrize("flavour", ["cloud", "data_center", "bitbucket"])
def test_two_starts_at_once_take_an_installed_refresh_token_over_once(
    emulator: AtlassianEmulator,
    make_client: Any,
    another_process: Any,
    start: Any,
    flavour: str,
    together: bool,
) -> None:
    """Both offer the same refresh token: one token request, both succeed, and the login lives."""
    store = FragileStore()
    installed = getattr(emulator, flavour).issue()["refresh_token"]
    make = make_client if together else another_process
    clients = [make(flavour, store=store, login=False) for _ in range(2)]
    hold = Hold(after=True)
    emulator.faults.next("token", hold)
    starts = [
        start(client.oauth2_retrieve_access_token, refresh_token=installed) for client in clients
    ]
    hold.wait_arrived()
    hold.release()
    first, second = (one.result(20) for one in starts)
    assert first == second
    assert emulator.count("refresh_token") == emulator.count("refresh_token", "issued") == 1
    for client in clients:
        client.refresh()
    assert emulator.count("refresh_token", "issued") == emulator.count("refresh_token") == 3


def test_the_refresh_token_of_the_stored_login_is_refreshed_and_not_taken_over(
    emulator: AtlassianEmulator, make_client: Any
) -> None:
    """Who offers the refresh token that the store holds rotates that login: it stays the same."""
    client = make_client()
    before = stored_login(client)
    given = client.current().refresh_token
    token = client.oauth2_retrieve_access_token(refresh_token=given)
    after = stored_login(client)
    assert before
    assert after
    assert (after.login_id, after.generation) == (before.login_id, 2)
    assert after.authorized_at == before.authorized_at
    assert token == client.get_access_token() != before.token_set.access_token  # type: ignore[union-attr]
    assert emulator.count("refresh_token") == 1


@pytest.mark.parametrize("flavour", ["cloud", "data_center", "bitbucket"])
@pytest.mark.parametrize("first", ["taken over", "stored"])
def test_an_installed_refresh_token_is_known_as_spent_whatever_came_after_it(
    emulator: AtlassianEmulator,
    clock: FakeClock,
    make_client: Any,
    another_process: Any,
    flavour: str,
    first: str,
) -> None:
    """It was taken over, or was that of the stored login; then the login was rotated, and a person
    has signed in anew: a start that offers it again sends nothing, and gets the login that stands.
    """
    store, side = FragileStore(), getattr(emulator, flavour)
    client = make_client(flavour, store=store, login=first == "stored")
    current = client.current()
    installed = current.refresh_token if current else side.issue()["refresh_token"]

    def started() -> str:
        client = another_process(flavour, store=store)
        return client.oauth2_retrieve_access_token(refresh_token=installed)

    assert started() == started()
    clock.advance(7200)
    assert started() == started()
    client.oauth_complete(side.authorize(client.oauth_start()))
    assert started() == client.get_access_token()
    clock.advance(7200)
    assert started() == started()
    assert emulator.count("refresh_token") == emulator.count("refresh_token", "issued") == 3
    assert not any(
        family.revoked != "revoked by the client" for family in emulator.revoked_families
    )


@pytest.mark.parametrize("flavour", ["cloud", "data_center", "bitbucket"])
def test_an_installed_refresh_token_stays_spent_when_its_login_is_forgotten(
    emulator: AtlassianEmulator, make_client: Any, another_process: Any, flavour: str
) -> None:
    """A person forgets the login and signs in anew: the next start of the program, which offers it
    again, sends nothing and gets this login.
    """
    store, side = FragileStore(), getattr(emulator, flavour)
    client = make_client(flavour, store=store, login=False)
    installed = side.issue()["refresh_token"]
    client.oauth2_retrieve_access_token(refresh_token=installed)
    client.forget()
    client.oauth_complete(side.authorize(client.oauth_start()))
    emulator.reset_log()
    client = another_process(flavour, store=store)
    assert client.oauth2_retrieve_access_token(refresh_token=installed)
    assert not emulator.token_requests


@pytest.mark.parametrize("flavour", ["cloud", "data_center", "bitbucket"])
def test_a_refresh_token_that_is_not_rotated_can_be_taken_over_again(
    emulator: AtlassianEmulator, make_client: Any, flavour: str
) -> None:
    """A forgotten login comes back with the same refresh token, if the server still takes it."""
    client, side = make_client(flavour, login=False), getattr(emulator, flavour)
    side.omit_refresh_token = True
    installed = side.issue()["refresh_token"]
    for _ in range(2):
        client.oauth2_retrieve_access_token(refresh_token=installed)
        assert client.test_connection().id
        client.forget()


@pytest.mark.parametrize("flavour", ["cloud", "data_center", "bitbucket"])
def test_installed_refresh_tokens_stay_spent_when_others_come(
    emulator: AtlassianEmulator, clock: FakeClock, another_process: Any, flavour: str
) -> None:
    """Of two programs, each with its own; and of one that passes what is stored by now. A start
    that offers an earlier one again sends nothing, or the server would end the login.
    """
    store, side = FragileStore(), getattr(emulator, flavour)

    def start(refresh_token: str) -> Any:
        client = another_process(flavour, store=store)
        client.oauth2_retrieve_access_token(refresh_token=refresh_token)
        return client.token_set()

    installed = [side.issue()["refresh_token"] for _ in range(2)]
    for refresh_token in installed:
        newest = start(refresh_token)
    installed.append(newest.refresh_token)
    newest = start(newest.refresh_token)
    emulator.reset_log()
    for refresh_token in installed * 2:
        assert start(refresh_token) == newest
    assert emulator.count("refresh_token") == 0
    clock.advance(7200)
    for refresh_token in installed:
        start(refresh_token)
    assert emulator.count("refresh_token", "issued") == emulator.count("refresh_token") == 1


def test_a_login_from_before_this_package_gets_its_name_with_the_first_refresh(
    make_client: Any, clock: FakeClock
) -> None:
    """A record without a login_id is read, refreshed, and keeps the random name it gets then."""
    client = make_client()
    login = stored_login(client)
    assert login
    save_login(client, type(login)(login.generation, "", login.token_set))
    names = set()
    for _ in range(2):
        clock.advance(3600)
        client.get_access_token()
        names.add(stored_login(client).login_id)  # type: ignore[union-attr]
    assert len(names) == 1
    assert "" not in names


# --- events ---------------------------------------------------------------------------------------


def test_an_event_tells_duration_generation_and_waiters(
    emulator: AtlassianEmulator, events: Any, landed: Landed, expired_client: Any
) -> None:
    """One refresh, one event, with figures and without secrets."""
    client = expired_client(on_event=events)
    client.get_access_token()
    landed()
    (event,) = events
    assert (event.name, event.account) == ("refreshed", "default")
    assert event.fields["generation"] == 2
    assert event.fields["waiters"] == 1
    assert event.fields["duration"] >= 0
    assert not any(secret in str(event) for secret in emulator.secrets)


def test_a_hook_that_raises_or_calls_back_does_no_harm(landed: Landed, expired_client: Any) -> None:
    """The hook runs outside every lock, after the waiters were served."""
    called: list[str] = []

    def hook(_: object) -> None:
        called.append(client.get_access_token())
        raise ValueError("from the hook")

    client = expired_client(on_event=hook)
    token = client.get_access_token()
    landed()
    assert called == [token]

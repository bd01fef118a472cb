"""What a refresh has brought and cannot be saved, is saved late, or meets what others have saved.

The clock of these tests stands still while a thread sleeps, until the test moves it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from atlassian_auth_adapter import (
    AtlassianOAuthClient,
    LoginRequiredError,
    StaleRecordError,
    TokenNotSavedError,
    TokenSet,
    TokenStoreError,
)
from atlassian_auth_adapter.records import Login
from atlassian_auth_adapter.testing import (
    AtlassianEmulator,
    FakeClock,
    save_login,
    stored_login,
)
from atlassian_auth_adapter.testing.emulator import Hold

from .stores import FragileStore, Pause, successor

LetTimePass = Callable[..., None]


@pytest.fixture
def clock() -> FakeClock:
    """Time that only the test moves."""
    return FakeClock(skip_sleeps=False)


@pytest.fixture
def store() -> FragileStore:
    """Where the login is kept, mostly."""
    return FragileStore()


@pytest.fixture
def client(make_client: Any, store: FragileStore, events: Any) -> AtlassianOAuthClient:
    """A client that is logged in."""
    made: AtlassianOAuthClient = make_client(store=store, on_event=events)
    return made


@pytest.fixture
def unsaved(
    client: AtlassianOAuthClient, store: FragileStore, clock: FakeClock, let_time_pass: LetTimePass
) -> Iterator[TokenSet]:
    """The client's rotated token, which is in memory only: the store is broken."""
    clock.advance(3600)
    failed = store.fail("answer")
    token_set = client.token_set()
    assert failed == ["answer"]
    yield token_set
    store.recover()
    let_time_pass()


# --- before anything is spent ---------------------------------------------------------------------


def test_a_store_that_cannot_be_written_costs_no_refresh_token(
    emulator: AtlassianEmulator, clock: FakeClock, client: AtlassianOAuthClient, store: FragileStore
) -> None:
    """The probe fails before anything is sent; when the store works again the login goes on."""
    clock.advance(3600)
    store.fail("save")
    with pytest.raises(TokenStoreError, match="broken"):
        client.get_access_token()
    assert emulator.count("refresh_token") == 0
    store.recover()
    assert client.get_access_token()


def test_a_store_that_is_always_overtaken_costs_no_refresh_token(
    emulator: AtlassianEmulator, clock: FakeClock, client: AtlassianOAuthClient, store: FragileStore
) -> None:
    """A store whose reads lag behind its writes is an error, and not an endless loop."""
    clock.advance(3600)
    store.fail("save", error=StaleRecordError("another process was faster"))
    for work in (client.get_access_token, client.oauth_start):
        with pytest.raises(StaleRecordError):
            work()
    assert emulator.count("refresh_token") == 0


# --- what cannot be saved -------------------------------------------------------------------------


def test_a_token_that_cannot_be_saved_serves_from_memory_and_is_saved_later(
    unsaved: TokenSet,
    emulator: AtlassianEmulator,
    client: AtlassianOAuthClient,
    store: FragileStore,
    events: Any,
    let_time_pass: LetTimePass,
    kept: Any,
) -> None:
    """The store breaks between probe and save: one request, told once, saved when possible."""
    assert {client.get_access_token() for _ in range(5)} == {unsaved.access_token}
    assert kept(client) != unsaved
    store.recover()
    let_time_pass()
    assert kept(client) == unsaved
    assert events.names == ["refreshed", "store_failed"]
    assert emulator.count("refresh_token") == 1


def test_saving_is_tried_for_about_an_hour_and_given_up_then(
    unsaved: TokenSet,
    client: AtlassianOAuthClient,
    store: FragileStore,
    clock: FakeClock,
    let_time_pass: LetTimePass,
    kept: Any,
) -> None:
    """A thread goes on to save for long, but not for ever; the next refresh begins with saving."""
    began = clock.time()
    let_time_pass()
    assert clock.time() - began > 3000
    store.recover()
    client.refresh()
    let_time_pass()
    assert unsaved in [login.token_set for login in store.saves]
    assert kept(client) == client.current() != unsaved


def test_while_a_token_is_not_saved_nothing_further_is_spent(
    unsaved: TokenSet,
    emulator: AtlassianEmulator,
    client: AtlassianOAuthClient,
    store: FragileStore,
    clock: FakeClock,
    start: Any,
    let_time_pass: LetTimePass,
) -> None:
    """It has ended and the store is still broken: TokenNotSavedError holds it, no request."""
    emulator.cloud.rotation_grace = 1e9
    clock.advance(3600)
    with pytest.raises(TokenNotSavedError) as caught:
        client.get_access_token()
    assert caught.value.token_set == unsaved
    assert emulator.count("refresh_token") == 1
    store.recover()
    refreshed = start(client.get_access_token)
    let_time_pass(refreshed)
    assert refreshed.result() != unsaved.access_token
    assert emulator.count("refresh_token") == emulator.count("refresh_token", "issued") == 2
    assert unsaved in [login.token_set for login in store.saves]


@pytest.mark.parametrize("error", [ZeroDivisionError(), OSError("EIO")], ids=repr)
def test_whatever_a_store_raises_costs_no_token(
    client: AtlassianOAuthClient,
    store: FragileStore,
    clock: FakeClock,
    let_time_pass: LetTimePass,
    kept: Any,
    error: Exception,
) -> None:
    """A store that breaks its contract in the save: the token serves, and is saved later."""
    clock.advance(3600)
    store.fail("answer", error=error)
    assert client.get_access_token()
    store.recover()
    let_time_pass()
    assert kept(client) == client.current()


def test_a_save_whose_answer_was_lost_is_a_save(
    emulator: AtlassianEmulator,
    client: AtlassianOAuthClient,
    store: FragileStore,
    clock: FakeClock,
    let_time_pass: LetTimePass,
    kept: Any,
) -> None:
    """The store has saved and says that it has not, or that another one was faster."""
    for error in (TokenStoreError("the connection broke"), StaleRecordError("saved twice")):
        clock.advance(3600)
        store.fail("saved", error=error, times=1)
        token = client.get_access_token()
        let_time_pass()
        assert kept(client).access_token == token
    assert stored_login(client).generation == 3  # type: ignore[union-attr]
    assert emulator.count("refresh_token") == 2


def test_a_store_that_lost_everything_in_mid_refresh_gets_the_new_token(
    emulator: AtlassianEmulator,
    client: AtlassianOAuthClient,
    store: FragileStore,
    clock: FakeClock,
    start: Any,
    kept: Any,
) -> None:
    """A Redis without persistence is restarted after the server has rotated: the only copy of the
    new refresh token is saved.
    """
    clock.advance(3600)
    hold = Hold(after=True)
    emulator.faults.next("token", hold)
    waiting = start(client.get_access_token)
    hold.wait_arrived()
    store.delete(client.token_key.name)
    hold.release()
    token = waiting.result(20)
    assert kept(client).access_token == token
    clock.advance(3600)
    client.test_connection()


# --- logins that cannot be saved ------------------------------------------------------------------


def test_a_login_that_cannot_be_saved_is_raised_with_its_token_set(
    make_client: Any,
    emulator: AtlassianEmulator,
    store: FragileStore,
    start: Any,
    let_time_pass: LetTimePass,
) -> None:
    """oauth_complete: the code is spent, the store fails: nothing is lost in silence."""
    client = make_client(store=store, login=False)
    redirect = emulator.cloud.authorize(client.oauth_start())
    store.fail("answer")
    completing = start(client.oauth_complete, redirect)
    let_time_pass(completing)
    with pytest.raises(TokenNotSavedError) as caught:
        completing.result()
    assert client.get_access_token() == caught.value.token_set.access_token
    store.recover()
    let_time_pass()
    assert client.status().generation == 1


@pytest.fixture
def unsaved_login(
    client: AtlassianOAuthClient,
    store: FragileStore,
    emulator: AtlassianEmulator,
    start: Any,
    let_time_pass: LetTimePass,
) -> Iterator[TokenSet]:
    """A new sign-in, over an old login that is stored: it could not be saved."""
    store.fail("answer")
    completing = start(client.oauth_complete, emulator.cloud.authorize(client.oauth_start()))
    let_time_pass(completing)
    with pytest.raises(TokenNotSavedError) as caught:
        completing.result()
    yield caught.value.token_set
    store.recover()
    let_time_pass()


def test_a_login_that_replaces_another_one_is_saved_later(
    unsaved_login: TokenSet,
    client: AtlassianOAuthClient,
    store: FragileStore,
    let_time_pass: LetTimePass,
    kept: Any,
) -> None:
    """It serves from memory, the old one stays in the store meanwhile, and is replaced then."""
    assert client.token_set() == unsaved_login != kept(client)
    store.recover()
    let_time_pass()
    assert client.token_set() == unsaved_login == kept(client)
    assert client.status().generation == 2


def test_a_login_that_replaces_another_one_does_not_come_back_when_that_is_forgotten(
    unsaved_login: TokenSet,
    client: AtlassianOAuthClient,
    store: FragileStore,
    another_process: Any,
    let_time_pass: LetTimePass,
) -> None:
    """Another process forgets the old login before the new one could be saved: a decision."""
    other = another_process(store=store.place)
    other.forget()
    forgotten = stored_login(other)
    store.recover()
    let_time_pass()
    assert stored_login(client) == forgotten


def test_a_login_that_was_never_saved_can_be_forgotten(
    unsaved_login: TokenSet,
    client: AtlassianOAuthClient,
    store: FragileStore,
    let_time_pass: LetTimePass,
) -> None:
    """forget() ends both, the one in the store and the one in memory."""
    store.recover()
    client.forget()
    let_time_pass()
    assert client.current() is None
    assert stored_login(client).token_set is None  # type: ignore[union-attr]
    with pytest.raises(LoginRequiredError):
        client.get_access_token()


def test_what_was_never_saved_is_what_is_revoked(
    unsaved_login: TokenSet,
    client: AtlassianOAuthClient,
    store: FragileStore,
    emulator: AtlassianEmulator,
) -> None:
    """revoke() takes the newest login back, which is in memory only."""
    store.recover()
    client.revoke()
    assert client.current() is None
    assert [family.revoked for family in emulator.families] == ["", "revoked by the client"]


@pytest.mark.parametrize("way", ["signed in", "taken over"])
def test_a_login_that_replaces_another_one_and_cannot_be_saved_is_not_lost(
    client: AtlassianOAuthClient,
    emulator: AtlassianEmulator,
    store: FragileStore,
    start: Any,
    let_time_pass: LetTimePass,
    kept: Any,
    way: str,
) -> None:
    """The store still has the one before when it is looked at again: the new one goes on waiting
    in memory, is handed out, and is saved later.
    """
    before = client.token_set()
    redirect = emulator.cloud.authorize(client.oauth_start())
    given = emulator.cloud.issue()["refresh_token"]
    store.fail("answer")
    if way == "signed in":
        replacing = start(client.oauth_complete, redirect)
    else:
        replacing = start(lambda: client.oauth2_retrieve_access_token(refresh_token=given))
    let_time_pass(replacing)
    with pytest.raises(TokenNotSavedError) as caught:
        replacing.result()
    new = caught.value.token_set
    assert client.token_set() == new != before == kept(client)
    store.recover()
    let_time_pass()
    assert kept(client) == new == client.token_set()


def test_a_new_login_replaces_one_that_was_never_saved(
    unsaved: TokenSet,
    client: AtlassianOAuthClient,
    store: FragileStore,
    emulator: AtlassianEmulator,
    let_time_pass: LetTimePass,
    start: Any,
    kept: Any,
) -> None:
    """The store works again and a person logs in: no word of the token that was not saved."""
    store.recover()
    redirect = emulator.cloud.authorize(client.oauth_start())
    completing = start(client.oauth_complete, redirect)
    let_time_pass(completing)
    completing.result()
    assert client.get_access_token() != unsaved.access_token
    assert kept(client) == client.current()


# --- late saves -----------------------------------------------------------------------------------


def test_a_late_save_does_not_overwrite_the_login_of_another_process(
    unsaved: TokenSet,
    client: AtlassianOAuthClient,
    store: FragileStore,
    let_time_pass: LetTimePass,
    another_process: Any,
    emulator: AtlassianEmulator,
) -> None:
    """Another process has signed in anew meanwhile: its login stands, and the client adopts it."""
    store.recover()
    other = another_process(store=FragileStore(store.place, leases_end=True))
    other.forget()
    other.oauth_complete(emulator.cloud.authorize(other.oauth_start()))
    login = stored_login(other)
    let_time_pass()
    assert stored_login(client) == login
    client.token_set(rejected=unsaved.access_token)
    assert stored_login(client).login_id == login.login_id  # type: ignore[union-attr]


def test_what_is_forgotten_does_not_come_back_with_a_late_save(
    unsaved: TokenSet,
    client: AtlassianOAuthClient,
    store: FragileStore,
    let_time_pass: LetTimePass,
    start: Any,
) -> None:
    """forget() while a token that could not be saved is being saved again."""
    pause = Pause()
    store.recover()
    store.before["answer"] = pause
    passing = start(let_time_pass)
    pause.wait_arrived()
    forgetting = start(client.forget)
    store.recover()
    pause.release()
    forgetting.result(20)
    passing.result(20)
    assert stored_login(client).token_set is None  # type: ignore[union-attr]
    with pytest.raises(LoginRequiredError):
        client.get_access_token()


def test_revoke_takes_back_what_a_refresh_has_just_brought(
    emulator: AtlassianEmulator, start: Any, expired_client: Any
) -> None:
    """revoke() while a refresh is under way: the token that it brings does not live on."""
    client = expired_client("data_center")
    hold = Hold(after=True)
    emulator.faults.next("token", hold)
    waiting = start(client.get_access_token)
    hold.wait_arrived()
    revoking = start(client.revoke)
    hold.release()
    waiting.result(20)
    revoking.result(20)
    login = stored_login(client)
    assert login == Login(login.generation, login.login_id)  # type: ignore[union-attr]
    assert [request.path[-6:] for request in emulator.requests[-2:]] == ["/token", "revoke"]
    assert [family.revoked for family in emulator.families] == ["revoked by the client"]


def test_a_token_that_cannot_be_saved_while_the_one_before_is_saved_late_is_saved_as_well(
    unsaved: TokenSet,
    emulator: AtlassianEmulator,
    client: AtlassianOAuthClient,
    store: FragileStore,
    clock: FakeClock,
    let_time_pass: LetTimePass,
    start: Any,
    kept: Any,
) -> None:
    """The next refresh saves what was left, and fails to save its own: that is tried again too."""
    emulator.cloud.rotation_grace = 1e9
    clock.advance(3600)

    def fail_the_newer_one(login: Any) -> None:
        if login.token_set != unsaved:
            raise TokenStoreError("broken by the test")

    store.before["answer"] = fail_the_newer_one
    refreshed = start(client.token_set)
    let_time_pass(refreshed)
    newer = refreshed.result()
    assert newer != unsaved == kept(client)
    store.recover()
    let_time_pass()
    assert kept(client) == newer


# --- stores that fall back ------------------------------------------------------------------------


def test_a_backup_that_is_played_back_does_not_cost_the_login(
    emulator: AtlassianEmulator,
    client: AtlassianOAuthClient,
    clock: FakeClock,
    events: Any,
    landed: Callable[[], None],
    kept: Any,
) -> None:
    """The store returns to a spent refresh token; the process that knows a newer one puts that
    back, and nothing older reaches the server.
    """
    backup = stored_login(client)
    assert backup
    for _ in range(3):
        clock.advance(3600)
        client.get_access_token()
    save_login(client, backup)
    clock.advance(3600)
    client.test_connection()
    landed()
    assert stored_login(client).generation == 5  # type: ignore[union-attr]
    assert kept(client) == client.current()
    assert emulator.count("refresh_token") == emulator.count("refresh_token", "issued") == 4
    (event,) = (event for event in events if event.name == "store_failed")
    assert "fell back to generation 1" in event.fields["error"]


def test_a_store_that_fell_back_gets_the_newest_that_any_process_knows(
    emulator: AtlassianEmulator,
    client: AtlassianOAuthClient,
    another_process: Any,
    clock: FakeClock,
    store: FragileStore,
) -> None:
    """Also when a process that knows less has been there first."""
    slow, fast = another_process(store=store), another_process(store=store)
    backup = stored_login(slow)
    assert backup
    clock.advance(3600)
    fast.get_access_token()
    slow.get_access_token()
    clock.advance(1800)
    fast.refresh()
    save_login(fast, backup)
    slow.token_set(rejected="something else")
    slow.get_access_token()
    clock.advance(60)
    fast.token_set(rejected=fast.get_access_token())
    fast.test_connection()
    assert stored_login(fast).generation == 4  # type: ignore[union-attr]
    assert emulator.count("refresh_token", "reuse_after_grace") == 0


def test_a_backup_of_a_former_login_is_not_mixed_with_the_latest_one(
    emulator: AtlassianEmulator,
    client: AtlassianOAuthClient,
    clock: FakeClock,
    newer: TokenSet,
) -> None:
    """A record of another login was put there by a person or a backup, however low its number."""
    backup = stored_login(client)
    assert backup
    client.forget()
    client.oauth_complete(emulator.cloud.authorize(client.oauth_start()))
    for _ in range(3):
        clock.advance(3600)
        client.get_access_token()
    clock.advance(3600)
    newer = newer._replace(expires_at=clock.time() + 3600)
    save_login(client, successor(backup, newer))
    assert client.token_set() == newer


def test_a_record_that_was_deleted_stays_deleted(
    client: AtlassianOAuthClient, clock: FakeClock, store: FragileStore
) -> None:
    """Who removes a record from the store means it: no process puts it back."""
    client.get_access_token()
    store.delete(client.token_key.name)
    clock.advance(3600)
    with pytest.raises(LoginRequiredError) as raised:
        client.get_access_token()
    assert raised.value.reason == "no_token"
    assert store.load(client.token_key.name) is None

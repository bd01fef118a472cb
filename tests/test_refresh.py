"""The refresh: what is sent, how often, what is kept, and what the callers are told."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from atlassian_auth_adapter import (
    AtlassianOAuthClient,
    ExpiryPolicy,
    FileTokenStore,
    FreshTokenRejectedError,
    LoginRequiredError,
    MemoryTokenStore,
    Record,
    StaleRecordError,
    TokenEndpointUnavailableError,
    TokenKey,
    TokenNotSavedError,
    TokenRequestRefusedError,
    TokenSet,
    TokenStoreError,
    TokenStoreTimeoutError,
)
from atlassian_auth_adapter.testing import AtlassianEmulator, FakeClock
from atlassian_auth_adapter.testing.emulator import (
    HTML,
    CloseAfter,
    CloseBefore,
    CutBody,
    Hold,
    Status,
    TruncatedJSON,
)


class FragileStore(MemoryTokenStore):
    """A memory store whose writes and locks fail while `broken` holds their names."""

    def __init__(self) -> None:
        super().__init__()
        self.broken: set[str] = set()
        self.saves: list[Record] = []

    def _check(self, name: str) -> None:
        if name in self.broken:
            raise TokenStoreError(f"{name} is broken by the test")

    def load(self, key: TokenKey) -> Record | None:
        self._check("load")
        return super().load(key)

    def save(self, key: TokenKey, record: Record, *, expected: int | None) -> None:
        self._check("save rotated" if record.pending is None else "save")
        self._check("save")
        super().save(key, record, expected=expected)
        self.saves.append(record)

    @contextmanager
    def lock(self, key: TokenKey, *, timeout: float) -> Iterator[None]:
        if "lock" in self.broken:
            raise TokenStoreTimeoutError("somebody else holds the lock")
        with super().lock(key, timeout=timeout):
            yield
        self._check("unlock")


def key_of(client: AtlassianOAuthClient) -> TokenKey:
    """Under which key the client keeps its login."""
    return client._key


def stored(client: AtlassianOAuthClient) -> TokenSet:
    """The token set on record."""
    record = client._store.load(key_of(client))
    assert record
    assert record.token_set
    return record.token_set


# --- what is sent and how often ------------------------------------------------------------------


def test_a_fresh_token_costs_no_request_and_no_look_into_the_store(
    emulator: AtlassianEmulator, make_client: Any
) -> None:
    """The token is handed out from memory while it is fresh."""
    store = FragileStore()
    client = make_client(store=store)
    store.broken = {"load", "lock", "save"}
    assert {client.get_access_token() for _ in range(100)} == {client.current().access_token}
    assert emulator.count("refresh_token") == 0


def test_a_store_that_can_only_be_read_does_until_the_token_ends(
    make_client: Any, clock: FakeClock
) -> None:
    """A new process needs neither lock nor write for a valid token, as with a read-only home."""
    first, store = make_client(), FragileStore()
    store.save(key_of(first), first._store.load(key_of(first)), expected=None)
    client = make_client(store=store, login=False)
    store.broken = {"lock", "save"}
    assert client.current() is None
    assert client.get_access_token() == stored(client).access_token
    clock.advance(3600)
    with pytest.raises(TokenStoreTimeoutError):
        client.get_access_token()


@pytest.mark.parametrize("flavour", ["cloud", "data_center"])
def test_what_is_handed_out_lives_for_ten_more_seconds(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any, flavour: str
) -> None:
    """Even with the narrowest policy a token is renewed 10 s before its end at the latest."""
    narrow = ExpiryPolicy(stale=0, expired=0)
    client = make_client(flavour, expiry=narrow)
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


def test_expiry_counts_from_the_moment_the_request_was_sent(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any
) -> None:
    """An answer that takes 50 s on its way does not make the token live 50 s longer."""
    client = make_client()
    clock.advance(3600)
    sent_at = clock.time()
    hold = Hold(after=True)
    emulator.weather.next("token", hold)
    waiter = threading.Thread(target=client.get_access_token)
    waiter.start()
    hold.wait_arrived()
    clock.advance(50)
    hold.release()
    waiter.join()
    assert client.current().expires_at == sent_at + 3600


@pytest.mark.parametrize(("form", "expected"), [("int", 3600), ("string", 3600), ("missing", 3600)])
def test_expires_in_may_be_an_int_a_string_or_missing(
    emulator: AtlassianEmulator, make_client: Any, form: str, expected: float
) -> None:
    """All three spellings of the lifetime are understood."""
    emulator.cloud.expires_in_as = form
    assert make_client().current().lifetime == expected


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
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any
) -> None:
    """The server leaves `refresh_token` out: the login goes on with the one it has."""
    client = make_client()
    refresh_token = stored(client).refresh_token
    emulator.cloud.omit_refresh_token = True
    for _ in range(2):
        clock.advance(3600)
        client.get_access_token()
    assert stored(client).refresh_token == refresh_token
    assert emulator.count("refresh_token", "issued") == 2


def test_data_center_gets_the_redirect_uri_with_a_refresh(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any
) -> None:
    """The redirect URI goes along: the server, which compares it when it comes, refuses another."""
    store = MemoryTokenStore()
    make_client("data_center", store=store)
    clock.advance(3600)
    other = make_client("data_center", store=store, callback_url="https://other/cb", login=False)
    with pytest.raises(LoginRequiredError):
        other.get_access_token()
    assert [request.outcome for request in emulator.token_requests] == ["issued", "refused"]


# --- adopting what somebody else brought --------------------------------------------------------


def test_a_token_of_another_process_is_adopted_without_a_request(
    emulator: AtlassianEmulator,
    clock: FakeClock,
    make_client: Any,
    tmp_path: Any,
    events: Any,
    landed: Callable[[], None],
) -> None:
    """Two stores on one directory that do not know each other: the second finds the new token."""

    class OtherProcess(FileTokenStore):
        """The same files, as another process sees them."""

        __hash__ = object.__hash__

        def __eq__(self, other: object) -> bool:
            return self is other

    mine = make_client(store=FileTokenStore(tmp_path / "tokens"), on_event=events)
    theirs = make_client(store=OtherProcess(tmp_path / "tokens"), login=False)
    clock.advance(3600)
    new = theirs.get_access_token()
    assert mine.get_access_token() == new
    landed()
    assert emulator.count("refresh_token") == 1
    assert events.names == ["adopted"]


def test_a_rejected_token_is_looked_up_before_it_is_replaced(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any
) -> None:
    """Another holder has refreshed, so ours was rejected: theirs is taken, no request."""
    store = MemoryTokenStore()
    client = make_client(store=store)
    mine = client.get_access_token()
    record = store.load(key_of(client))
    theirs = TokenSet(
        "theirs", "their-refresh-token", clock.time() + 3600, "", "Bearer", clock.time()
    )
    store.save(key_of(client), Record(2, theirs), expected=record.generation)
    assert client.token_set(rejected=mine) == theirs
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


def test_a_server_that_rejects_everything_does_not_burn_a_rotation_per_request(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any
) -> None:
    """After one refresh for a rejection the next one has to wait for 30 s."""
    client = make_client()
    clock.advance(60)
    second = client.token_set(rejected=client.get_access_token())
    for _ in range(5):
        with pytest.raises(FreshTokenRejectedError) as caught:
            client.token_set(rejected=second.access_token)
        assert caught.value.retry_after == 30
    assert client.get_access_token() == second.access_token
    clock.advance(31)
    assert client.token_set(rejected=second.access_token) != second
    assert emulator.count("refresh_token") == 2


# --- no usable answer ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault", [CloseAfter(), TruncatedJSON(), CutBody(), HTML(after=True), Status(502, after=True)]
)
def test_cloud_recovers_by_itself_from_a_lost_answer(
    emulator: AtlassianEmulator,
    clock: FakeClock,
    make_client: Any,
    events: Any,
    landed: Callable[[], None],
    fault: Any,
) -> None:
    """The server rotated, the answer was lost: the same refresh token again, inside the grace."""
    client = make_client(on_event=events)
    clock.advance(3600)
    emulator.weather.next("token", fault)
    assert client.test_connection().name
    landed()
    outcomes = [request.outcome for request in emulator.token_requests]
    assert outcomes == ["issued", "issued", "replayed_in_grace"]
    assert events.names == ["replayed"]
    assert not emulator.revoked_families


def test_a_lost_answer_is_asked_for_again_for_two_minutes(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any
) -> None:
    """The endpoint answers 500 for a long time: resent for two minutes, told, and tried anew."""
    client = make_client()
    clock.advance(3600)
    began = clock.time()
    emulator.weather.next("token", Status(500), times=None)
    with pytest.raises(TokenEndpointUnavailableError) as caught:
        client.get_access_token()
    assert caught.value.outcome == "ambiguous"
    assert caught.value.status == 500
    assert 100 < clock.time() - began <= 120
    emulator.weather.clear()
    assert client.get_access_token()
    assert client.status().pending_since is None


def test_a_token_is_not_resent_after_the_grace_of_a_journalled_attempt(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any
) -> None:
    """What was sent nine and a half minutes ago is resent for half a minute, not for two."""
    client = make_client()
    clock.advance(3600)
    emulator.weather.next("token", Status(500), times=None)
    with pytest.raises(TokenEndpointUnavailableError):
        client.get_access_token()
    first_sent = client.status().pending_since
    clock.advance(first_sent + 570 - clock.time())
    emulator.reset_log()
    with pytest.raises(TokenEndpointUnavailableError):
        client.get_access_token()
    assert all(request.at <= first_sent + 600 for request in emulator.token_requests)
    assert len(emulator.token_requests) > 1


def test_data_center_says_what_happened_to_a_lost_answer(
    emulator: AtlassianEmulator,
    clock: FakeClock,
    make_client: Any,
    events: Any,
    landed: Callable[[], None],
) -> None:
    """No grace: one resend, then the truth. Nothing is deleted, nothing is asked again."""
    store = MemoryTokenStore()
    client = make_client("data_center", store=store, on_event=events)
    before = stored(client)
    clock.advance(3600)
    emulator.weather.next("token", CloseAfter())
    with pytest.raises(LoginRequiredError, match="answer was lost") as caught:
        client.get_access_token()
    assert caught.value.reason == "answer_lost"
    assert stored(client) == before
    assert client.status().state == "login_required"
    assert emulator.count("refresh_token") == 2
    for another in (client, make_client("data_center", store=store, login=False)):
        with pytest.raises(LoginRequiredError) as known:
            another.get_access_token()
        assert known.value.reason == "answer_lost"
    landed()
    assert emulator.count("refresh_token") == 2
    assert events.names == ["refused"]


def test_data_center_survives_an_answer_that_was_lost_before_the_rotation(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any
) -> None:
    """The connection broke before the server did anything: the one resend succeeds."""
    client = make_client("data_center")
    clock.advance(3600)
    emulator.weather.next("token", CloseBefore())
    assert client.test_connection().name
    assert client.status().generation == 2


def test_an_endpoint_that_cannot_be_reached_loses_nothing(
    clock: FakeClock, make_client: Any, emulator: AtlassianEmulator
) -> None:
    """The server is down: three tries, a typed error; when it is back the login goes on."""
    store = MemoryTokenStore()
    with AtlassianEmulator(clock, data_center=False) as gone:
        side = gone.cloud
        client = _client_of(side, store, clock)
        client.oauth_complete(side.authorize(client.oauth_start()))
        before = store.load(key_of(client))
    clock.advance(3600)
    with pytest.raises(TokenEndpointUnavailableError) as caught:
        client.get_access_token()
    assert caught.value.outcome == "not_sent"
    assert clock.slept == [0.5, 1.0]
    assert store.load(key_of(client)) == before


def _client_of(side: Any, store: Any, clock: FakeClock) -> AtlassianOAuthClient:
    from atlassian_auth_adapter import CloudEnvironment, create_atlassian_oauth_client

    return create_atlassian_oauth_client(
        side.app.client_id,
        side.app.client_secret,
        side.app.callback_url,
        cloud_id=side.sites[0].id,
        cloud=CloudEnvironment(side.auth_url, side.api_url, side.audience),
        store=store,
        clock=clock,
    )


def test_a_short_retry_after_is_waited_for(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any
) -> None:
    """429 with Retry-After: 5: the flight waits for 5 s and goes on."""
    client = make_client()
    clock.advance(3600)
    emulator.weather.next("token", Status(429, retry_after=5))
    client.get_access_token()
    assert clock.slept == [5.0]
    assert emulator.count("refresh_token", "issued") == 1


@pytest.mark.parametrize("status", [429, 503])
def test_a_long_retry_after_is_told_and_remembered_by_all(
    emulator: AtlassianEmulator,
    clock: FakeClock,
    make_client: Any,
    events: Any,
    landed: Callable[[], None],
    status: int,
) -> None:
    """Retry-After: 300: the callers are told, nobody asks again before, then it goes on."""
    store = MemoryTokenStore()
    client = make_client(store=store, on_event=events)
    clock.advance(3600)
    emulator.weather.next("token", Status(status, retry_after=300))
    for _ in range(3):
        with pytest.raises(TokenEndpointUnavailableError) as caught:
            client.get_access_token()
        assert caught.value.outcome == "throttled"
        assert caught.value.retry_after == 300
        landed()
    assert emulator.count("refresh_token") == 1
    assert client.status().throttled_until == clock.time() + 300
    clock.advance(300)
    assert client.get_access_token()
    landed()
    assert events.names == ["throttled"] * 3 + ["refreshed"]


def test_a_throttle_far_ahead_is_a_clock_that_was_set_back(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any
) -> None:
    """The clock jumps back by a day: the remembered Retry-After does not lock anybody out."""
    client = make_client()
    clock.advance(3600)
    emulator.weather.next("token", Status(429, retry_after=300))
    with pytest.raises(TokenEndpointUnavailableError):
        client.get_access_token()
    clock.jump(-86400)
    assert client.get_access_token()


def test_a_failure_in_the_stale_window_disturbs_nobody(
    emulator: AtlassianEmulator,
    clock: FakeClock,
    make_client: Any,
    events: Any,
    landed: Callable[[], None],
) -> None:
    """The renewal beside the traffic fails: it is reported, backs off for 30 s, the token
    serves.
    """
    client = make_client(on_event=events, expiry=ExpiryPolicy(jitter=0))
    first = client.get_access_token()
    clock.advance(3600 - 590)
    emulator.weather.next("token", Status(429, retry_after=60))
    assert client.get_access_token() == first
    landed()
    assert events.names == ["throttled"]
    for _ in range(5):
        assert client.get_access_token() == first
    landed()
    assert emulator.count("refresh_token") == 1
    clock.advance(61)
    client.get_access_token()
    landed()
    assert client.get_access_token() != first
    assert emulator.count("refresh_token") == 2


# --- refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize("flavour", ["cloud", "data_center"])
@pytest.mark.parametrize("error", ["unauthorized_client", "invalid_grant"])
def test_a_revoked_grant_asks_for_a_login_once(
    emulator: AtlassianEmulator,
    clock: FakeClock,
    make_client: Any,
    events: Any,
    landed: Callable[[], None],
    flavour: str,
    error: str,
) -> None:
    """LoginRequiredError says why, the record stays, the dead token is not sent again by
    anybody.
    """
    store = MemoryTokenStore()
    emulator.cloud.dead_refresh_token_error = error
    client = make_client(flavour, store=store, on_event=events)
    before = stored(client)
    clock.advance(3600)
    getattr(emulator, flavour).revoke_grants()
    for _ in range(3):
        with pytest.raises(LoginRequiredError, match="oauth_start") as caught:
            client.get_access_token()
        assert caught.value.reason == "refused"
    assert stored(client) == before
    landed()
    assert emulator.count("refresh_token") == 1
    assert events.names == ["refused"]
    client.oauth_complete(getattr(emulator, flavour).authorize(client.oauth_start()))
    assert client.test_connection().name


def test_the_loser_of_a_race_adopts_the_winners_token(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any
) -> None:
    """Refused, but somebody has saved a newer token meanwhile: it is used, nothing is marked
    dead.
    """
    store = MemoryTokenStore()
    client = make_client(store=store)
    clock.advance(3600)
    emulator.cloud.revoke_grants()
    hold = Hold()
    emulator.weather.next("token", hold)
    results: list[TokenSet] = []
    waiter = threading.Thread(target=lambda: results.append(client.token_set()))
    waiter.start()
    hold.wait_arrived()
    record = store.load(key_of(client))
    winner = TokenSet("winner", "winners-refresh", clock.time() + 3600, "", "Bearer", clock.time())
    store.save(key_of(client), Record(record.generation + 1, winner), expected=record.generation)
    hold.release()
    waiter.join()
    assert results == [winner]
    assert store.load(key_of(client)).dead == ""


def test_a_wrong_secret_is_never_a_reason_to_log_in(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any
) -> None:
    """Cloud answers access_denied to a wrong secret: TokenRequestRefusedError, login kept."""
    store = MemoryTokenStore()
    good = make_client(store=store)
    before = store.load(key_of(good))
    clock.advance(3600)
    wrong = make_client(store=store, client_secret="not the secret", login=False)
    with pytest.raises(TokenRequestRefusedError) as caught:
        wrong.get_access_token()
    assert (caught.value.error, caught.value.status) == ("access_denied", 401)
    assert store.load(key_of(good)) == before
    assert good.get_access_token()


def test_nobody_logged_in(make_client: Any, emulator: AtlassianEmulator) -> None:
    """Without a login the error says how to make one; no request is sent."""
    client = make_client(login=False)
    with pytest.raises(LoginRequiredError, match="oauth_complete") as caught:
        client.get_access_token()
    assert caught.value.reason == "no_token"
    assert not emulator.requests


def test_no_refresh_token(make_client: Any, clock: FakeClock, emulator: AtlassianEmulator) -> None:
    """Without offline_access the login ends with the access token, and the error names the
    scope.
    """
    client = make_client(scopes=["read:jira-user"])
    assert client.get_access_token()
    clock.advance(3600)
    with pytest.raises(LoginRequiredError, match="offline_access") as caught:
        client.get_access_token()
    assert caught.value.reason == "no_refresh_token"
    assert emulator.count("refresh_token") == 0


# --- the store fails ----------------------------------------------------------------------------


def test_a_store_that_cannot_be_written_costs_no_refresh_token(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any
) -> None:
    """The probe fails before anything is sent; when the store is well again the login goes on."""
    store = FragileStore()
    client = make_client(store=store)
    clock.advance(3600)
    store.broken = {"save"}
    with pytest.raises(TokenStoreError, match="broken"):
        client.get_access_token()
    assert emulator.count("refresh_token") == 0
    store.broken = set()
    assert client.get_access_token()


def test_a_token_that_cannot_be_saved_serves_from_memory_and_is_saved_later(
    emulator: AtlassianEmulator,
    make_client: Any,
    events: Any,
    landed: Callable[[], None],
) -> None:
    """The store breaks between probe and save: the token serves, one request, saved when
    possible.
    """
    clock = FakeClock(skip_sleeps=False)
    store = FragileStore()
    client = make_client(store=store, on_event=events, clock=clock)
    clock.advance(3600)
    emulator.cloud.rotation_grace = 1e9
    store.broken = {"save rotated"}
    token = client.get_access_token()
    assert {client.get_access_token() for _ in range(5)} == {token}
    assert stored(client).access_token != token
    store.broken = set()
    clock.advance(60)
    landed()
    assert stored(client).access_token == token
    assert events.names == ["refreshed", "store_failed"]
    assert emulator.count("refresh_token") == 1


def test_an_unsaved_token_that_has_ended_is_not_refreshed_into_the_void(
    emulator: AtlassianEmulator, make_client: Any, landed: Callable[[], None]
) -> None:
    """While the store is broken the next refresh waits too: TokenNotSavedError holds the token
    set.
    """
    clock = FakeClock(skip_sleeps=False)
    store = FragileStore()
    client = make_client(store=store, clock=clock)
    clock.advance(3600)
    emulator.cloud.rotation_grace = 1e9
    store.broken = {"save rotated"}
    token = client.get_access_token()
    clock.advance(3600)
    with pytest.raises(TokenNotSavedError) as caught:
        client.get_access_token()
    assert caught.value.token_set.access_token == token
    assert emulator.count("refresh_token") == 1
    store.broken = set()
    assert client.get_access_token() != token
    assert emulator.count("refresh_token") == 2
    clock.advance(60)
    landed()


def test_a_login_that_cannot_be_saved_is_raised_with_its_token_set(
    make_client: Any, emulator: AtlassianEmulator, landed: Callable[[], None]
) -> None:
    """oauth_complete: the code is spent, the store fails: nothing is silently lost."""
    clock = FakeClock(skip_sleeps=False)
    store = FragileStore()
    client = make_client(store=store, clock=clock, login=False)
    redirect = emulator.cloud.authorize(client.oauth_start())
    hold = Hold(after=True)
    emulator.weather.next("token", hold)
    errors: list[TokenNotSavedError] = []

    def complete() -> None:
        try:
            client.oauth_complete(redirect)
        except TokenNotSavedError as error:
            errors.append(error)

    thread = threading.Thread(target=complete)
    thread.start()
    hold.wait_arrived()
    store.broken = {"save"}
    hold.release()
    thread.join()
    assert client.get_access_token() == errors[0].token_set.access_token
    store.broken = set()
    clock.advance(60)
    landed()
    assert client.status().generation == 1


def test_a_lock_that_is_held_too_long_is_reported_and_the_store_is_looked_at(
    emulator: AtlassianEmulator,
    clock: FakeClock,
    make_client: Any,
    events: Any,
    landed: Callable[[], None],
) -> None:
    """TokenStoreTimeoutError without a request; what a peer has saved is adopted all the same."""
    store = FragileStore()
    client = make_client(store=store, on_event=events)
    clock.advance(3600)
    store.broken = {"lock"}
    with pytest.raises(TokenStoreTimeoutError):
        client.get_access_token()
    landed()
    record = store.load(key_of(client))
    theirs = TokenSet("theirs", "r", clock.time() + 3600, "", "Bearer", clock.time())
    store.save(key_of(client), Record(2, theirs), expected=record.generation)
    assert client.get_access_token() == "theirs"
    landed()
    assert events.names == ["lock_timeout", "lock_timeout", "adopted"]
    assert emulator.count("refresh_token") == 0


def test_a_lock_that_cannot_be_released_does_not_cost_the_token(
    emulator: AtlassianEmulator,
    clock: FakeClock,
    make_client: Any,
    events: Any,
    landed: Callable[[], None],
) -> None:
    """The token is rotated and saved when the release fails: it is handed out, the event says
    so.
    """
    store = FragileStore()
    client = make_client(store=store, on_event=events)
    clock.advance(3600)
    store.broken = {"unlock"}
    assert client.get_access_token() == stored(client).access_token
    landed()
    assert events.names == ["refreshed", "store_failed"]


def test_a_foreign_exception_of_a_store_does_not_cost_the_token(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any, landed: Callable[[], None]
) -> None:
    """A store that breaks its contract in the save: whatever it raises, the token serves."""

    class Rude(FragileStore):
        def _check(self, name: str) -> None:
            if name in self.broken:
                raise ZeroDivisionError

    patient = FakeClock(skip_sleeps=False)
    store = Rude()
    client = make_client(store=store, clock=patient)
    patient.advance(3600)
    store.broken = {"save rotated"}
    assert client.get_access_token()
    store.broken = set()
    patient.advance(60)
    landed()
    assert stored(client) == client.current()


def test_a_newer_generation_is_never_overwritten(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any
) -> None:
    """Somebody without the lock saved while we were refreshing: theirs stays, and is used."""
    store = MemoryTokenStore()
    client = make_client(store=store)
    clock.advance(3600)
    hold = Hold(after=True)
    emulator.weather.next("token", hold)
    results: list[TokenSet] = []
    waiter = threading.Thread(target=lambda: results.append(client.token_set()))
    waiter.start()
    hold.wait_arrived()
    record = store.load(key_of(client))
    theirs = TokenSet("theirs", "r", clock.time() + 3600, "", "Bearer", clock.time())
    store.save(key_of(client), Record(record.generation + 1, theirs), expected=record.generation)
    hold.release()
    waiter.join()
    assert results == [theirs]
    assert stored(client) == theirs
    with pytest.raises(StaleRecordError):
        store.save(key_of(client), record, expected=record.generation)


# --- the journal --------------------------------------------------------------------------------


def test_what_is_about_to_be_spent_is_on_record_before_it_is_sent(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any
) -> None:
    """While the token request is under way the store holds a journal without the secret."""
    store = MemoryTokenStore()
    client = make_client(store=store)
    clock.advance(3600)
    refresh_token = stored(client).refresh_token
    hold = Hold()
    emulator.weather.next("token", hold)
    waiter = threading.Thread(target=client.get_access_token)
    waiter.start()
    hold.wait_arrived()
    record = store.load(key_of(client))
    assert record.pending.started_at == clock.time()
    assert refresh_token not in json.dumps(record.to_json()["pending"])
    assert client.status().pending_since == clock.time()
    hold.release()
    waiter.join()
    assert store.load(key_of(client)).pending is None


# --- events -------------------------------------------------------------------------------------


def test_an_event_tells_duration_generation_and_waiters(
    emulator: AtlassianEmulator,
    clock: FakeClock,
    make_client: Any,
    events: Any,
    landed: Callable[[], None],
) -> None:
    """One refresh, one event, with figures and without secrets."""
    client = make_client(on_event=events)
    clock.advance(3600)
    client.get_access_token()
    landed()
    (event,) = events
    assert event.name == "refreshed"
    assert event.account == "default"
    assert event.fields["generation"] == 2
    assert event.fields["waiters"] == 1
    assert event.fields["duration"] >= 0
    assert not any(secret in str(event) for secret in emulator.secrets)


def test_a_hook_that_raises_or_calls_back_does_no_harm(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any, landed: Callable[[], None]
) -> None:
    """The hook runs outside every lock, after the waiters were served."""
    called: list[str] = []

    def hook(event: Any) -> None:
        called.append(client.get_access_token())
        raise ValueError("from the hook")

    client = make_client(on_event=hook)
    clock.advance(3600)
    token = client.get_access_token()
    landed()
    assert called == [token]


# --- two logins in one store --------------------------------------------------------------------


def test_accounts_do_not_touch_each_other(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any
) -> None:
    """Two accounts in one store have tokens and flights of their own."""
    store = MemoryTokenStore()
    ada, bob = (make_client(store=store, account=name) for name in ("ada", "bob"))
    assert ada.get_access_token() != bob.get_access_token()
    bobs = bob.get_access_token()
    clock.advance(60)
    ada.token_set(rejected=ada.get_access_token())
    assert bob.get_access_token() == bobs
    bob.forget()
    assert ada.get_access_token()
    with pytest.raises(LoginRequiredError):
        bob.get_access_token()


def test_somebody_who_saves_between_look_and_journal_is_adopted(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any
) -> None:
    """The journal is written by compare-and-swap too: a newer login is found, nothing is spent."""

    class Overtaken(MemoryTokenStore):
        faster: Record | None = None

        def save(self, key: TokenKey, record: Record, *, expected: int | None) -> None:
            faster, self.faster = self.faster, None
            if faster is not None:
                super().save(key, faster, expected=expected)
            super().save(key, record, expected=expected)

    store = Overtaken()
    client = make_client(store=store)
    clock.advance(3600)
    theirs = TokenSet("theirs", "r", clock.time() + 3600, "", "Bearer", clock.time())
    store.faster = Record(2, theirs)
    assert client.get_access_token() == "theirs"
    assert emulator.count("refresh_token") == 0


def test_a_token_saved_by_a_clock_that_was_ahead_lives_no_longer_than_it_was_given(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any
) -> None:
    """Another program, whose clock is two hours ahead, has saved the login; it is used one hour."""
    store = MemoryTokenStore()
    clock.jump(7200)
    make_client(store=store)
    clock.jump(-7200)
    client = make_client(store=store, login=False)
    first = client.get_access_token()
    clock.advance(3600)
    assert client.get_access_token() != first


def test_a_refresh_token_from_the_configuration_is_taken_over_once(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any
) -> None:
    """A program offers the token it was installed with at every start: it is not spent again."""
    store = MemoryTokenStore()
    installed = emulator.cloud.issue()["refresh_token"]
    for start in range(3):
        client = make_client(store=store, login=False)
        assert client.oauth2_retrieve_access_token(refresh_token=installed)
        clock.advance(3600)
        assert client.get_access_token()
        assert emulator.count("refresh_token") == start + 2
    assert emulator.count(outcome="reuse_after_grace") == 0


@pytest.mark.parametrize("library", ["threads", "tasks"])
def test_a_site_is_asked_for_its_id_once(
    emulator: AtlassianEmulator, make_client: Any, library: str
) -> None:
    """64 threads or 500 tasks start with a site's URL only: one look-up, by one thread of ours."""
    store = MemoryTokenStore()
    make_client(store=store)
    client = make_client(store=store, cloud_id="", login=False)
    hold = Hold()
    emulator.weather.next("tenant_info", hold)

    async def tasks() -> set[str]:
        waiting = [asyncio.create_task(client.token_set_async()) for _ in range(500)]
        await asyncio.to_thread(hold.wait_arrived)
        hold.release()
        return {token_set.access_token for token_set in await asyncio.gather(*waiting)}

    def threads() -> set[str]:
        with ThreadPoolExecutor(64) as pool:
            waiting = [pool.submit(client.token_set) for _ in range(64)]
            hold.wait_arrived()
            hold.release()
            return {one.result().access_token for one in waiting}

    assert len(asyncio.run(tasks()) if library == "tasks" else threads()) == 1
    if library == "tasks":  # threads may look at the same instant, tasks cannot
        assert [r.path for r in emulator.requests].count("/_edge/tenant_info") == 1


def test_workers_outlive_the_main_thread(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The main thread has ended while workers go on: a lost answer is still asked for again."""
    client = make_client()
    clock.advance(3600)
    monkeypatch.setattr(threading.main_thread(), "is_alive", lambda: False)
    busy = threading.Event()
    worker = threading.Thread(target=busy.wait)
    worker.start()
    emulator.weather.next("token", CloseAfter())
    try:
        assert client.get_access_token()
    finally:
        busy.set()
        worker.join()
    assert emulator.count("refresh_token") == 2

"""What a store forgets, and what others decide while a refresh is under way: nothing is lost by it.

Hosts of one fleet are client objects with stores that are equal to themselves only, so they share
no flight and no snapshot; "paused" is a store whose save does not go on before the test says so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from atlassian_auth_adapter import (
    AtlassianOAuthClient,
    LoginRequiredError,
    MemoryTokenStore,
    Record,
    TokenEndpointUnavailableError,
    TokenKey,
    TokenStoreUnavailableError,
)
from atlassian_auth_adapter.atlassian.gateway import Location
from atlassian_auth_adapter.testing import AtlassianEmulator, FakeClock
from atlassian_auth_adapter.testing.emulator import CloseAfter, Hold, Status


class Host:
    """One place, seen from one host; a lease that ends is a lock that excludes nobody."""

    def __init__(self, place: MemoryTokenStore, *, leases_end: bool = False) -> None:
        self.load, self.delete = place.load, place.delete
        self._place = place
        self._locks = MemoryTokenStore() if leases_end else place
        self.before_save: Callable[[Record], object] = lambda _: None
        self.lock = self._locks.lock

    def save(self, key: TokenKey, record: Record, *, expected: int | None) -> None:
        self.before_save(record)
        self._place.save(key, record, expected=expected)


@pytest.fixture
def place() -> MemoryTokenStore:
    """Where the hosts keep their login."""
    return MemoryTokenStore()


def stored(client: AtlassianOAuthClient) -> Record:
    """What is on record."""
    record = client._store.load(client._key)
    assert record is not None
    return record


# --- a store that falls back ----------------------------------------------------------------------


def test_a_backup_that_is_played_back_does_not_cost_the_login(
    emulator: AtlassianEmulator,
    make_client: Any,
    clock: FakeClock,
    place: MemoryTokenStore,
    events: Any,
    landed: Callable[[], None],
) -> None:
    """The store returns to a spent refresh token; the process that knows a newer one puts that
    back, and nothing older reaches the server.
    """
    client = make_client(store=place, on_event=events)
    backup = stored(client)
    for _ in range(3):
        clock.advance(3600)
        client.get_access_token()
    place.save(client._key, backup, expected=4)
    clock.advance(3600)
    client.test_connection()
    landed()
    assert stored(client).generation == 5
    assert stored(client).token_set == client.current()
    assert emulator.count("refresh_token") == emulator.count("refresh_token", "issued") == 4
    (event,) = (event for event in events if event.name == "store_failed")
    assert "fell back to generation 1" in event.fields["error"]


def test_a_fallen_back_store_gets_the_newest_that_anybody_knows(
    emulator: AtlassianEmulator, make_client: Any, clock: FakeClock, place: MemoryTokenStore
) -> None:
    """Also when a host that knows less has been there first."""
    make_client(store=place)
    slow, fast = (make_client(store=Host(place), login=False) for _ in range(2))
    backup = stored(slow)
    clock.advance(3600)
    fast.get_access_token()
    slow.get_access_token()
    clock.advance(1800)
    fast.refresh()
    place.save(fast._key, backup, expected=3)
    slow.token_set(rejected="something else")
    slow.get_access_token()
    clock.advance(60)
    fast.token_set(rejected=fast.get_access_token())
    fast.test_connection()
    assert stored(fast).generation == 4
    assert emulator.count("refresh_token", "reuse_after_grace") == 0


def test_a_record_that_somebody_deleted_stays_deleted(
    make_client: Any, clock: FakeClock, place: MemoryTokenStore
) -> None:
    """Whoever removes a record from the store means it: no process puts it back."""
    client = make_client(store=place)
    client.get_access_token()
    place.delete(client._key)
    clock.advance(3600)
    with pytest.raises(LoginRequiredError) as raised:
        client.get_access_token()
    assert raised.value.reason == "no_token"
    assert place.load(client._key) is None


def test_a_store_that_lost_everything_in_mid_refresh_gets_the_new_token(
    emulator: AtlassianEmulator, make_client: Any, clock: FakeClock, place: MemoryTokenStore
) -> None:
    """A Redis without persistence is restarted after the server has rotated: the only copy of the
    new refresh token is saved.
    """
    client = make_client(store=place)
    clock.advance(3600)
    hold = Hold(after=True)
    emulator.weather.next("token", hold)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.get_access_token)
        hold.wait_arrived()
        place.delete(client._key)
        hold.release()
        token = waiting.result()
    assert stored(client).token_set.access_token == token  # type: ignore[union-attr]
    clock.advance(3600)
    client.test_connection()


# --- somebody else, meanwhile ---------------------------------------------------------------------


@pytest.fixture
def paused(
    emulator: AtlassianEmulator, make_client: Any, clock: FakeClock, place: MemoryTokenStore
) -> Any:
    """A host that has rotated and is paused before it saves, its lease ended; call to wake it."""
    make_client(store=place)
    host = Host(place, leases_end=True)
    client = make_client(store=host, login=False)
    clock.advance(3600)
    asleep, awake = threading.Event(), threading.Event()

    def pause(record: Record) -> None:
        if record.pending is None:
            asleep.set()
            awake.wait(20)

    host.before_save = pause
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(client.get_access_token)
        assert asleep.wait(20)
        host.before_save = lambda _: None

        def wake() -> Any:
            awake.set()
            return future

        wake.client = client  # type: ignore[attr-defined]
        yield wake
        awake.set()


def test_a_paused_holder_adopts_what_others_have_refreshed(
    paused: Any, emulator: AtlassianEmulator, make_client: Any, place: MemoryTokenStore
) -> None:
    """Its lease has ended, another host has replayed the refresh and rotated: that one stands."""
    other = make_client(store=Host(place), login=False)
    newer = other.get_access_token()
    other.refresh()
    record = stored(other)
    token = paused().result(20)
    assert stored(other) == record
    assert token == record.token_set.access_token != newer  # type: ignore[union-attr]
    assert emulator.count("refresh_token", "reuse_after_grace") == 0


def test_a_paused_holder_does_not_bring_back_what_was_forgotten(
    paused: Any, make_client: Any, place: MemoryTokenStore
) -> None:
    """A person logged out meanwhile: the late save changes nothing, and nobody is logged in."""
    make_client(store=Host(place), login=False).forget()
    with pytest.raises(LoginRequiredError) as raised:
        paused().result(20)
    assert raised.value.reason == "no_token"
    assert stored(paused.client) == Record(stored(paused.client).generation)


def test_a_paused_holder_does_not_overwrite_a_new_login(
    paused: Any, emulator: AtlassianEmulator, make_client: Any, place: MemoryTokenStore
) -> None:
    """A person logged out and in again meanwhile: the generation is not the old one by accident."""
    other = make_client(store=Host(place), login=False)
    other.forget()
    other.oauth_complete(emulator.cloud.authorize(other.oauth_start()))
    record = stored(other)
    token = paused().result(20)
    assert stored(other) == record
    assert token == record.token_set.access_token  # type: ignore[union-attr]


def test_a_paused_holder_revives_what_was_given_up(
    emulator: AtlassianEmulator, make_client: Any, clock: FakeClock, place: MemoryTokenStore
) -> None:
    """Data Center: another host's resend is refused and the login is called dead; then the first
    one wakes up with the answer, and the login lives.
    """
    make_client("data_center", store=place)
    host = Host(place, leases_end=True)
    client = make_client("data_center", store=host, login=False)
    other = make_client("data_center", store=Host(place), login=False)
    clock.advance(3600)
    hold = Hold(after=True)
    emulator.weather.next("token", hold)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.get_access_token)
        hold.wait_arrived()
        with pytest.raises(LoginRequiredError) as raised:
            other.get_access_token()
        assert raised.value.reason == "answer_lost"
        hold.release()
        token = waiting.result(20)
    assert other.get_access_token() == token
    other.test_connection()


def test_nothing_is_resent_that_somebody_else_has_rotated(
    emulator: AtlassianEmulator, make_client: Any, clock: FakeClock, place: MemoryTokenStore
) -> None:
    """The answer is lost; before the resend this host sleeps for longer than the grace, and another
    one refreshes: the spent refresh token is not sent again.
    """
    make_client(store=place)
    sleeper = Sleeper(clock)
    client = make_client(store=Host(place, leases_end=True), clock=sleeper, login=False)
    other = make_client(store=Host(place), login=False)
    clock.advance(3600)
    emulator.weather.next("token", CloseAfter())

    def dream() -> None:
        other.get_access_token()
        clock.advance(1200)
        other.refresh()

    sleeper.dream = dream
    assert client.get_access_token() == other.get_access_token()
    assert emulator.count("refresh_token", "reuse_after_grace") == 0
    other.test_connection()


class Sleeper:
    """A clock that does something during the first sleep."""

    def __init__(self, clock: FakeClock) -> None:
        self.time, self.monotonic, self._sleep = clock.time, clock.monotonic, clock.sleep
        self.dream: Callable[[], object] | None = None

    def sleep(self, seconds: float) -> None:
        dream, self.dream = self.dream, None
        if dream:
            dream()
        self._sleep(seconds)


def test_a_clock_that_is_set_back_stretches_no_resend(
    emulator: AtlassianEmulator, make_client: Any, clock: FakeClock, place: MemoryTokenStore
) -> None:
    """The answer is lost, the server is down, and the wall clock goes back an hour meanwhile: two
    minutes are two minutes, so the refresh token is not sent again after the grace.
    """
    sleeper = Sleeper(clock)
    client = make_client(store=place, clock=sleeper)
    clock.advance(3600)
    emulator.weather.next("token", CloseAfter())
    emulator.weather.next("token", Status(502), times=1000)
    sleeper.dream = lambda: clock.jump(-3600)
    began = clock.monotonic()
    with pytest.raises(TokenEndpointUnavailableError):
        client.get_access_token()
    assert clock.monotonic() - began <= 120


# --- a store that is away for a moment ------------------------------------------------------------


class Restarted(MemoryTokenStore):
    """A store that cannot be reached a number of times, by the named method."""

    def __init__(self, method: str) -> None:
        super().__init__()
        self.method, self.left = method, 0

    def _reach(self, method: str) -> None:
        if method == self.method and self.left:
            self.left -= 1
            raise TokenStoreUnavailableError("the server is restarted by the test")

    def load(self, key: TokenKey) -> Record | None:
        self._reach("load")
        return super().load(key)

    def save(self, key: TokenKey, record: Record, *, expected: int | None) -> None:
        self._reach("save")
        super().save(key, record, expected=expected)

    def lock(self, key: TokenKey, *, timeout: float) -> Any:
        self._reach("lock")
        return super().lock(key, timeout=timeout)


@pytest.mark.parametrize("method", ["lock", "load", "save"])
def test_a_restart_of_the_store_fails_no_request(
    emulator: AtlassianEmulator,
    make_client: Any,
    clock: FakeClock,
    method: str,
    events: Any,
    landed: Callable[[], None],
) -> None:
    """While nothing is spent, a flight waits some seconds for the store to come back."""
    store = Restarted(method)
    client = make_client(store=store, on_event=events)
    clock.advance(3600)
    store.left = 10
    client.test_connection()
    assert store.left == 0
    assert emulator.count("refresh_token") == 1
    landed()
    assert events.names == ["refreshed"]


def test_a_store_that_stays_away_is_told_and_nothing_is_spent(
    emulator: AtlassianEmulator,
    make_client: Any,
    clock: FakeClock,
    events: Any,
    landed: Callable[[], None],
) -> None:
    """After about ten seconds the callers learn that the store cannot be reached."""
    store = Restarted("lock")
    client = make_client(store=store, on_event=events)
    clock.advance(3600)
    store.left = 10_000
    with pytest.raises(TokenStoreUnavailableError):
        client.get_access_token()
    landed()
    assert events.names == ["store_failed"]
    assert 9 <= sum(clock.slept) <= 11
    assert emulator.count("refresh_token") == 0
    store.left = 0
    client.test_connection()


# --- several logins in one store ------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [{"account": "bob"}, {"client_id": "another"}, {"flavour": "data_center"}],
    ids=["account", "client_id", "issuer"],
)
def test_logins_in_one_store_never_touch_each_other(
    make_client: Any, clock: FakeClock, change: Any
) -> None:
    """Two accounts, two client ids, two issuers: rotation and forgetting of one leave the
    other's record as it is.
    """
    store = MemoryTokenStore()
    mine = make_client(store=store)
    theirs = make_client(store=store, login=change != {"client_id": "another"}, **change)
    if change == {"client_id": "another"}:
        record = replace(stored(mine), token_set=replace(stored(mine).token_set, scope="theirs"))
        store.save(theirs._key, record, expected=None)
    before = stored(theirs)
    clock.advance(3600)
    mine.test_connection()
    mine.forget()
    assert stored(theirs) == before
    with pytest.raises(LoginRequiredError):
        mine.get_access_token()


def test_two_sites_of_one_account_share_its_login_and_nothing_else(
    emulator: AtlassianEmulator, make_client: Any, clock: FakeClock
) -> None:
    """One consent covers several sites: one refresh for both; each client knows its own site only.
    (Sites with logins of their own have accounts of their own.)
    """
    store = MemoryTokenStore()
    other_site = "https://beta.atlassian.net"
    here = make_client(store=store)
    there = make_client(store=store, login=False, cloud_id="beta-id", site_url=other_site)
    clock.advance(3600)
    assert here.get_access_token() == there.get_access_token()
    assert emulator.count("refresh_token") == 1
    for client, foreign in (
        (here, other_site),
        (here, there.base_url),
        (there, emulator.cloud.sites[0].url),
        (there, here.base_url),
    ):
        location = Location.of(f"{foreign}/rest/api/3/myself")
        assert not client.resource_server.route(location).bearer

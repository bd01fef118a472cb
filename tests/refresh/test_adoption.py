"""What another process has saved is used, and not spent or overwritten."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from atlassian_auth_adapter import (
    AtlassianAuth,
    ExpiryPolicy,
    FileTokenStore,
    LoginRequiredError,
    MemoryTokenStore,
    StaleRecordError,
    TokenSet,
    TokenStoreError,
    TokenStoreTimeoutError,
)
from atlassian_auth_adapter.testing import (
    AtlassianEmulator,
    FakeClock,
    save_login,
    stored_login,
    stored_version,
)
from atlassian_auth_adapter.testing.emulator import CloseAfter, Hold

from .stores import FragileStore, Pause, Sleeper, successor

Landed = Callable[[], None]


def test_a_token_of_another_process_is_adopted_without_a_request(
    emulator: AtlassianEmulator,
    clock: FakeClock,
    make_client: Any,
    another_process: Any,
    tmp_path: Path,
    events: Any,
    landed: Landed,
) -> None:
    """Another process has refreshed the login in the same directory: its token is found."""
    mine = make_client(store=FileTokenStore(tmp_path / "tokens"), on_event=events)
    other = another_process(store=FileTokenStore(tmp_path / "tokens"))
    clock.advance(3600)
    new = other.get_access_token()
    assert mine.get_access_token() == new
    landed()
    assert emulator.count("refresh_token") == 1
    assert events.names == ["adopted"]


def test_what_a_process_knows_works_until_it_asks_again(
    emulator: AtlassianEmulator,
    clock: FakeClock,
    make_client: Any,
    another_process: Any,
    session: requests.Session,
    landed: Landed,
) -> None:
    """However early another process refreshes in the stale window: the token before, which Cloud
    ends ten minutes later, is accepted for as long as this process sends it.
    """
    store = MemoryTokenStore()
    mine = make_client(store=store, expiry=ExpiryPolicy(jitter=0))
    other = another_process(store=store, expiry=ExpiryPolicy(jitter=0))
    token_set = other.token_set()
    clock.advance(token_set.lifetime - ExpiryPolicy().stale)
    other.token_set()
    landed()
    assert other.token_set() != token_set
    session.auth = AtlassianAuth(mine)
    clock.advance(ExpiryPolicy().stale - 60.01)
    emulator.reset_log()
    assert session.get(f"{mine.base_url}/rest/api/3/myself").ok
    assert [request.status for request in emulator.requests] == [200]


def test_a_refresh_token_that_was_refused_is_looked_up_once_more(
    emulator: AtlassianEmulator, start: Any, newer: TokenSet, expired_client: Any
) -> None:
    """Another process has saved a newer token meanwhile: it is used, nothing is marked dead."""
    client = expired_client()
    emulator.cloud.revoke_grants()
    hold = Hold()
    emulator.faults.next("token", hold)
    waiting = start(client.token_set)
    hold.wait_arrived()
    save_login(client, successor(stored_login(client), newer))
    hold.release()
    assert waiting.result() == newer
    assert stored_login(client).dead == ""  # type: ignore[union-attr]


def test_what_is_saved_between_the_refusal_and_the_second_look_is_adopted(
    emulator: AtlassianEmulator, clock: FakeClock, newer: TokenSet, expired_client: Any
) -> None:
    """The process that has spent the refresh token saves its answer within the second after."""
    sleeper = Sleeper(clock)
    client = expired_client(clock=sleeper)
    emulator.cloud.revoke_grants()
    sleeper.during_sleep = lambda: save_login(client, successor(stored_login(client), newer))
    assert client.token_set() == newer
    assert sleeper.during_sleep is None


def test_what_is_saved_between_look_and_journal_is_adopted(
    emulator: AtlassianEmulator, newer: TokenSet, expired_client: Any
) -> None:
    """The journal is written by compare-and-swap too: a newer login is found, nothing is spent."""
    store = FragileStore()
    client = expired_client(store=store)

    def be_faster(_: object) -> None:
        store.recover()
        save_login(client, successor(stored_login(client), newer))

    store.before["journal"] = be_faster
    assert client.token_set() == newer
    assert emulator.count("refresh_token") == 0


def test_what_is_saved_during_a_refresh_is_not_overwritten(
    emulator: AtlassianEmulator, start: Any, newer: TokenSet, expired_client: Any
) -> None:
    """Another process began later, since our lease had ended, and saved first: its token wins."""
    store = FragileStore()
    client = expired_client(store=store)
    hold = Hold(after=True)
    emulator.faults.next("token", hold)
    waiting = start(client.token_set)
    hold.wait_arrived()
    version, journaled = stored_version(client), stored_login(client)
    assert journaled
    assert journaled.journal
    save_login(client, journaled._replace(journal=journaled.journal._replace(owner="another")))
    save_login(client, successor(journaled, newer))
    hold.release()
    assert waiting.result() == newer
    assert stored_login(client).token_set == newer  # type: ignore[union-attr]
    with pytest.raises(StaleRecordError):
        store.place.save(client.token_key.name, "{}", expected=version)


def test_after_the_lock_was_held_too_long_the_store_is_looked_at(
    emulator: AtlassianEmulator, events: Any, landed: Landed, newer: TokenSet, expired_client: Any
) -> None:
    """TokenStoreTimeoutError, no request; what the holder has saved is adopted all the same."""
    store = FragileStore()
    client = expired_client(store=store, on_event=events)
    store.fail("lock", error=TokenStoreTimeoutError("another process holds it"))
    with pytest.raises(TokenStoreTimeoutError, match="hangs"):
        client.get_access_token()
    landed()
    save_login(client, successor(stored_login(client), newer))
    assert client.token_set() == newer
    landed()
    assert events.names == ["lock_timeout", "lock_timeout", "adopted"]
    assert emulator.count("refresh_token") == 0


@pytest.mark.parametrize(
    "error", [OSError("EIO"), TokenStoreTimeoutError("late"), TokenStoreError("away")], ids=repr
)
def test_a_lock_that_cannot_be_released_does_not_cost_the_token(
    events: Any, landed: Landed, kept: Any, error: Exception, expired_client: Any
) -> None:
    """The token is rotated and saved when the release fails: it is handed out, an event tells."""
    store = FragileStore()
    client = expired_client(store=store, on_event=events)
    store.fail("unlock", error=error)
    assert client.get_access_token() == kept(client).access_token
    landed()
    assert events.names == ["refreshed", "store_failed"]
    assert type(error).__name__ in events[1].fields["error"]


# --- a process that is paused in the middle of a refresh, so that its lease ends ------------------


@pytest.fixture
def place() -> FragileStore:
    """Where the hosts keep their login."""
    return FragileStore()


@pytest.fixture
def paused(place: FragileStore, make_client: Any, another_process: Any, clock: FakeClock) -> Any:
    """Makes a host that has rotated and is paused before it saves: its client and its end."""

    def pause(start: Any) -> Any:
        make_client(store=place)
        host = FragileStore(place, leases_end=True)
        client = another_process(store=host)
        clock.advance(3600)
        asleep = Pause()
        host.before["answer"] = asleep
        waiting = start(client.get_access_token)
        asleep.wait_arrived()
        host.recover()

        def wake() -> Any:
            asleep.release()
            return waiting.result(20)

        return client, wake

    return pause


def test_a_paused_process_adopts_what_others_have_refreshed(
    paused: Any, start: Any, emulator: AtlassianEmulator, another_process: Any, place: FragileStore
) -> None:
    """Its lease has ended, another host has replayed the refresh and rotated: that one stands."""
    _, wake = paused(start)
    other = another_process(store=place)
    newer = other.get_access_token()
    other.refresh()
    login = stored_login(other)
    token = wake()
    assert stored_login(other) == login
    assert token == other.get_access_token() != newer
    assert emulator.count("refresh_token", "reuse_after_grace") == 0


def test_a_paused_process_does_not_bring_back_what_was_forgotten(
    paused: Any, start: Any, another_process: Any, place: FragileStore
) -> None:
    """A person logged out meanwhile: the late save changes nothing, and the login stays ended."""
    client, wake = paused(start)
    another_process(store=place).forget()
    with pytest.raises(LoginRequiredError) as raised:
        wake()
    assert raised.value.reason == "no_token"
    assert stored_login(client).token_set is None  # type: ignore[union-attr]


def test_a_paused_process_does_not_overwrite_a_new_login(
    paused: Any, start: Any, emulator: AtlassianEmulator, another_process: Any, place: FragileStore
) -> None:
    """A person logged out and in again meanwhile: that login stands, and is adopted."""
    _, wake = paused(start)
    other = another_process(store=place)
    other.forget()
    other.oauth_complete(emulator.cloud.authorize(other.oauth_start()))
    login = stored_login(other)
    assert wake() == other.get_access_token()
    assert stored_login(other) == login


def test_a_paused_process_revives_what_was_given_up(
    emulator: AtlassianEmulator,
    make_client: Any,
    another_process: Any,
    clock: FakeClock,
    place: FragileStore,
    start: Any,
) -> None:
    """Data Center: another host's resend is refused and the login is called dead; then the first
    one wakes up with the answer, and the login lives.
    """
    make_client("data_center", store=place)
    client = another_process("data_center", store=FragileStore(place, leases_end=True))
    other = another_process("data_center", store=place)
    clock.advance(3600)
    hold = Hold(after=True)
    emulator.faults.next("token", hold)
    waiting = start(client.get_access_token)
    hold.wait_arrived()
    with pytest.raises(LoginRequiredError) as raised:
        other.get_access_token()
    assert raised.value.reason == "answer_lost"
    hold.release()
    token = waiting.result(20)
    assert other.get_access_token() == token
    other.test_connection()


class Halting:
    """A clock that does something when it is read the second time after `during_sleep` was set.

    The first time is the end of the save that proves the lock, the second one is before sending.
    """

    def __init__(self, clock: FakeClock) -> None:
        self._clock, self.monotonic, self.sleep = clock, clock.monotonic, clock.sleep
        self.during_sleep: Callable[[], object] | None = None
        self._reads = 0

    def time(self) -> float:
        if self.during_sleep:
            self._reads += 1
            if self._reads == 2:
                action, self.during_sleep = self.during_sleep, None
                action()
        return self._clock.time()


def test_a_process_that_was_paused_before_it_sends_looks_again(
    emulator: AtlassianEmulator,
    make_client: Any,
    another_process: Any,
    clock: FakeClock,
    place: FragileStore,
) -> None:
    """Its lease has ended between journal and token request, and another process has refreshed: the
    spent refresh token is not sent.
    """
    make_client(store=place)
    host, halting = FragileStore(place, leases_end=True), Halting(clock)
    client, other = another_process(store=host, clock=halting), another_process(store=place)
    clock.advance(3600)

    def meanwhile() -> None:
        other.get_access_token()
        clock.advance(1200)

    def set_meanwhile(_: object) -> None:
        host.recover()
        halting.during_sleep = meanwhile

    host.before["journal"] = set_meanwhile
    assert client.get_access_token() == other.get_access_token()
    assert host.before == {}
    assert halting.during_sleep is None
    assert emulator.count("refresh_token") == 1


def test_nothing_is_resent_that_another_process_has_rotated(
    emulator: AtlassianEmulator,
    make_client: Any,
    another_process: Any,
    clock: FakeClock,
    place: FragileStore,
) -> None:
    """The answer is lost; before the resend this host sleeps for longer than the grace, and another
    one refreshes: the spent refresh token is not sent again.
    """
    make_client(store=place)
    sleeper = Sleeper(clock)
    client = another_process(store=FragileStore(place, leases_end=True), clock=sleeper)
    other = another_process(store=place)
    clock.advance(3600)
    emulator.faults.next("token", CloseAfter())

    def meanwhile() -> None:
        other.get_access_token()
        clock.advance(1200)
        other.refresh()

    sleeper.during_sleep = meanwhile
    assert client.get_access_token() == other.get_access_token()
    assert emulator.count("refresh_token", "reuse_after_grace") == 0
    other.test_connection()


@pytest.mark.parametrize("way", ["forgotten", "replaced"])
def test_a_look_into_the_store_does_not_bring_back_a_login_that_is_gone(
    make_client: Any, emulator: AtlassianEmulator, start: Any, way: str
) -> None:
    """A client reads the store for the first time; before it can use what it has read, another
    client forgets or replaces that login: the client looks again.
    """
    store = FragileStore()
    first, other = make_client(store=store.place), make_client(store=store, login=False)
    redirect = emulator.cloud.authorize(first.oauth_start())
    pause = store.before["loaded"] = Pause()
    asking = start(other.get_access_token)
    pause.wait_arrived()
    if way == "forgotten":
        first.forget()
        pause.release()
        with pytest.raises(LoginRequiredError):
            asking.result()
    else:
        first.oauth_complete(redirect)
        pause.release()
        assert asking.result() == first.get_access_token()

"""A caller waits `max_wait` at most for a server, store or lock; the refresh itself goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trio

from atlassian_auth_adapter import (
    AtlassianAuthError,
    AtlassianOAuthClient,
    ConfigurationError,
    TokenEndpointUnavailableError,
    TokenSet,
    TokenStoreError,
    TokenStoreTimeoutError,
    TokenStoreUnavailableError,
)
from atlassian_auth_adapter.clients.environment import atlassian_oauth_client_from_env
from atlassian_auth_adapter.refresh import source
from atlassian_auth_adapter.testing import AtlassianEmulator, FakeClock
from atlassian_auth_adapter.testing.emulator import Hold, Status

from .stores import FragileStore, Pause

Ask = Callable[[AtlassianOAuthClient], TokenSet]


def sync(client: AtlassianOAuthClient) -> TokenSet:
    """Ask from plain code."""
    return client.token_set()


def in_asyncio(client: AtlassianOAuthClient) -> TokenSet:
    """Ask in an asyncio loop."""
    return asyncio.run(client.token_set_async())


def in_trio(client: AtlassianOAuthClient) -> TokenSet:
    """Ask in a trio run."""
    return trio.run(client.token_set_async)


ways = pytest.mark.parametrize("ask", [sync, in_asyncio, in_trio])


@pytest.fixture
def pauses() -> Iterator[Callable[[], Pause]]:
    """Makes pauses, which end with the test."""
    made: list[Pause] = []

    def make() -> Pause:
        made.append(Pause())
        return made[-1]

    yield make
    for pause in made:
        pause.release()


@ways
def test_a_token_endpoint_that_does_not_answer(
    emulator: AtlassianEmulator, landed: Callable[[], None], ask: Ask, expired_client: Any
) -> None:
    """The caller is told after max_wait; the flight goes on, and its result is for the next one."""
    client = expired_client(max_wait=0.05)
    hold = Hold(after=True)
    emulator.faults.next("token", hold)
    with pytest.raises(TokenEndpointUnavailableError, match=r"does not answer.*max_wait.*goes on"):
        ask(client)
    with pytest.raises(TokenEndpointUnavailableError):
        ask(client)
    hold.release()
    landed()
    assert ask(client) == client.current()
    assert emulator.count("refresh_token") == emulator.count("refresh_token", "issued") == 1


def test_the_known_reason_is_told_while_the_same_is_sent_again(
    emulator: AtlassianEmulator, landed: Callable[[], None], expired_client: Any
) -> None:
    """The endpoint answers 502, and then not at all: the error has the status of that answer."""
    client = expired_client(max_wait=0.05)
    hold = Hold()
    emulator.faults.next("token", Status(502))
    emulator.faults.next("token", hold)
    with pytest.raises(TokenEndpointUnavailableError):
        client.get_access_token()
    hold.wait_arrived()
    with pytest.raises(TokenEndpointUnavailableError, match=r"502.*max_wait") as caught:
        client.get_access_token()
    assert (caught.value.status, caught.value.outcome) == (502, "ambiguous")
    hold.release()
    landed()
    assert client.get_access_token()


def test_an_outage_is_asked_about_by_one_flight(
    emulator: AtlassianEmulator, landed: Callable[[], None], expired_client: Any
) -> None:
    """Many calls while the endpoint is down: each waits for its time, one flight asks for all."""
    client = expired_client(max_wait=0.05)
    hold = Hold(then=Status(500))
    emulator.faults.next("token", hold)
    for _ in range(5):
        with pytest.raises(TokenEndpointUnavailableError):
            client.get_access_token()
    hold.wait_arrived()
    hold.release()
    landed()
    assert client.get_access_token()
    assert emulator.count("refresh_token") == 2


@ways
@pytest.mark.parametrize("hanging", ["load", "journal", "answer"])
def test_a_store_that_hangs(
    emulator: AtlassianEmulator,
    make_client: Any,
    another_process: Any,
    clock: FakeClock,
    landed: Callable[[], None],
    pauses: Any,
    hanging: str,
    ask: Ask,
) -> None:
    """TokenStoreUnavailableError after max_wait, in any operation; then the refresh goes on."""
    store, pause = FragileStore(), pauses()
    make_client(store=store)
    client = another_process(store=store, max_wait=0.05)
    clock.advance(3600)
    store.before[hanging] = pause
    with pytest.raises(AtlassianAuthError, match="max_wait"):
        ask(client)
    pause.wait_arrived()
    with pytest.raises(TokenStoreUnavailableError, match=r"store does not answer.*max_wait"):
        ask(client)
    store.recover()
    pause.release()
    landed()
    assert ask(client) == client.current()
    assert emulator.count("refresh_token") == 1


@pytest.mark.parametrize(
    ("hanging", "told"),
    [
        ("lock", "holds the lock"),
        ("journal", "store does not answer"),
        ("answer", "store does not answer"),
    ],
)
def test_the_first_flight_of_a_client_can_be_joined_at_once(
    emulator: AtlassianEmulator,
    make_client: Any,
    another_process: Any,
    clock: FakeClock,
    landed: Callable[[], None],
    pauses: Any,
    monkeypatch: pytest.MonkeyPatch,
    hanging: str,
    told: str,
) -> None:
    """A flight may find its login before its caller goes on; later callers wait for it as well.

    A second flight would wait for the lock of the first, and its callers would be told of that.
    """
    store, pause = FragileStore(), pauses()
    make_client(store=store)
    client = another_process(store=store, max_wait=0.05)
    clock.advance(3600)
    store.before[hanging] = pause
    flights = []

    start = source.FLIGHTS.start

    def started_late(*run: Any, **how: Any) -> bool:
        flights.append(run)
        done = start(*run, **how)
        pause.wait_arrived()
        return done

    monkeypatch.setattr(source.FLIGHTS, "start", started_late)
    for _ in range(2):
        with pytest.raises(AtlassianAuthError, match=told):
            client.token_set()
    assert len(flights) == 1
    store.recover()
    pause.release()
    landed()
    assert client.token_set() == client.current()
    assert emulator.count("refresh_token") == 1


@ways
def test_a_lock_that_is_held_for_ever(
    emulator: AtlassianEmulator, ask: Ask, expired_client: Any
) -> None:
    """TokenStoreTimeoutError after max_wait: another process hangs with the lock."""
    store = FragileStore()
    client = expired_client(store=store, max_wait=0.05)
    with (
        store.lock(client.token_key.name, timeout=1),
        pytest.raises(TokenStoreTimeoutError, match=r"holds the lock.*max_wait"),
    ):
        ask(client)
    assert emulator.count("refresh_token") == 0


@ways
def test_who_comes_late_waits_a_moment_as_well(
    emulator: AtlassianEmulator, ask: Ask, start: Any, expired_client: Any
) -> None:
    """A flight that is older than max_wait may still bring the answer within a moment."""
    client = expired_client(max_wait=0.2)
    hold = Hold()
    emulator.faults.next("token", hold)
    with pytest.raises(TokenEndpointUnavailableError):
        client.get_access_token()
    began = time.monotonic()
    late = start(ask, client)
    with pytest.raises(TokenEndpointUnavailableError):
        late.result(20)
    assert time.monotonic() - began >= 0.15
    hold.release()


def test_a_refresh_on_demand_has_the_same_bound(
    emulator: AtlassianEmulator, make_client: Any, clock: FakeClock, landed: Callable[[], None]
) -> None:
    """`refresh()` has the same bound."""
    client = make_client(max_wait=0.05)
    hold = Hold(after=True)
    emulator.faults.next("token", hold)
    with pytest.raises(TokenEndpointUnavailableError, match="max_wait"):
        client.refresh()
    hold.release()
    landed()
    assert client.status().generation == 2


def test_a_takeover_has_the_same_bound(
    emulator: AtlassianEmulator, make_client: Any, landed: Callable[[], None]
) -> None:
    """So has the refresh token from elsewhere, which is spent once: the next call has its token."""
    client = make_client(login=False, max_wait=0.05)
    given = emulator.cloud.issue()["refresh_token"]
    hold = Hold(after=True)
    emulator.faults.next("token", hold)
    with pytest.raises(TokenEndpointUnavailableError, match=r"does not answer.*max_wait.*goes on"):
        client.oauth2_retrieve_access_token(refresh_token=given)
    hold.release()
    landed()
    token = client.oauth2_retrieve_access_token(refresh_token=given)
    assert token == client.get_access_token()
    assert emulator.count("refresh_token") == 1


@ways
@pytest.mark.parametrize("frozen", [5.0, 1e9])
def test_a_clock_that_a_test_library_has_stopped_does_not_stretch_it(
    emulator: AtlassianEmulator,
    ask: Ask,
    monkeypatch: pytest.MonkeyPatch,
    frozen: float,
    expired_client: Any,
) -> None:
    """A caller waits for max_wait, also when `time.monotonic` has been replaced."""
    client = expired_client(max_wait=0.2)
    hold = Hold()
    emulator.faults.next("token", hold)
    began, monotonic = time.monotonic(), time.monotonic
    with monkeypatch.context() as patch:
        patch.setattr("time.monotonic", lambda: frozen)
        with pytest.raises(TokenEndpointUnavailableError, match="max_wait"):
            client.get_access_token()
    with pytest.raises(TokenEndpointUnavailableError, match="max_wait"):
        ask(client)
    assert 0.15 <= monotonic() - began < 10
    hold.release()


@pytest.mark.parametrize(
    "seconds", [0, -1, float("inf"), float("nan"), "30", None, True, 10**400], ids=repr
)
def test_max_wait_is_a_positive_number_of_seconds(make_client: Any, seconds: Any) -> None:
    """Anything else is told when the client is made, by a text that names the argument."""
    with pytest.raises(ConfigurationError, match="max_wait"):
        make_client(max_wait=seconds, login=False)


@pytest.fixture
def environment(emulator: AtlassianEmulator, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Makes a client of the environment, which says how long it waits."""
    side = emulator.data_center
    monkeypatch.setenv("ATLASSIAN_CLIENT_ID", side.app.client_id)
    monkeypatch.setenv("ATLASSIAN_CLIENT_SECRET", side.app.client_secret)
    monkeypatch.setenv("ATLASSIAN_CALLBACK_URL", side.app.callback_url)
    monkeypatch.setenv("ATLASSIAN_SERVER_URL", side.url)

    def make(seconds: str, **arguments: Any) -> AtlassianOAuthClient:
        monkeypatch.setenv("ATLASSIAN_MAX_WAIT", seconds)
        return atlassian_oauth_client_from_env(**arguments)

    return make


def test_the_environment_may_say_it(
    emulator: AtlassianEmulator, clock: FakeClock, environment: Callable[..., Any]
) -> None:
    """ATLASSIAN_MAX_WAIT in seconds."""
    store = FragileStore()
    client = environment("0.05", clock=clock, store=store)
    client.oauth_complete(emulator.data_center.authorize(client.oauth_start()))
    clock.advance(3600)
    with (
        store.lock(client.token_key.name, timeout=1),
        pytest.raises(TokenStoreError, match=r"0\.05"),
    ):
        client.get_access_token()


@pytest.mark.parametrize("text", ["soon", "0", "-3", "nan"])
def test_what_the_environment_says_wrongly_is_named(
    environment: Callable[..., Any], text: str
) -> None:
    """The text of the error names the variable, or its argument."""
    with pytest.raises(ConfigurationError, match=r"ATLASSIAN_MAX_WAIT|max_wait"):
        environment(text)

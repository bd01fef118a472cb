"""Rights to a store that are taken away, or keys that are changed, while a process runs.

Two clients of one process share a login, each with a store object of its own on the same place.
What one of them has refreshed, the other one gets only as long as its own store shows it.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
import sqlalchemy
from cryptography.fernet import Fernet

from atlassian_auth_adapter import (
    AtlassianOAuthClient,
    EncryptedTokenStore,
    FileTokenStore,
    LoginRequiredError,
    MemoryTokenStore,
    RedisTokenStore,
    SQLTokenStore,
    TokenStore,
    TokenStoreError,
)
from atlassian_auth_adapter.testing import AtlassianEmulator, FakeClock
from atlassian_auth_adapter.testing.emulator import Hold

from .stores import FragileStore


class Place:
    """A place with two stores: the rights of `guest` are taken away, and given back."""

    def __init__(
        self,
        own: TokenStore,
        guest: TokenStore,
        take: Callable[[], object] = lambda: None,
        give: Callable[[], object] | None = None,
    ) -> None:
        self.own, self.guest, self.take, self.give = own, guest, take, give


def in_memory() -> Place:
    """A store that refuses from now on."""
    own = MemoryTokenStore()
    guest = FragileStore(own)
    return Place(own, guest, lambda: guest.fail("load"), guest.recover)


def keys() -> Place:
    """The guest lacks the key with which the owner encrypts from the next save on."""
    inner, old, new = MemoryTokenStore(), Fernet.generate_key(), Fernet.generate_key()
    return Place(EncryptedTokenStore(inner, [new, old]), EncryptedTokenStore(inner, [old]))


@contextmanager
def postgres(url: str, kind: str) -> Iterator[Place]:
    """A role that loses its privileges, or its right to log in."""
    name = f"test_{uuid.uuid4().hex}"
    admin = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    guest = sqlalchemy.create_engine(sqlalchemy.make_url(url).set(username=name, password="secret"))

    def run(*statements: str) -> None:
        with admin.connect() as connection:
            for statement in statements:
                connection.execute(sqlalchemy.text(statement))

    take = {
        "grants": [f"REVOKE ALL ON {name} FROM {name}"],
        "login": [
            f"ALTER ROLE {name} NOLOGIN",
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{name}'",
        ],
    }[kind]
    give = {"grants": f"GRANT ALL ON {name} TO {name}", "login": f"ALTER ROLE {name} LOGIN"}[kind]
    own = SQLTokenStore(admin, table=name)
    own.create_table()
    run(f"CREATE ROLE {name} LOGIN PASSWORD 'secret'", f"GRANT ALL ON {name} TO {name}")
    try:
        guests = SQLTokenStore(guest, table=name)
        yield Place(own, guests, lambda: run(*take), lambda: run(give))
    finally:
        guest.dispose()
        run(f"DROP TABLE {name}", f"DROP ROLE {name}")
        admin.dispose()


@contextmanager
def redis_user(url: str, *lost: str) -> Iterator[Place]:
    """A user of Redis that loses what these rules take."""
    name = f"test_{uuid.uuid4().hex}"
    prefix = f"{name}:"
    with redis.Redis.from_url(url, socket_timeout=5) as own:

        def give() -> None:
            own.execute_command("ACL", "SETUSER", name, "on", ">secret", f"~{prefix}*", "+@all")

        give()
        with redis.Redis.from_url(url, username=name, password="secret", socket_timeout=5) as guest:
            yield Place(
                RedisTokenStore(own, prefix=prefix),
                RedisTokenStore(guest, prefix=prefix),
                lambda: own.execute_command("ACL", "SETUSER", name, *lost),
                give,
            )
        own.execute_command("ACL", "DELUSER", name)
        for key in own.scan_iter(f"{prefix}*"):
            own.delete(key)


@pytest.fixture(params=["memory", "keys", "grants", "login", "keyspace", "commands"])
def place(request: pytest.FixtureRequest, landed: Callable[[], None]) -> Iterator[Place]:
    """Each way to lose the right to read."""
    match request.param:
        case "memory":
            yield in_memory()
        case "keys":
            yield keys()
        case "grants" | "login":
            with postgres(request.getfixturevalue("postgres_url"), request.param) as made:
                yield made
                landed()
        case _:
            lost = {"keyspace": ["resetkeys"], "commands": ["-hgetall"]}[request.param]
            with redis_user(request.getfixturevalue("redis_url"), *lost) as made:
                yield made
                landed()


def refused(client: AtlassianOAuthClient, rejected: str | None = None) -> None:
    """The client gets a TokenStoreError, however it asks, and knows no token."""
    with pytest.raises(TokenStoreError):
        client.token_set(rejected)
    with pytest.raises(TokenStoreError):
        asyncio.run(client.token_set_async(rejected))


def test_who_may_not_read_the_store_any_more_gets_nothing_new(
    place: Place, make_client: Any, clock: FakeClock, emulator: AtlassianEmulator
) -> None:
    """The other client of the process goes on and refreshes; given back the right, both have the
    same token, without another token request.
    """
    guest = make_client(store=place.guest)
    own = make_client(store=place.own, login=False)
    assert own.get_access_token() == guest.get_access_token()
    place.take()
    for _ in range(2):
        clock.advance(3600)
        new = own.token_set()
        assert guest.current() != new
        refused(guest)
        refused(guest, new.access_token)
        assert guest.current() != new
    if place.give:
        place.give()
        assert guest.token_set() == own.token_set()
    assert emulator.count("refresh_token") == emulator.count("refresh_token", "issued") == 2


def test_who_may_not_read_the_store_any_more_gets_nothing_from_a_refresh_under_way(
    place: Place, make_client: Any, emulator: AtlassianEmulator, clock: FakeClock, start: Any
) -> None:
    """It waits for the refresh that the other client has begun, and then looks by itself."""
    guest = make_client(store=place.guest)
    own = make_client(store=place.own, login=False)
    own.get_access_token()
    clock.advance(3600)
    hold = Hold(after=True)
    emulator.faults.next("token", hold)
    first = start(own.token_set)
    hold.wait_arrived()
    second = start(guest.token_set)
    place.take()
    hold.release()
    assert first.result(20)
    with pytest.raises(TokenStoreError):
        second.result(20)
    assert emulator.count("refresh_token") == 1


def test_what_cannot_be_saved_is_not_handed_to_who_may_not_read(
    make_client: Any, clock: FakeClock, landed: Callable[[], None]
) -> None:
    """It is in memory only: another client gets it as long as its own store shows that login."""
    memory = MemoryTokenStore()
    failing, reading = FragileStore(memory), FragileStore(memory)
    own = make_client(store=failing)
    guest = make_client(store=reading, login=False)
    assert guest.get_access_token() == own.get_access_token()
    clock.advance(3600)
    failing.fail("answer")
    reading.fail("load")
    new = own.token_set()
    refused(guest)
    reading.recover()
    assert guest.token_set() == new
    failing.recover()
    landed()


def test_a_user_that_may_only_read_has_what_others_save(
    redis_url: str, make_client: Any, clock: FakeClock, emulator: AtlassianEmulator
) -> None:
    """It works until the token ends, spends nothing, and goes on when another one has refreshed."""
    with redis_user(redis_url, "-@all", "+eval", "+hgetall", "+client", "+hello") as place:
        own = make_client(store=place.own)
        guest = make_client(store=place.guest, login=False)
        place.take()
        for _ in range(2):
            assert guest.get_access_token() == own.get_access_token()
            clock.advance(3600)
            refused(guest)
            assert own.get_access_token()
        assert emulator.count("refresh_token") == 2


def test_each_store_is_asked_once_after_a_refresh(
    make_client: Any, tmp_path: Any, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients with store objects of their own look once, those with the same object not at all."""
    path = tmp_path / "tokens"
    first, second = FileTokenStore(path), FileTokenStore(path)
    stores = [first, first, second, second]
    clients = [make_client(store=store, login=number == 0) for number, store in enumerate(stores)]
    for client in clients:
        client.get_access_token()
    clock.advance(3600)
    new, looks = clients[0].token_set(), []
    load = FileTokenStore.load
    monkeypatch.setattr(
        FileTokenStore, "load", lambda store, name: looks.append(store) or load(store, name)
    )
    for _ in range(3):
        assert [client.token_set() for client in clients] == [new] * 4
    assert looks == [second, second]


def test_a_login_that_was_deleted_and_made_anew_is_the_one_that_counts(
    make_client: Any, another_process: Any, clock: FakeClock, emulator: AtlassianEmulator
) -> None:
    """Another program deletes the entry; a person signs in again under the same name. No client of
    this process goes on with the login that was deleted, once its token set has ended.
    """
    memory = MemoryTokenStore()
    clients = [make_client(store=FragileStore(memory), login=number == 0) for number in range(2)]
    for client in clients:
        client.get_access_token()
    memory.delete(clients[0].token_key.name)
    clock.advance(3600)
    for client in clients:
        with pytest.raises(LoginRequiredError) as caught:
            client.get_access_token()
        assert caught.value.reason == "no_token"
    other = another_process(store=FragileStore(memory))
    other.oauth_complete(emulator.cloud.authorize(other.oauth_start()))
    for client in clients:
        assert client.get_access_token() == other.get_access_token()
    assert emulator.count("refresh_token") == 0

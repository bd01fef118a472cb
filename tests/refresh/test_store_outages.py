"""A store that cannot be reached for a moment, or breaks: real disks, real servers.

When it breaks after the server has rotated, the new token serves from memory, the save is tried
again until it works, the event and TokenNotSavedError say so, and there is no second token request.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
import sqlalchemy

from atlassian_auth_adapter import (
    Event,
    FileTokenStore,
    RedisTokenStore,
    SQLTokenStore,
    TokenNotSavedError,
    TokenStore,
    TokenStoreUnavailableError,
)
from atlassian_auth_adapter.testing import AtlassianEmulator, FakeClock
from atlassian_auth_adapter.testing.emulator import Hold

from .stores import FragileStore


@dataclass
class World:
    """A store, another object on its place as a later process has it, and a way to break it."""

    store: TokenStore
    reopened: TokenStore
    broken: Callable[[], AbstractContextManager[object]]


@contextmanager
def permission_lost(directory: Path) -> Iterator[None]:
    """The directory is opened to others, and the store refuses to use it."""
    directory.chmod(0o755)
    try:
        yield
    finally:
        directory.chmod(0o700)


@contextmanager
def disk_full(directory: Path) -> Iterator[None]:
    """The file system has no block left."""
    filler = directory.parent / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def read_only(directory: Path) -> Iterator[None]:
    """The directory is on a file system that may only be read, as after an error of the disk."""
    subprocess.run(["mount", "--bind", directory, directory], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", directory], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, 256 KiB large."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("mounting a small file system needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs", disk]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted on this machine")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.fixture(
    params=[
        "permission",
        "full",
        "read-only",
        "redis",
        "postgres",
        pytest.param("mariadb", marks=pytest.mark.slow),
    ]
)
def world(
    request: pytest.FixtureRequest, tmp_path: Path, landed: Callable[[], None]
) -> Iterator[World]:
    """Each way in which a store can break."""
    match request.param:
        case "permission":
            yield files(tmp_path / "logins", permission_lost)
        case "full" | "read-only" as kind:
            disk = request.getfixturevalue("small_disk")
            yield files(disk / "logins", disk_full if kind == "full" else read_only)
        case "redis":
            url = request.getfixturevalue("redis_url")
            relay, there = request.getfixturevalue("relay")(url)
            prefix = f"test:{uuid.uuid4().hex}:"

            def store(url: str) -> RedisTokenStore:
                client = redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5)
                return RedisTokenStore(client, prefix=prefix, lease=2)

            yield World(store(there), store(url), relay.outage)
            landed()
            with redis.Redis.from_url(url, socket_timeout=5) as client:
                for key in client.scan_iter(f"{prefix}*"):
                    client.delete(key)
        case _:
            mariadb = request.param == "mariadb"
            url = request.getfixturevalue("mysql_url" if mariadb else "postgres_url")
            relay, there = request.getfixturevalue("relay")(url)
            engines = [sqlalchemy.create_engine(place) for place in (there, url)]
            name = f"test_{uuid.uuid4().hex}"
            stores = [SQLTokenStore(engine, table=name, lease=2) for engine in engines]
            stores[1].create_table()
            # SQLAlchemy does not close a connection whose very first queries fail.
            engines[0].connect().close()
            yield World(stores[0], stores[1], relay.outage)
            landed()  # no flight uses a connection any more
            with engines[1].begin() as connection:
                connection.execute(sqlalchemy.text(f"DROP TABLE {name}"))
            for engine in engines:
                engine.dispose()


def files(directory: Path, broken: Callable[[Path], AbstractContextManager[object]]) -> World:
    """A FileTokenStore with a directory that breaks."""
    store = FileTokenStore(directory)
    return World(store, FileTokenStore(directory), lambda: broken(directory))


def test_a_store_that_breaks_in_mid_refresh_loses_nothing(
    world: World,
    emulator: AtlassianEmulator,
    clock: FakeClock,
    make_client: Any,
    another_process: Any,
    events: Any,
    landed: Callable[[], None],
) -> None:
    """See the module's docstring; afterwards another process finds the new token in the store."""
    # Its sleeps end when the test says so: else it would try to save thousands of times.
    own = FakeClock(clock.time(), skip_sleeps=False)
    told: Future[str] = Future()

    def hear(event: Event) -> None:
        events(event)
        if "not saved" in str(event.fields.get("error")):
            told.set_result(event.name)

    client = make_client(store=world.store, clock=own, on_event=hear)

    def advance(seconds: float) -> None:
        clock.advance(seconds)
        own.advance(seconds)

    def done(future: Future[Any]) -> Any:
        """The result, with the time passing that it waits for."""
        while wait([future], 0.05).not_done:
            advance(1)
        return future.result()

    advance(3600)
    hold = Hold(after=True)
    emulator.faults.next("token", hold)
    with ThreadPoolExecutor(1) as pool, ExitStack() as stack:
        stack.callback(hold.release)
        waiting = pool.submit(client.get_access_token)
        hold.wait_arrived()
        with world.broken():
            hold.release()
            token = done(waiting)
            for _ in range(3):
                client.test_connection()
            assert client.get_access_token() == token
            with pytest.raises(TokenNotSavedError) as raised:
                done(pool.submit(client.refresh))
            assert raised.value.token_set.access_token == token
            assert emulator.count("refresh_token") == 1
            assert done(told) == "store_failed"
        assert not any(secret in str(events) for secret in emulator.secrets)
        done(pool.submit(landed))
    later = another_process(store=world.reopened, clock=own)
    assert later.get_access_token() == token
    assert emulator.count("refresh_token") == 1
    advance(3600)
    later.test_connection()
    assert emulator.count("refresh_token", "issued") == emulator.count("refresh_token") == 2


def test_a_store_that_is_broken_before_costs_no_refresh_token(
    world: World, emulator: AtlassianEmulator, expired_client: Any
) -> None:
    """A token that could not be saved is not asked for; when the store works again, requests do."""
    client = expired_client(store=world.store)
    with world.broken(), pytest.raises(Exception, match=r".") as raised:
        client.get_access_token()
    assert type(raised.value).__name__.startswith("TokenStore")
    assert emulator.count("refresh_token") == 0
    client.test_connection()
    assert emulator.count("refresh_token") == 1


# --- a store that is away for a moment ------------------------------------------------------------


@pytest.mark.parametrize("operation", ["lock", "load", "save"])
def test_a_restart_of_the_store_fails_no_request(
    emulator: AtlassianEmulator,
    operation: str,
    events: Any,
    landed: Callable[[], None],
    expired_client: Any,
) -> None:
    """While nothing is spent, a flight waits some seconds for the store to come back."""
    store = FragileStore()
    client = expired_client(store=store, on_event=events)
    error = TokenStoreUnavailableError("the server is restarted by the test")
    failed = store.fail(operation, error=error, times=10)
    client.test_connection()
    assert len(failed) == 10
    assert emulator.count("refresh_token") == 1
    landed()
    assert events.names == ["refreshed"]


def test_a_store_that_stays_away_is_told_and_nothing_is_spent(
    emulator: AtlassianEmulator,
    clock: FakeClock,
    events: Any,
    landed: Callable[[], None],
    expired_client: Any,
) -> None:
    """After about ten seconds the callers learn that the store cannot be reached."""
    store = FragileStore()
    client = expired_client(store=store, on_event=events)
    store.fail("lock", error=TokenStoreUnavailableError("away"))
    with pytest.raises(TokenStoreUnavailableError, match="away"):
        client.get_access_token()
    landed()
    assert events.names == ["store_failed"]
    assert 9 <= sum(clock.slept) <= 11
    assert emulator.count("refresh_token") == 0
    store.recover()
    client.test_connection()

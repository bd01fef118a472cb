"""Stores with very many accounts in them, and what a call costs there.

Filling counts nothing. Where it would take long, one entry is saved by the store itself and its
stored form copied with other names and tokens in it; the store then loads some copies to prove that
they are what it writes. Servers are those of the tests: at their usual ports on this host, or at
TEST_REDIS_URL, TEST_POSTGRES_URL and TEST_MYSQL_URL. What was made is removed.

Two stores are left out. ContextTokenStore writes its whole dictionary with each save, and most
keyrings their whole file: both are for a handful of logins.
"""

from __future__ import annotations

import os
import random
import secrets
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import redis
import sqlalchemy as sa
from cryptography.fernet import Fernet

from atlassian_auth_adapter import (
    EncryptedTokenStore,
    FileTokenStore,
    MemoryTokenStore,
    RedisTokenStore,
    SQLTokenStore,
    TokenSet,
    TokenStore,
)
from atlassian_auth_adapter.records import Login, TokenKey, write
from atlassian_auth_adapter.stores.base import Entry

BATCHES, CALLS = 40, 10
#: Seconds after which a measurement ends with fewer batches.
LONGEST = 1.0
#: Characters. Atlassian Cloud's access tokens have some 2,000, its refresh tokens some 1,500.
TOKEN = 2000

Fill = Callable[[ExitStack, int], TokenStore]
Call = Callable[[TokenStore, str, str, int], None]


def key_of(number: int) -> TokenKey:
    """An account."""
    return TokenKey("https://auth.atlassian.com", "client", f"account-{number:06}")


def tokens_of(number: int) -> TokenSet:
    """Its tokens, as long as real ones."""
    token = f"token-{number:06}".ljust(TOKEN, "x")
    return TokenSet(token, token[::-1], 1764003600.5, "read:jira-work", "Bearer", 1764000000.5)


def name_of(number: int) -> str:
    """The name of its entry."""
    return key_of(number).name


def text_of(number: int) -> str:
    """Its login, as stores keep it."""
    return write(key_of(number), Login(1, "login", tokens_of(number)))


def renamed(text: str, number: int) -> str:
    """The stored form of account 0, as that of another account."""
    first, other = tokens_of(0), tokens_of(number)
    for old, new in (
        (name_of(0), name_of(number)),
        (key_of(0).account, key_of(number).account),
        (first.access_token, other.access_token),
        (first.refresh_token, other.refresh_token),
    ):
        text = text.replace(old, new)
    return text


def saved(store: TokenStore, count: int) -> TokenStore:
    """The store with so many accounts, saved by itself."""
    for number in range(count):
        store.save(name_of(number), text_of(number), expected=None)
    return store


def begun(store: TokenStore) -> None:
    """Account 0 is in the store, and was locked once."""
    saved(store, 1)
    with store.lock(name_of(0), timeout=0):
        pass


def memory(_: ExitStack, count: int) -> TokenStore:
    """MemoryTokenStore; filled by itself."""
    return saved(MemoryTokenStore(), count)


def encrypted(_: ExitStack, count: int) -> TokenStore:
    """EncryptedTokenStore over MemoryTokenStore; filled by itself."""
    return saved(EncryptedTokenStore(MemoryTokenStore(), Fernet.generate_key()), count)


def file(stack: ExitStack, count: int) -> TokenStore:
    """FileTokenStore in the directory for temporary files; filled by copies of its files."""
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    store = FileTokenStore(directory)
    begun(store)
    originals = [(path.name, path.read_text()) for path in directory.iterdir()]
    for number in range(1, count):
        for name, text in originals:
            path = directory / renamed(name, number)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as copy:
                copy.write(renamed(text, number))
    return store


def in_redis(stack: ExitStack, count: int) -> TokenStore:
    """RedisTokenStore; filled by copies of its hash."""
    url = os.environ.get("TEST_REDIS_URL") or "redis://127.0.0.1:6379/0"
    client = stack.enter_context(redis.Redis.from_url(url, socket_timeout=10))
    client.ping()
    prefix = f"benchmark-{secrets.token_hex(8)}:"
    store = RedisTokenStore(client, prefix=prefix)

    def empty() -> None:
        names = list(client.scan_iter(f"{prefix}*", 10_000))
        for start in range(0, len(names), 1000):
            client.delete(*names[start : start + 1000])

    begun(store)
    stack.callback(empty)
    (name,) = client.scan_iter(f"{prefix}*", 10_000)
    original = client.hgetall(name)
    for start in range(1, count, 1000):
        with client.pipeline(transaction=False) as pipeline:
            for number in range(start, min(start + 1000, count)):
                copied = partial(renamed, number=number)
                values: dict[Any, Any] = {
                    field: copied(value.decode()) for field, value in original.items()
                }
                pipeline.hset(copied(name.decode()), mapping=values)
            pipeline.execute()
    return store


def in_sql(url: str, stack: ExitStack, count: int) -> TokenStore:
    """SQLTokenStore; filled by copies of its row."""
    if not url:
        path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "logins.sqlite"
        url = f"sqlite:///{path}"
    engine = sa.create_engine(url)
    stack.callback(engine.dispose)
    engine.connect().close()
    name = f"benchmark_{secrets.token_hex(8)}"
    store = SQLTokenStore(engine, table=name)
    store.create_table()
    table = sa.Table(name, sa.MetaData(), autoload_with=engine)
    stack.callback(table.drop, engine)
    begun(store)
    with engine.begin() as connection:
        (original,) = connection.execute(sa.select(table)).mappings()
        for start in range(1, count, 1000):
            rows = [
                {
                    column: renamed(value, number) if isinstance(value, str) else value
                    for column, value in original.items()
                }
                for number in range(start, min(start + 1000, count))
            ]
            connection.execute(table.insert(), rows)
    return store


PLACES: dict[str, Fill] = {
    "Memory": memory,
    "Encrypted over Memory": encrypted,
    "File": file,
    "SQLite": partial(in_sql, ""),
    "PostgreSQL": partial(
        in_sql,
        (
            os.environ.get("TEST_POSTGRES_URL") or "postgresql://postgres@127.0.0.1:5432/test"
        ).replace("postgresql://", "postgresql+psycopg://"),
    ),
    "MariaDB": partial(
        in_sql,
        (os.environ.get("TEST_MYSQL_URL") or "mysql://root@127.0.0.1:3306/test").replace(
            "mysql://", "mysql+pymysql://"
        ),
    ),
    "Redis": in_redis,
}


def load(store: TokenStore, name: str, _text: str, _version: int) -> None:
    """Look an account up."""
    store.load(name)


def save(store: TokenStore, name: str, text: str, version: int) -> None:
    """Replace its text by an equal one."""
    store.save(name, text, expected=version)


def lock(store: TokenStore, name: str, _text: str, _version: int) -> None:
    """Lock it and release it."""
    with store.lock(name, timeout=10):
        pass


def measured(call: Call, store: TokenStore, count: int, batches: int) -> float:
    """Median microseconds per call, each on an account at random."""
    times, saves = [], Counter[int]()
    end = time.monotonic() + LONGEST
    for batch in range(batches):
        if batch and time.monotonic() > end:
            break
        numbers = random.choices(range(count), k=CALLS)
        accounts = []
        for number in numbers:
            accounts.append((name_of(number), text_of(number), 1 + saves[number]))
            saves[number] += call is save
        began = time.perf_counter()
        for name, text, version in accounts:
            call(store, name, text, version)
        times.append((time.perf_counter() - began) / CALLS * 1e6)
    return statistics.median(times)


def measured_all(name: str, count: int, batches: int) -> dict[str, float]:
    """Microseconds of each kind of call on a store with so many accounts.

    Raises:
        redis.ConnectionError, sqlalchemy.exc.OperationalError: No server answers.
    """
    with ExitStack() as stack:
        store = PLACES[name](stack, count)
        for number in {0, min(1, count - 1), count // 2, count - 1}:
            assert store.load(name_of(number)) == Entry(text_of(number), 1)
        calls = {"load": load, "lock": lock, "save": save}
        return {title: measured(call, store, count, batches) for title, call in calls.items()}

"""A pickle of a client, an auth object or a store holds no password, nor does what `vars` shows."""

from __future__ import annotations

import copy
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
import sqlalchemy as sa
from cryptography.fernet import Fernet

from atlassian_auth_adapter import (
    AtlassianAuth,
    AtlassianHTTPXAuth,
    AtlassianServiceAccountClient,
    ConfigurationError,
    ContextTokenStore,
    EncryptedTokenStore,
    FileTokenStore,
    MemoryTokenStore,
    RedisTokenStore,
    SQLTokenStore,
    create_atlassian_oauth_client,
)

PASSWORD = "pa55-w0rd-s3cr3t"
PROXY = f"http://user:{PASSWORD}@proxy.example.com:8080"
KEY = Fernet.generate_key().decode()
URL = "https://jira.example.com"


def company_proxy() -> str:
    """A function of a module, whose pickle is its name."""
    return PROXY


def broken_proxy() -> str:
    """One that fails, and says too much."""
    raise RuntimeError(PROXY)


PROXIES: dict[str, Any] = {
    "a URL": PROXY,
    "without a scheme": PROXY.removeprefix("http://"),
    "of one scheme": {"https": PROXY},
    "of several": {"http": "http://proxy.example.com", "all": PROXY},
    "a function": company_proxy,
    "a partial": partial(str, PROXY),
}
each_proxy = pytest.mark.parametrize("proxy", PROXIES.values(), ids=PROXIES)
each_client = pytest.mark.parametrize(
    "make", [create_atlassian_oauth_client, AtlassianServiceAccountClient]
)


def made(make: Any, proxy: Any) -> Any:
    """A client with that proxy."""
    return make("id", "s3cr3t-of-the-app", server_url=URL, proxy=proxy)


@each_client
@each_proxy
def test_the_password_of_a_proxy_is_in_no_pickle(make: Any, proxy: Any) -> None:
    """Of the client, of auth objects, of the transport; nor do reprs and `vars` show it."""
    client = made(make, proxy)
    for thing in (client, AtlassianAuth(client), AtlassianHTTPXAuth(client), client.transport):
        assert b"s3cr3t" not in pickle.dumps(thing)
        for shown in (repr(thing), str(thing), repr(getattr(thing, "__dict__", ""))):
            assert "s3cr3t" not in shown
        assert copy.copy(thing) is copy.deepcopy(thing) is thing
    inside = [each for each in vars(client).values() if hasattr(each, "__dict__")]
    assert not [each for each in inside if "s3cr3t" in repr(vars(each))]


@each_client
@each_proxy
def test_the_client_itself_still_has_its_proxy(make: Any, proxy: Any) -> None:
    """Hidden, not lost: requests of this process go through it."""
    client = made(make, proxy)
    assert client.proxy == proxy or isinstance(proxy, partial)
    assert PROXY.partition("//")[2] in str(client.transport.proxies.get("https") or "") or (
        PROXY in client.transport.proxies.values()
    )
    assert client.transport.proxy_for(URL).startswith("http://proxy.example.com")


@pytest.mark.parametrize("proxy", [None, True, False, "http://proxy.example.com:8080", {}])
def test_a_proxy_without_a_password_stays_in_the_pickle(proxy: Any) -> None:
    """It works in the other process as it did here."""
    transport = made(create_atlassian_oauth_client, proxy).transport
    assert pickle.loads(pickle.dumps(transport)) == transport


SCRIPT = """
import pickle, sys
from atlassian_auth_adapter import AtlassianAuthError
client, auth = pickle.load(sys.stdin.buffer)
assert auth.source is client
try:
    print(client.transport.proxies["https"])
except AtlassianAuthError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        (PROXY, ["ConfigurationError", "unpickled", "module-level function"]),
        ({"https": PROXY}, ["ConfigurationError", "module-level function"]),
        ("http://proxy.example.com:8080", ["http://proxy.example.com:8080"]),
        (socket.getfqdn, [socket.getfqdn()]),
    ],
)
def test_another_process_is_told_what_is_missing(
    proxy: Any, words: list[str], tmp_path: Path
) -> None:
    """Where the pickle has no proxy, a request says what to give instead; a function is called."""
    store = FileTokenStore(tmp_path / "logins")
    client = create_atlassian_oauth_client("id", "s", server_url=URL, proxy=proxy, store=store)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=pickle.dumps((client, AtlassianAuth(client))),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert all(word in done.stdout.decode() for word in words)


@pytest.mark.parametrize(
    "function",
    [broken_proxy, lambda: f"http://{PASSWORD}:{PASSWORD}", lambda: 7, lambda: company_proxy],
)
def test_a_function_that_gives_no_proxy_is_told(function: Callable[[], Any]) -> None:
    """Before anything is sent, without what it has returned or raised."""
    transport = made(create_atlassian_oauth_client, function).transport
    with pytest.raises(ConfigurationError, match=r"proxy\(\)") as caught:
        transport.send("GET", URL)
    error = caught.value
    assert "s3cr3t" not in f"{error} {error.__cause__!r} {error.__context__!r}"


def connect() -> redis.Redis:
    """A client that is never used."""
    return redis.Redis.from_url(f"redis://:{PASSWORD}@127.0.0.1:1/0", socket_timeout=5)


def database() -> sa.Engine:
    """An engine that is never used."""
    return sa.create_engine(f"postgresql+psycopg://user:{PASSWORD}@127.0.0.1:1/x")


def keys() -> str:
    """Those of a store."""
    return KEY


def get_context() -> dict[str, Any]:
    """A context with a login."""
    return {"token": PASSWORD, "refresh_token": PASSWORD}


@pytest.mark.parametrize(
    "make",
    [
        lambda: RedisTokenStore(connect()),
        lambda: RedisTokenStore(connect),
        lambda: RedisTokenStore(
            partial(redis.Redis.from_url, f"redis://:{PASSWORD}@127.0.0.1:1", socket_timeout=5)
        ),
        lambda: RedisTokenStore(redis.Redis(password=PASSWORD, socket_timeout=5)),
        lambda: SQLTokenStore(database()),
        lambda: SQLTokenStore(database),
        lambda: SQLTokenStore(
            partial(sa.create_engine, f"mysql+pymysql://user:{PASSWORD}@127.0.0.1/x")
        ),
        lambda: EncryptedTokenStore(MemoryTokenStore(), KEY),
        lambda: EncryptedTokenStore(MemoryTokenStore(), [KEY, KEY.encode()]),
        lambda: EncryptedTokenStore(MemoryTokenStore(), keys),
        lambda: EncryptedTokenStore(MemoryTokenStore(), partial(str, KEY)),
        lambda: EncryptedTokenStore(RedisTokenStore(connect()), KEY),
        lambda: ContextTokenStore(get_context, print),
    ],
)
def test_no_password_or_key_of_a_store_is_shown(make: Callable[[], Any]) -> None:
    """Not in its pickle, its repr, its copies or `vars` of it and of what is in it."""
    store = make()
    shown = [repr(store), repr(pickle.dumps(store)), repr(vars(store))]
    shown += [repr(vars(each)) for each in vars(store).values() if hasattr(each, "prefix")]
    assert not [text for text in shown if PASSWORD in text or KEY in text]
    assert copy.deepcopy(store) is store

"""RedisTokenStore: one hash per entry in a Redis, shared by hosts.

    <prefix>{fb4c16e78550eae9a58551103306e889}       version 3, text <what was saved>, save <random>
    <prefix>{fb4c16e78550eae9a58551103306e889}:lock  <random>, with an end: the lease

Each action on an entry or a lease is one script, which Redis runs as one step, on the primary and
past any client-side cache. A client may send a command again when the answer was lost. So running a
script twice has the same effect as once: it finds the random number of its own save or lease.
"""

from __future__ import annotations

import inspect
import os
import re
import secrets
import sys
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, TypeAlias

from atlassian_auth_adapter.errors import (
    ConfigurationError,
    TokenStoreError,
    TokenStoreUnavailableError,
    optional_import,
    raise_clean,
    without_frames,
)
from atlassian_auth_adapter.hosts import is_loopback
from atlassian_auth_adapter.pickling import PickledByReference, is_named
from atlassian_auth_adapter.secret_text import SecretBytes, hidden
from atlassian_auth_adapter.stores.base import (
    KEPT,
    Entry,
    InsecureStoreWarning,
    StoreOfOtherProcess,
    check_version,
    checked_name,
)
from atlassian_auth_adapter.stores.leases import LEASE, checked_lease, held

with optional_import("redis", "redis"):
    import redis
    from redis.client import NEVER_DECODE, Pipeline
    from redis.cluster import ClusterPipeline
    from redis.connection import SSLConnection
    from redis.exceptions import RedisClusterException, RedisError
    from redis.sentinel import SentinelConnectionPool

__all__ = ["RedisTokenStore"]

Client: TypeAlias = redis.Redis | redis.RedisCluster

_LOAD = b"return redis.call('HGETALL', KEYS[1])"

# Returns 1, or what is stored and was not replaced: another version, or something damaged. Versions
# are compared as text: Lua's numbers are exact up to 2**53 only.
_SAVE = rb"""
local expected, version, text, save = unpack(ARGV)
if redis.call('HGET', KEYS[1], 'save') == save then
    return 1
end
local is_there = redis.call('EXISTS', KEYS[1]) == 1
local stored = redis.call('HGET', KEYS[1], 'text')
if is_there ~= (expected ~= '') or is_there and (
    redis.call('HGET', KEYS[1], 'version') ~= expected
    or not stored or stored:find('[\128-\255]')
) then
    return redis.call('HGETALL', KEYS[1])
end
redis.call('HSET', KEYS[1], 'version', version, 'text', text, 'save', save)
return 1
"""

_DELETE = b"return redis.call('DEL', KEYS[1])"

_TAKE = b"""
local owner, milliseconds = unpack(ARGV)
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= owner then
    return 0
end
redis.call('SET', KEYS[1], owner, 'PX', milliseconds)
return 1
"""

_RENEW = b"""
local owner, milliseconds = unpack(ARGV)
if redis.call('GET', KEYS[1]) ~= owner then
    return 0
end
return redis.call('PEXPIRE', KEYS[1], milliseconds)
"""

_RELEASE = b"""
if redis.call('GET', KEYS[1]) == ARGV[1] then
    redis.call('DEL', KEYS[1])
end
return 1
"""

#: What this store writes as a version.
_VERSION = re.compile(rb"[1-9][0-9]{0,18}")

#: What to do, by the name of an error's class or by a code in its text; the first row counts.
_ADVICE = {
    ("ReadOnlyError", "READONLY"): (
        "It is a replica: give a client of the primary; with Sentinel, that of master_for()."
    ),
    ("NoPermissionError", "NOPERM"): (
        "Permit eval and the commands that it calls on these keys (ACL SETUSER)."
    ),
    (
        *("AuthenticationError", "AuthenticationWrongNumberOfArgsError", "AuthorizationError"),
        *("ExternalAuthProviderError", "NOAUTH", "WRONGPASS"),
    ): "Give the client the server's username and password.",
    ("OutOfMemoryError", "OOM"): "It has reached its maxmemory: raise it, or free some.",
    ("MISCONF",): "It cannot write to its disk, so it accepts no writes: look at its log.",
    ("WRONGTYPE",): (
        "Another program uses that name; its value was kept: give the store another prefix."
    ),
    ("MovedError", "AskError", "MOVED", "ASK"): "It is part of a cluster: give a RedisCluster.",
    ("NOREPLICAS",): "It has fewer replicas than it needs for a write: look at them.",
}

#: The same for errors that pass by themselves.
_PASSING = {
    ("BusyLoadingError", "LOADING"): "It is starting and reads its data: try again soon.",
    ("ClusterError", "RedisClusterException", "TryAgainError", "CLUSTERDOWN", "MASTERDOWN"): (
        "Part of the cluster is down or moving: look at CLUSTER INFO, try again soon."
    ),
    ("MasterNotFoundError",): "Sentinel knows no primary of that name: look at SENTINEL MASTERS.",
    ("MaxConnectionsError",): "The client's connections are all in use: raise max_connections.",
    ("TimeoutError",): "It does not answer in time: look at the server and the network.",
    ("ConnectionError", "OSError"): "Look whether it is running, and at the network.",
}


class RedisTokenStore(PickledByReference):
    """Keeps each entry in a hash of its own; threads, processes and hosts may share it.

        RedisTokenStore(redis.Redis(host="redis.example.com", socket_timeout=5))

    A login is as durable as the Redis: configure it to persist (`appendonly yes`) and to evict
    nothing (`maxmemory-policy noeviction`). All methods block on the network, as long as the
    client's timeouts and retries allow. A Redis on another host that is reached without TLS or
    without a password is told by an `InsecureStoreWarning`.

    A copy is the store itself. If `redis_client` is a function of a module, a pickle holds its name
    and works in every process. Otherwise it works in this process and its forked children only; in
    any other process every method raises TokenStoreError.

    Args:
        redis_client: A synchronous `redis.Redis` or `redis.RedisCluster` (from Sentinel: that of
            `master_for`) with a `socket_timeout`. Or a function without arguments that returns one;
            it is called once per process, also in a forked child.
        prefix: Text with which the names of all keys begin.
        lease: Seconds after which the lock of a killed process is free; longer than a token
            request takes.

    Raises:
        ConfigurationError: One of the arguments is something else, or the client could hang for
            ever; the text says what to give.
        TokenStoreError: The function could not reach what it connects to.
    """

    def __init__(
        self,
        redis_client: Client | Callable[[], Client],
        *,
        prefix: str = "atlassian_auth_adapter:",
        lease: float = LEASE,
    ) -> None:
        try:
            prefix.encode()
        except (AttributeError, UnicodeError):
            raise_clean(ConfigurationError("prefix must be text that UTF-8 can encode."))
        self._prefix, self._lease = prefix, checked_lease(lease)
        redis_client = hidden(redis_client)  # a partial may hold a password
        self._function: Callable[[], Client] | None = None
        if _is_client(redis_client) or not callable(redis_client):
            self._client = _checked(redis_client)
        else:
            self._function, self._client = redis_client, _made(redis_client)
        self._process = os.getpid()
        self._place = _place(self._client)
        if dangers := _dangers(self._client):
            warnings.warn(
                f"the Redis at {self._place} is on another host, and the client has "
                f"{' and '.join(dangers)}: the network can read the tokens. Connect with "
                "rediss:// and a password, or use EncryptedTokenStore.",
                InsecureStoreWarning,
                stacklevel=2,
            )

    @without_frames
    def load(self, name: str) -> Entry | None:
        """As `TokenStore.load`. Takes no lock."""
        key = self._redis_key(name)
        return _entry(self._run("load", key, _LOAD), f"{key} in {self._place}")

    @without_frames
    def save(self, name: str, text: str, *, expected: int | None) -> None:
        """As `TokenStore.save`. Needs no lock.

        Raises:
            TokenStoreUnavailableError: Redis cannot be reached just now. The previous entry still
                stands, unless only the answer was lost.
        """
        key, text = self._redis_key(name), hidden(text)
        before, after = "" if expected is None else expected, (expected or 0) + 1
        stored = self._run("save", key, _SAVE, before, after, text, secrets.token_hex(8))
        if stored != 1:
            where = f"{key} in {self._place}"
            check_version(_entry(stored, where), expected, where)

    @without_frames
    def delete(self, name: str) -> None:
        """As `TokenStore.delete`."""
        self._run("delete", self._redis_key(name), _DELETE)

    def lock(self, name: str, *, timeout: float) -> AbstractContextManager[None]:
        """As `TokenStore.lock`, among all that share the Redis: a lease, see `leases.py`."""
        key, place = f"{self._redis_key(name)}:lock", self._place
        return held(_Leases(self._run), key, lease=self._lease, timeout=timeout, place=place)

    def _redis_key(self, name: str) -> str:
        # In a cluster, the text in braces selects the node: entry and lease are on the same one.
        return f"{self._prefix}{{{checked_name(name)}}}"

    def _run(self, verb: str, key: str, script: bytes, *arguments: str | int) -> Any:
        client: Any = self._connected()
        outer = sys.exception()
        try:
            # EVAL, not EVALSHA: the scripts are small, and a restarted Redis has forgotten them.
            # Undecoded, since a client that decodes may fail on a damaged entry.
            encoded = [SecretBytes(str(argument).encode()) for argument in (key, *arguments)]
            options = {NEVER_DECODE: True}
            return hidden(client.execute_command("EVAL", script, 1, *encoded, **options))
        except Exception as error:  # noqa: BLE001 - the client's, and its password provider's
            raise_clean(_failure(f"cannot {verb} {key} in {self._place}", error, outer))

    def _connected(self) -> Client:
        """The client of this process."""
        if self._function and self._process != os.getpid():
            self._client = _made(self._function)
            self._process = os.getpid()
        return self._client

    def __repr__(self) -> str:
        return f"RedisTokenStore(<{self._place}>, prefix={self._prefix!r})"

    def _reduce_for_other_process(self) -> tuple[Any, ...]:
        if self._function and is_named(self._function):
            options: dict[str, Any] = {"prefix": self._prefix, "lease": self._lease}
            return (partial(RedisTokenStore, self._function, **options),)
        reason = (
            f"this RedisTokenStore ({self._place}) was unpickled in another process, and a pickle "
            "holds no client. Make the store from a function of a module that returns the client: "
            "RedisTokenStore(connect)."
        )
        return StoreOfOtherProcess, repr(self), reason


class _Leases:
    """The LeaseKeeper of the store."""

    def __init__(self, run: Callable[..., Any]) -> None:
        self._run = run

    def take(self, name: str, owner: str, seconds: float) -> bool:
        return bool(self._run("take", name, _TAKE, owner, _milliseconds(seconds)))

    def renew(self, name: str, owner: str, seconds: float) -> bool:
        return bool(self._run("renew", name, _RENEW, owner, _milliseconds(seconds)))

    def release(self, name: str, owner: str) -> None:
        self._run("release", name, _RELEASE, owner)


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _is_client(given: object) -> bool:
    return isinstance(given, redis.Redis | redis.RedisCluster) and not isinstance(
        given, Pipeline | ClusterPipeline
    )


def _made(function: Callable[[], Client]) -> Client:
    try:
        inspect.signature(function).bind()
    except TypeError:
        raise_clean(
            ConfigurationError("redis_client: that function must be one without arguments.")
        )
    outer = sys.exception()
    try:
        return _checked(function())
    except (RedisError, RedisClusterException) as error:  # a RedisCluster connects at once
        raise_clean(_failure("the function that makes the Redis client failed", error, outer))


def _checked(client: Any) -> Client:
    """The client, if the store can use it; otherwise raises ConfigurationError."""
    if not _is_client(client):
        raise ConfigurationError(
            "RedisTokenStore takes a synchronous redis.Redis or redis.RedisCluster, or a function "
            f"without arguments that returns one, not {type(client).__module__}."
            f"{type(client).__qualname__}."
        )
    for one in _connecting(client):
        if getattr(one, "connection", None):
            raise ConfigurationError(
                "a client with single_connection_client=True shares its connection with forked "
                "children, which then read each other's answers. Leave that argument out."
            )
        if getattr(_connection(one), "socket_timeout", None) is None:
            raise ConfigurationError(
                "a client without a timeout waits for ever when the network is cut. Make it with "
                "socket_timeout=5 (seconds)."
            )
    pool = getattr(client, "connection_pool", None)
    if isinstance(pool, SentinelConnectionPool) and not pool.is_master:
        raise ConfigurationError("Sentinel's slave_for() cannot write: give that of master_for().")
    return client  # type: ignore[no-any-return]


def _connecting(client: Any) -> list[Any]:
    """The plain clients that connect for a client."""
    if isinstance(client, redis.RedisCluster):
        node = client.get_default_node()  # type: ignore[no-untyped-call]
        return [client.get_redis_connection(node)]
    if isinstance(client.connection_pool, SentinelConnectionPool):
        return [client, *client.connection_pool.sentinel_manager.sentinels]
    return [client]


def _connection(client: Any) -> Any:
    """A connection of the kind that the client makes, with every default; not connected."""
    pool = client.connection_pool
    return pool.connection_class(**pool.connection_kwargs)


def _dangers(client: Any) -> list[str]:
    """What the client lacks to protect what it sends to another host; sentinels hold no tokens."""
    plain, *sentinels = _connecting(client)
    connection = _connection(plain)
    is_socket = bool(getattr(connection, "path", ""))
    hosts = [_connection(one).host for one in sentinels or [plain] if not is_socket]
    if all(map(is_loopback, hosts)):
        return []
    has_password = connection.password or getattr(connection, "credential_provider", None)
    lacks = {
        "no TLS": not isinstance(connection, SSLConnection),
        "no password": not has_password,
    }
    return [what for what, is_missing in lacks.items() if is_missing]


def _place(client: Any) -> str:
    """The server and database of a client, for people."""
    if isinstance(client, redis.RedisCluster):
        return f"cluster {', '.join(sorted(client.nodes_manager.startup_nodes))}"
    connection = _connection(client)
    if isinstance(client.connection_pool, SentinelConnectionPool):
        _, *sentinels = map(_connection, _connecting(client))
        names = ", ".join(sorted(f"{one.host}:{one.port}" for one in sentinels))
        return f"{client.connection_pool.service_name}/{connection.db} of Sentinel {names}"
    if path := getattr(connection, "path", ""):
        return f"unix:{path}/{connection.db}"
    return f"{connection.host}:{connection.port}/{connection.db}"


def _failure(what: str, error: BaseException, outer: BaseException | None) -> TokenStoreError:
    """What happened and what to do, without the server's own words, which may hold a secret.

    A cause of the error may have a reason from the operating system. `outer` is not a cause: it was
    being handled when the client was called.
    """
    words = {kind.__name__ for kind in type(error).__mro__}
    words.update(re.findall("[A-Z]{3,}", str(error)))
    code = re.match(r"[A-Z]{3,}\b", str(error))
    why = code[0] if code else type(error).__name__
    below: BaseException | None = error
    while below and below is not outer:
        if isinstance(below, OSError) and below.strerror:
            why = below.strerror
            break
        below = below.__cause__ or below.__context__
    for kind, table in ((TokenStoreError, _ADVICE), (TokenStoreUnavailableError, _PASSING)):
        for names, advice in table.items():
            if words.intersection(names):
                return kind(f"{what}: {why}. {advice}")
    return TokenStoreError(f"{what}: {why}. Look at its log. It must be a Redis that permits EVAL.")


def _entry(answer: list[bytes], where: str) -> Entry | None:
    """The entry that a hash holds, from its fields and values in turn."""
    if not answer:
        return None
    match dict(zip(*[iter(answer)] * 2, strict=True)):
        case {b"version": version, b"text": text} if _VERSION.fullmatch(version) and text.isascii():
            return Entry(text.decode(), int(version))
        case {b"generation": _, b"record": _}:
            raise TokenStoreError(
                f"{where} was written by an earlier release, in a form that this one does not "
                "read. forget() the login, or delete the key, and sign in again."
            )
    raise TokenStoreError(f"{where} is damaged: not an entry of this package. {KEPT}")

"""ContextTokenStore: logins in a dictionary that two callables read and write.

The dictionary is what other programs call an integration context (Cortex XSOAR), an add-on's
settings or a plugin's state. Integrations that talked to Atlassian before us keep one login in four
top-level keys; that login goes on living there, so that nobody has to log in again and the old
integration can still read it:

    {
        "token": "<access token>",
        "refresh_token": "<refresh token>",
        "valid_until": 1764000000.0,                        POSIX timestamp, seconds
        "scopes": "read:jira-work offline_access",          separated by spaces
        "atlassian_auth_adapter": {
            "version": 1,
            "owner": "<digest of the key whose tokens stand above>",
            "seen": "<hash of the two tokens when we wrote them>",
            "records": {"<digest of a key>": {<record, the owner's without tokens>}}
        }
    }

Source of the four keys: Packs/Jira/Integrations/JiraV3/JiraV3.py of github.com/demisto/content,
`oauth2_retrieve_access_token`, read 2026-11-22.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import Any, Self

from atlassian_auth_adapter.disk.files import directory_path
from atlassian_auth_adapter.disk.kernel_locks import KernelLocks
from atlassian_auth_adapter.errors import (
    ConfigurationError,
    StaleRecordError,
    TokenStoreError,
    TokenStoreTimeoutError,
)
from atlassian_auth_adapter.stores.base import SCHEMA_VERSION, Record, TokenKey
from atlassian_auth_adapter.tokens import TokenSet

__all__ = ["ContextTokenStore"]

#: Our one key of the dictionary.
_OURS = "atlassian_auth_adapter"

#: The keys of the integrations before us.
_LEGACY = ("token", "refresh_token", "valid_until", "scopes")

#: `valid_until` of a token without an end, POSIX seconds: the end of the year 9999.
_FOREVER = 253402300799

#: Seconds that a look at the context waits for other processes, whose callables may use a network.
_CONTEXT_TIMEOUT = 30.0

#: Locks by callables and key. Weak: a lock lives as long as somebody holds it or waits for it.
_LOCKS: weakref.WeakValueDictionary[tuple[Any, ...], threading.Lock] = weakref.WeakValueDictionary()
_REGISTRY = threading.Lock()

_Lock = AbstractContextManager[Any]


class ContextTokenStore:
    """Keeps records in one dictionary; who may share it depends on `lock`.

    - None: the threads of this process. Two callables offer no way to exclude another process:
      where several share the dictionary, a refresh token can be spent twice.
    - A path: the processes of this host. Kernel locks in that directory, which is made when it is
      first needed and is for this context alone, guard both the logins and the dictionary. The
      context needs no lock of its own.
    - A callable: everybody whom it excludes, also on other hosts.

    The four keys of the integrations before us are open to every login until one is saved; from
    then on they are that one's. When another program writes new tokens into them, these win, and
    the generation is one higher than what we had saved.

    Two stores with equal callables are equal. A pickle holds the callables by name: use functions
    of a module, since the pickle of a bound method carries its object. Blocks on the callables,
    which are never called by two threads at a time.

    Args:
        get_context: Returns the dictionary, a copy of it, or None when there is none.
        set_context: Takes the new dictionary, which holds JSON values only. What is in it beside
            our keys is what `get_context` returned.
        lock: None, a directory, or `lock(name, timeout)`: returns a context manager that holds the
            lock of that name (one of "atlassian_auth_adapter.context" and
            "atlassian_auth_adapter.<digest of a key>") until it is left, and raises TimeoutError
            when somebody else held it for `timeout` seconds. It is left with three times None,
            whatever happened inside. Its name is pickled, too.

    Raises:
        ConfigurationError: One of them is not what it should be, or has no hash.
    """

    def __init__(
        self,
        get_context: Callable[[], Mapping[str, Any] | None],
        set_context: Callable[[dict[str, Any]], object],
        lock: str | os.PathLike[str] | Callable[[str, float], _Lock] | None = None,
    ) -> None:
        if not (callable(get_context) and callable(set_context)):
            raise ConfigurationError("ContextTokenStore takes two callables: one gets, one sets.")
        self._get, self._set = get_context, set_context
        try:
            hash(self)
        except TypeError as error:
            raise ConfigurationError(f"get_context and set_context need a hash: {error}.") from None
        if lock is None or callable(lock):
            self._shared_lock = lock
        elif isinstance(lock, str | os.PathLike):
            self._shared_lock = KernelLocks(
                directory_path(lock, "The locks of ContextTokenStore need one of their own.")
            )
        else:
            raise ConfigurationError("lock is None, a directory, or a callable (name, timeout).")

    def load(self, key: TokenKey) -> Record | None:
        """The record, or None when there is none.

        Raises:
            TokenStoreTimeoutError: Another process has held the context for 30 s.
            TokenStoreError: `get_context` or the lock raised, or what is stored is damaged; it was
                left as it is.
        """
        with self._alone():
            return self._read().record(key)

    def save(self, key: TokenKey, record: Record, *, expected: int | None) -> None:
        """The record was handed to `set_context`, which returned.

        Args:
            key: Under which name.
            record: What to keep.
            expected: Generation that must be stored now; None: there must be no record.

        Raises:
            StaleRecordError: Somebody else was faster; nothing was written.
            TokenStoreTimeoutError: Another process has held the context for 30 s.
            TokenStoreError: One of the callables raised, or what is stored is damaged.
        """
        with self._alone():
            context = self._read()
            stored = context.record(key)
            if (stored and stored.generation) != expected:
                raise StaleRecordError(
                    f"the context holds another generation of account {key.account!r} than "
                    f"{expected}. Load the record again."
                )
            _call("set_context", self._set, context.with_record(key, record))

    def delete(self, key: TokenKey) -> None:
        """There is no record afterwards, whole or damaged; what belongs to others stays.

        Raises:
            TokenStoreTimeoutError: Another process has held the context for 30 s.
            TokenStoreError: One of the callables raised, or our part of the context is damaged as a
                whole.
        """
        with self._alone():
            context = self._read()
            if (changed := context.with_record(key, None)) != context.everything:
                _call("set_context", self._set, changed)

    @contextmanager
    def lock(self, key: TokenKey, *, timeout: float) -> Iterator[None]:
        """Exclusive among the threads of this process and whomever the store's `lock` excludes.

        Not reentrant.

        Args:
            key: What to lock.
            timeout: Seconds to wait for somebody else.

        Raises:
            TokenStoreTimeoutError: Somebody held it all that time.
            TokenStoreError: The store's `lock` raised something else.
        """
        deadline = time.monotonic() + timeout
        lock = self._thread_lock(key.digest)
        if not lock.acquire(timeout=min(max(timeout, 0.0), threading.TIMEOUT_MAX)):
            raise TokenStoreTimeoutError(
                f"another thread has held the lock of account {key.account!r} for {timeout:g} s."
            )
        try:
            with self._shared(key.digest, max(deadline - time.monotonic(), 0.0)):
                yield
        finally:
            lock.release()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else reads or writes the dictionary, whatever the key: it is set as a whole."""
        with self._thread_lock(), self._shared("context", _CONTEXT_TIMEOUT):
            yield

    def _thread_lock(self, digest: str = "") -> threading.Lock:
        """The lock of a key, or the one that guards the callables."""
        with _REGISTRY:
            return _LOCKS.setdefault((self._get, self._set, digest), threading.Lock())

    def _shared(self, name: str, timeout: float) -> AbstractContextManager[None]:
        """The lock of that name among processes, if they have one."""
        if self._shared_lock is None:
            return nullcontext()
        return _held(self._shared_lock, f"{_OURS}.{name}", timeout)

    def _read(self) -> _Context:
        everything = _call("get_context", self._get)
        if not isinstance(everything, Mapping | None):
            kind = type(everything).__name__
            raise TokenStoreError(f"get_context returned a {kind}, not a dictionary.")
        return _Context.parse(everything or {})

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ContextTokenStore):
            return NotImplemented
        return (self._get, self._set) == (other._get, other._set)

    def __hash__(self) -> int:
        return hash((ContextTokenStore, self._get, self._set))

    def __repr__(self) -> str:
        names = (getattr(f, "__qualname__", type(f).__name__) for f in (self._get, self._set))
        return f"ContextTokenStore({', '.join(names)})"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: object) -> Self:
        return self  # the copy of a bound method's object would be another place

    def __reduce__(self) -> tuple[Any, ...]:
        return ContextTokenStore, (self._get, self._set, self._shared_lock)


@contextmanager
def _held(lock: Callable[[str, float], _Lock], name: str, timeout: float) -> Iterator[None]:
    process = os.getpid()
    held = _entered(lock, name, timeout)
    try:
        yield
    except BaseException:
        if os.getpid() == process:  # a forked child holds nothing
            with suppress(TokenStoreError):  # what happened inside matters more
                _call("lock", held.__exit__, None, None, None)
        raise
    if os.getpid() == process:
        _call("lock", held.__exit__, None, None, None)


def _entered(lock: Callable[[str, float], _Lock], name: str, timeout: float) -> _Lock:
    try:
        held = lock(name, timeout)
        held.__enter__()
        return held
    except TokenStoreError:  # one of ours, of a directory
        raise
    except TimeoutError:
        failure: str | None = None
    except Exception as error:  # noqa: BLE001 - it is the caller's
        failure = _described(error)
    if failure is None:
        raise TokenStoreTimeoutError(f"somebody has held the lock {name} for {timeout:g} s.")
    raise TokenStoreError(f"lock raised {failure}. Its text is not shown: it may hold a token.")


def _call(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except Exception as error:  # noqa: BLE001 - it is the caller's function
        failure = _described(error)
    # Raised out here, without a cause: the text of the error may quote the context.
    raise TokenStoreError(f"{name} raised {failure}. Its text is not shown: it may hold a token.")


def _described(error: Exception) -> str:
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {place.filename}, line {place.lineno}"


@dataclass(frozen=True, slots=True)
class _Context:
    """The dictionary, taken apart."""

    everything: Mapping[str, Any]
    owner: str
    seen: str
    records: Mapping[str, Any]

    @classmethod
    def parse(cls, everything: Mapping[str, Any]) -> _Context:
        ours = everything.get(_OURS, {"version": SCHEMA_VERSION, "records": {}})
        version = ours.get("version") if isinstance(ours, Mapping) else None
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise TokenStoreError(
                f"the context's key {_OURS!r} was written by a later release (schema {version}, "
                f"this one reads {SCHEMA_VERSION}). Upgrade atlassian-auth-adapter here; nothing "
                "was changed."
            )
        if version != SCHEMA_VERSION or not isinstance(ours.get("records"), Mapping):
            raise TokenStoreError(
                f"the context's key {_OURS!r} is damaged. It was kept as it is: remove that key to "
                "start over; the login in 'token' and 'refresh_token' stays."
            )
        owner, seen = str(ours.get("owner", "")), str(ours.get("seen", ""))
        return cls(everything, owner, seen or _hash("", ""), ours["records"])

    def is_open_to(self, key: TokenKey) -> bool:
        """Whether the legacy keys are this key's, or still anybody's."""
        return key.kind == "login" and self.owner in ("", key.digest)

    def record(self, key: TokenKey) -> Record | None:
        stored = self.records.get(key.digest)
        record = None if stored is None else _parse(stored, key)
        if not self.is_open_to(key):
            return record
        token, refresh_token = _tokens(self.everything)
        if _hash(token, refresh_token) != self.seen:  # somebody else has written
            return Record(
                generation=(record.generation if record else 0) + 1,
                token_set=_legacy_token_set(self.everything),
                throttled_until=record.throttled_until if record else 0.0,
            )
        if record is None or record.token_set is None:
            return record
        whole = replace(record.token_set, access_token=token, refresh_token=refresh_token)
        return replace(record, token_set=whole)

    def with_record(self, key: TokenKey, record: Record | None) -> dict[str, Any]:
        """The dictionary with this record, or without one."""
        changed = dict(self.everything)
        owner, seen = self.owner, self.seen
        if self.is_open_to(key):
            token_set = record and record.token_set
            changed = {k: v for k, v in changed.items() if k not in _LEGACY}
            seen = _hash("", "")
            if record:
                owner = key.digest
            if record and token_set:
                changed |= _legacy(token_set)
                seen = _hash(token_set.access_token, token_set.refresh_token)
                record = replace(
                    record, token_set=replace(token_set, access_token="", refresh_token="")
                )
        records = {k: v for k, v in self.records.items() if k != key.digest}
        if record:
            records[key.digest] = record.to_json()
        changed.pop(_OURS, None)
        if records or owner:
            changed[_OURS] = {
                "version": SCHEMA_VERSION,
                "owner": owner,
                "seen": seen,
                "records": records,
            }
        return changed


def _parse(stored: object, key: TokenKey) -> Record:
    try:
        return Record.from_json(stored)
    except TokenStoreError as error:
        wrong = str(error)
    except ArithmeticError:
        wrong = "a number is out of range."
    # Raised out here, without a context: the error of a parser quotes what it parsed.
    raise TokenStoreError(f"account {key.account!r} in the context: {wrong}")


def _tokens(context: Mapping[str, Any]) -> tuple[str, str]:
    return str(context.get("token") or ""), str(context.get("refresh_token") or "")


def _hash(token: str, refresh_token: str) -> str:
    return hashlib.sha256(json.dumps([token, refresh_token]).encode()).hexdigest()[:16]


def _legacy(token_set: TokenSet) -> dict[str, Any]:
    return {
        "token": token_set.access_token,
        "refresh_token": token_set.refresh_token,
        "valid_until": min(token_set.expires_at, _FOREVER),
        "scopes": token_set.scope,
    }


def _legacy_token_set(context: Mapping[str, Any]) -> TokenSet | None:
    token, refresh_token = _tokens(context)
    if not (token or refresh_token):
        return None
    scopes = context.get("scopes")
    if isinstance(scopes, list | tuple):
        scopes = " ".join(map(str, scopes))
    try:
        expires_at = float(context.get("valid_until") or 0.0)
    except (ArithmeticError, TypeError, ValueError):
        expires_at = 0.0
    return TokenSet(
        access_token=token,
        refresh_token=refresh_token,
        # An end that is not known is in the past: refresh before the first use.
        expires_at=expires_at if token and math.isfinite(expires_at) else 0.0,
        scope=scopes if isinstance(scopes, str) else "",
    )


def _after_fork_in_child() -> None:
    global _LOCKS, _REGISTRY  # another thread of the parent may hold them
    _LOCKS, _REGISTRY = weakref.WeakValueDictionary(), threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)

"""ContextTokenStore: logins in a dictionary that two callables read and write.

The dictionary is what other programs call an integration context (Cortex XSOAR), an add-on's
settings or a plugin's state. `legacy_context.py` knows what is in it, and what integrations from
before this package find there; this module calls the two callables, one thread at a time.
"""

from __future__ import annotations

import os
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any, Self

from atlassian_auth_adapter.disk.files import directory_path
from atlassian_auth_adapter.disk.kernel_locks import KernelLocks
from atlassian_auth_adapter.errors import (
    ConfigurationError,
    TokenStoreError,
    TokenStoreTimeoutError,
)
from atlassian_auth_adapter.stores.base import Entry, check_version, checked_name
from atlassian_auth_adapter.stores.legacy_context import OURS, ContextDictionary

__all__ = ["ContextTokenStore"]

#: Seconds that a look at the context waits for other processes, whose callables may use a network.
_CONTEXT_TIMEOUT = 30.0

#: Locks by callables and name, "" for the dictionary. Weak: a lock lives as long as a thread holds
#: it or waits for it.
_LOCKS: weakref.WeakValueDictionary[tuple[Any, ...], threading.Lock] = weakref.WeakValueDictionary()
_REGISTRY = threading.Lock()  # guards _LOCKS

_Lock = AbstractContextManager[Any]


class ContextTokenStore:
    """Keeps entries in one dictionary; who may share it depends on `lock`.

    - None: the threads of this process. Two callables offer no way to exclude another process:
      where several share the dictionary, a refresh token can be spent twice.
    - A path: the processes of this host. Kernel locks in that directory, which is made when it is
      first needed and is for this context alone, guard both the logins and the dictionary. The
      context needs no lock of its own.
    - A callable: all whom it excludes, also on other hosts.

    The four keys of the integrations before us are open to every login until one is saved; from
    then on they are that one's. When another program writes new tokens into them, these are the
    login's, and its version and generation are one higher than what we had saved.

    Stores on equal callables share their thread locks. A pickle holds the callables by name: use
    functions of a module, since the pickle of a bound method carries its object. Blocks on the
    callables, which are never called by two threads at a time.

    Callables that mean the tenant of the moment read it from a context variable (`contextvars`),
    not from a global one: they are called on threads of the refresh as well, which see the
    variables of its caller. Make a client for each tenant.

    Args:
        get_context: Returns the dictionary, a copy of it, or None when there is none.
        set_context: Takes the new dictionary, which holds JSON values only. What is in it beside
            our keys is what `get_context` returned.
        lock: None, a directory, or `lock(name, timeout)`: returns a context manager that holds the
            lock of that name ("atlassian_auth_adapter" for the dictionary, and
            "atlassian_auth_adapter.<name>" for an entry) until it is left, and raises TimeoutError
            when another process has held it for `timeout` seconds. It is left with three times
            None, whatever happened inside. Its name is pickled, too.

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
            hash((get_context, set_context))  # their locks are found by it
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

    def load(self, name: str) -> Entry | None:
        """See `TokenStore.load`.

        Raises:
            TokenStoreTimeoutError: Another process has held the context for 30 s.
            TokenStoreError: `get_context` or the lock raised, or what is stored is damaged; it was
                left as it is.
        """
        checked_name(name)
        with self._exclusive():
            return self._read().entry(name)

    def save(self, name: str, text: str, *, expected: int | None) -> None:
        """See `TokenStore.save`: `set_context` has returned.

        Raises:
            StaleRecordError: Another version is stored than was expected; nothing was written.
            TokenStoreTimeoutError: Another process has held the context for 30 s.
            TokenStoreError: One of the callables raised, or what is stored is damaged.
        """
        checked_name(name)
        with self._exclusive():
            context = self._read()
            version = check_version(context.entry(name), expected, f"{name} in {self!r}")
            _call("set_context", self._set, context.with_entry(name, Entry(text, version)))

    def delete(self, name: str) -> None:
        """See `TokenStore.delete`; also of a damaged entry. What belongs to others stays.

        Raises:
            TokenStoreTimeoutError: Another process has held the context for 30 s.
            TokenStoreError: One of the callables raised, or our part of the context is damaged as a
                whole.
        """
        checked_name(name)
        with self._exclusive():
            context = self._read()
            if (changed := context.with_entry(name, None)) != context.everything:
                _call("set_context", self._set, changed)

    @contextmanager
    def lock(self, name: str, *, timeout: float) -> Iterator[None]:
        """See `TokenStore.lock`: among the threads of this process and all whom `lock` excludes.

        Not reentrant.

        Raises:
            TokenStoreTimeoutError: Another one held it all that time.
            TokenStoreError: The store's `lock` raised something else.
        """
        deadline = time.monotonic() + timeout
        lock = self._thread_lock(checked_name(name))
        if not lock.acquire(timeout=min(max(timeout, 0.0), threading.TIMEOUT_MAX)):
            raise TokenStoreTimeoutError(
                f"another thread has held the lock of {name} for {timeout:g} s."
            )
        try:
            with self._shared(f"{OURS}.{name}", max(deadline - time.monotonic(), 0.0)):
                yield
        finally:
            lock.release()

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Nothing else reads or writes the dictionary, under any name: it is set as a whole."""
        with self._thread_lock(""), self._shared(OURS, _CONTEXT_TIMEOUT):
            yield

    def _thread_lock(self, name: str) -> threading.Lock:
        """The lock of a name, or the one that guards the callables."""
        with _REGISTRY:
            return _LOCKS.setdefault((self._get, self._set, name), threading.Lock())

    def _shared(self, name: str, timeout: float) -> AbstractContextManager[None]:
        """The lock of that name among processes, if they have one."""
        if self._shared_lock is None:
            return nullcontext()
        return _held(self._shared_lock, name, timeout)

    def _read(self) -> ContextDictionary:
        everything = _call("get_context", self._get)
        if not isinstance(everything, Mapping | None):
            kind = type(everything).__name__
            raise TokenStoreError(f"get_context returned a {kind}, not a dictionary.")
        return ContextDictionary.parse(everything or {})

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
        raise TokenStoreTimeoutError(f"another process has held the lock {name} for {timeout:g} s.")
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


def _after_fork_in_child() -> None:
    global _LOCKS, _REGISTRY  # another thread of the parent may hold them
    _LOCKS, _REGISTRY = weakref.WeakValueDictionary(), threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)

"""ContextTokenStore: logins in a dictionary that two callables read and write.

The dictionary is what other programs call an integration context (Cortex XSOAR), an add-on's
settings or a plugin's state. `legacy_context.py` knows its keys, also those of integrations from
before this package. This module calls the two callables, in one thread at a time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from typing import Any

from atlassian_auth_adapter.disk.files import directory_path
from atlassian_auth_adapter.disk.kernel_locks import kernel_lock
from atlassian_auth_adapter.errors import (
    ConfigurationError,
    TokenStoreError,
    TokenStoreTimeoutError,
    raise_clean,
    without_frames,
)
from atlassian_auth_adapter.pickling import PickledByReference
from atlassian_auth_adapter.stores.base import (
    Entry,
    callable_failed,
    check_version,
    checked_name,
)
from atlassian_auth_adapter.stores.legacy_context import OURS, ContextDictionary
from atlassian_auth_adapter.stores.thread_locks import ThreadLocks

__all__ = ["ContextTokenStore"]

#: Seconds that a method waits for other processes, whose callables may use a network.
_CONTEXT_TIMEOUT = 30.0

#: By the two callables and the name of the entry, "" for the dictionary. Per process; the locks in
#: it are weak, and free in a forked child.
_LOCKS = ThreadLocks()

_Lock = AbstractContextManager[Any]


class ContextTokenStore(PickledByReference):
    """Keeps entries in one dictionary. The argument `lock` decides which processes may share it:

    - None: the threads of this process. Two callables cannot exclude another process: if several
      processes share the dictionary, a refresh token can be spent twice.
    - A path: the processes of this host. Kernel locks in that directory, which is made when it is
      first needed and is for this context alone, guard both the logins and the dictionary. The
      context needs no lock of its own.
    - A callable: all processes that it excludes, also on other hosts.

    The four keys of the integrations from before this package are read by every login until one is
    saved; from then on they belong to that login. When another program writes new tokens into them,
    the login has these tokens, and its version and generation are one higher than what was saved.

    Stores on equal callables share their thread locks. A copy is the store itself. A pickle holds
    the callables by name: use functions of a module, since the pickle of a bound method contains
    its object. Blocks on the callables, which are never called by two threads at a time.

    If the callables serve several tenants, they read the current tenant from a context variable
    (`contextvars`), not from a global one: threads of the refresh call them as well, and see the
    context variables of the refresh's caller. Make a client for each tenant.

    Args:
        get_context: Returns the dictionary, a copy of it, or None without one.
        set_context: Takes the new dictionary, which holds JSON values only. Keys of other programs
            have the values that `get_context` returned.
        lock: None, a directory, or `lock(name, timeout)`: returns a context manager that holds the
            lock of that name ("atlassian_auth_adapter" for the dictionary, and
            "atlassian_auth_adapter.<name>" for an entry) until it is left, and raises TimeoutError
            when another process has held it for `timeout` seconds. Its `__exit__` is given three
            times None, whatever happened inside. A pickle holds it by name.

    Raises:
        ConfigurationError: An argument is of another type, or has no hash.
    """

    def __init__(
        self,
        get_context: Callable[[], Mapping[str, Any] | None],
        set_context: Callable[[dict[str, Any]], object],
        lock: str | os.PathLike[str] | Callable[[str, float], _Lock] | None = None,
    ) -> None:
        if not (callable(get_context) and callable(set_context)):
            raise ConfigurationError(
                "ContextTokenStore takes two callables: one returns the context, one replaces it."
            )
        self._get, self._set = get_context, set_context
        try:
            hash((get_context, set_context))  # their locks are found by it
        except TypeError as error:
            raise ConfigurationError(f"get_context and set_context need a hash: {error}.") from None
        if lock is None or callable(lock):
            self._shared_lock: Callable[[str, float], _Lock] | None = lock
        elif isinstance(lock, str | os.PathLike):
            self._shared_lock = partial(
                kernel_lock,
                directory_path(lock, "The locks of ContextTokenStore need one of their own."),
            )
        else:
            raise ConfigurationError(
                "lock must be None, a directory, or a callable lock(name, timeout)."
            )

    @without_frames
    def load(self, name: str) -> Entry | None:
        """As `TokenStore.load`.

        Raises:
            TokenStoreTimeoutError: Another process has held the context for 30 s.
            TokenStoreError: Also: a callable or the lock raised.
        """
        checked_name(name)
        with self._exclusive():
            return self._read().entry(name)

    @without_frames
    def save(self, name: str, text: str, *, expected: int | None) -> None:
        """As `TokenStore.save`: `set_context` has returned. Also raises what `load` does."""
        checked_name(name)
        with self._exclusive():
            context = self._read()
            version = check_version(context.entry(name), expected, f"{name} in {self!r}")
            _call("set_context", self._set, context.with_entry(name, Entry(text, version)))

    @without_frames
    def delete(self, name: str) -> None:
        """As `TokenStore.delete`, also a damaged entry; other programs' keys stay.

        Raises:
            TokenStoreError: Also: as `load` does, but for a damaged entry.
        """
        checked_name(name)
        with self._exclusive():
            context = self._read()
            if (changed := context.with_entry(name, None)) != context.everything:
                _call("set_context", self._set, changed)

    @contextmanager
    def lock(self, name: str, *, timeout: float) -> Iterator[None]:
        """As `TokenStore.lock`, among the threads of this process and all that `lock` excludes."""
        deadline = time.monotonic() + timeout
        with (
            _LOCKS.held(self._key(checked_name(name)), timeout=timeout, name=name),
            self._shared(f"{OURS}.{name}", max(deadline - time.monotonic(), 0.0)),
        ):
            yield

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """No other thread or process reads or writes the dictionary, which is set as a whole."""
        with _LOCKS.held(self._key("")), self._shared(OURS, _CONTEXT_TIMEOUT):
            yield

    def _key(self, name: str) -> tuple[object, ...]:
        return self._get, self._set, name

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

    def _reduce_for_other_process(self) -> tuple[Any, ...]:
        return ContextTokenStore, self._get, self._set, self._shared_lock


@contextmanager
def _held(lock: Callable[[str, float], _Lock], name: str, timeout: float) -> Iterator[None]:
    """The lock of the program is held; its errors become TokenStoreErrors."""
    process = os.getpid()
    held = _entered(lock, name, timeout)

    def leave() -> None:
        if os.getpid() == process:  # a forked child holds nothing
            _call("lock", held.__exit__, None, None, None)

    try:
        yield
    except BaseException:
        with suppress(TokenStoreError):  # what happened inside matters more
            leave()
        raise
    leave()


def _entered(lock: Callable[[str, float], _Lock], name: str, timeout: float) -> _Lock:
    try:
        held = lock(name, timeout)
        held.__enter__()
        return held
    except TokenStoreError:  # raised by `kernel_lock`
        raise
    except TimeoutError:
        reason = f"another process has held the lock {name} for {timeout:g} s."
        raise_clean(TokenStoreTimeoutError(reason))
    except Exception as error:  # noqa: BLE001 - it is the caller's
        raise_clean(callable_failed("lock", error, "token"))


def _call(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except Exception as error:  # noqa: BLE001 - it is the caller's function
        raise_clean(callable_failed(name, error, "token"))

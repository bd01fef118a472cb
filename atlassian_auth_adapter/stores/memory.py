"""MemoryTokenStore: logins that end with the process."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from atlassian_auth_adapter.errors import TokenStoreError, TokenStoreTimeoutError
from atlassian_auth_adapter.pickling import PickledByReference
from atlassian_auth_adapter.stores.base import Entry, check_version, checked_name

__all__ = ["MemoryTokenStore"]

#: Every living store: what a fork has to renew.
_stores: weakref.WeakSet[MemoryTokenStore] = weakref.WeakSet()

#: Process id of the parent if this process was forked from Python, else 0.
_forked_from = 0


class MemoryTokenStore(PickledByReference):
    """Keeps entries in this object; threads may share it, processes cannot. Never blocks on I/O.

    A forked child inherits the entries, but a refresh token serves one process only: while the
    process that saved a login is alive, a child can read it and use its access token, but cannot
    save it, and so cannot refresh it: it gets a TokenStoreError. (If a process forks *several*
    children and then ends, each of them may take the login over: use FileTokenStore for that.)
    Entries whose name has a kind, such as those of service accounts, are shared freely.

    A copy is the store itself. A pickle holds a reference, which the same process and its forked
    children can follow; in any other process the store says on its first use that it cannot.
    """

    def __init__(self) -> None:
        self._entries: dict[str, tuple[Entry, int]] = {}  # with the saving process's id
        self._is_here = True
        self._renew_locks()
        _stores.add(self)

    def _renew_locks(self) -> None:
        self._mutex = threading.Lock()  # guards _entries and _locks
        # Weak: a lock lives as long as a thread holds it or waits for it.
        self._locks: weakref.WeakValueDictionary[str, threading.Lock] = (
            weakref.WeakValueDictionary()
        )

    def load(self, name: str) -> Entry | None:
        """See `TokenStore.load`."""
        checked_name(name)
        with self._mutex:
            return self._load(name)[0]

    def save(self, name: str, text: str, *, expected: int | None) -> None:
        """See `TokenStore.save`.

        Raises:
            StaleRecordError: Another version is stored than was expected; nothing changed.
            TokenStoreError: The entry is a login of the living process that this one was forked
                from. Use FileTokenStore, or `forget()` and sign in again here.
        """
        checked_name(name)
        with self._mutex:
            stored, owner = self._load(name)
            version = check_version(stored, expected, f"{name} in {self!r}")
            if stored and _is_login(name) and owner != os.getpid():
                raise TokenStoreError(
                    f"the login {name} belongs to process {owner}, from which this one was forked. "
                    "Both would spend the same refresh token, and the login would be lost. Share "
                    "it through FileTokenStore, or forget() it and sign in again in this process."
                )
            self._entries[name] = Entry(text, version), os.getpid()

    def delete(self, name: str) -> None:
        """See `TokenStore.delete`; also of one that `save` refuses to replace."""
        checked_name(name)
        with self._mutex:
            self._entries.pop(name, None)

    @contextmanager
    def lock(self, name: str, *, timeout: float) -> Iterator[None]:
        """See `TokenStore.lock`: exclusive among the threads of this process; not reentrant.

        Raises:
            TokenStoreTimeoutError: Another thread held it all that time.
        """
        checked_name(name)
        self._check_place()
        with self._mutex:
            lock = self._locks.setdefault(name, threading.Lock())
        if not lock.acquire(timeout=min(max(timeout, 0.0), threading.TIMEOUT_MAX)):
            raise TokenStoreTimeoutError(
                f"another thread has held the lock of {name} for {timeout:g} s."
            )
        try:
            yield
        finally:
            lock.release()

    def _check_place(self) -> None:
        if not self._is_here:
            raise TokenStoreError(
                "this MemoryTokenStore was unpickled in another process, where its logins are not. "
                "Use FileTokenStore to share a login between processes."
            )

    def _load(self, name: str) -> tuple[Entry | None, int]:
        """The entry, and the id of the process that has saved it."""
        self._check_place()
        entry, owner = self._entries.get(name, (None, 0))
        if entry and _is_login(name) and owner != os.getpid() and not _is_alive(owner):
            owner = os.getpid()  # an heir, whose own children must not inherit it as well
            self._entries[name] = entry, owner
        return entry, owner

    def __repr__(self) -> str:
        return f"MemoryTokenStore(<{len(self._entries)} entries>)"

    def _reduce_for_other_process(self) -> tuple[Any, ...]:
        return (_out_of_place,)


def _is_login(name: str) -> bool:
    """Whether it is the name of a login, which has a refresh token; others have a kind behind."""
    return "." not in name


def _out_of_place() -> MemoryTokenStore:
    store = MemoryTokenStore()
    store._is_here = False  # noqa: SLF001 - this module's own
    return store


def _is_alive(pid: int) -> bool:
    """Whether the process that we descend from lives. When in doubt: yes."""
    if pid == _forked_from:
        return os.getppid() == pid  # exact: an orphan has another parent, even before the reaping
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _after_fork_in_child() -> None:
    global _forked_from  # noqa: PLW0603 - a fact about the process
    _forked_from = os.getppid()
    for store in list(_stores):
        store._renew_locks()  # noqa: SLF001 - another thread of the parent may have held them


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)

"""MemoryTokenStore: logins that end with the process."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from atlassian_auth_adapter.errors import (
    StaleRecordError,
    TokenStoreError,
    TokenStoreTimeoutError,
)
from atlassian_auth_adapter.references import Unique
from atlassian_auth_adapter.stores.base import Record, TokenKey

__all__ = ["MemoryTokenStore"]

#: Every living store: what a fork has to renew.
_stores: weakref.WeakSet[MemoryTokenStore] = weakref.WeakSet()

#: Process id of the parent if this process was forked from Python, else 0.
_forked_from = 0


class MemoryTokenStore(Unique):
    """Keeps records in this object; threads may share it, processes cannot. Never blocks on I/O.

    A forked child inherits the records, but a refresh token serves one process only: while the
    process that saved it is alive, a child that asks for it gets a TokenStoreError. (If a process
    forks *several* children and then ends, each of them may take the login over: use FileTokenStore
    for that.) Logins without refresh token, such as client credentials, are shared freely.

    A copy is the store itself. A pickle holds a reference, which the same process and its forked
    children can follow; in any other process the store says on its first use that it cannot.
    """

    def __init__(self) -> None:
        self._records: dict[TokenKey, tuple[Record, int]] = {}  # with the saving process's id
        self._is_here = True
        self._renew_locks()
        _stores.add(self)

    def _renew_locks(self) -> None:
        self._mutex = threading.Lock()
        # Weak: a lock lives as long as somebody holds it or waits for it.
        self._locks: weakref.WeakValueDictionary[TokenKey, threading.Lock] = (
            weakref.WeakValueDictionary()
        )

    def load(self, key: TokenKey) -> Record | None:
        """The record, or None when there is none.

        Raises:
            TokenStoreError: The record holds a refresh token of the living process that this one
                was forked from. Use FileTokenStore, or `forget()` and log in again here.
        """
        with self._mutex:
            return self._load(key)

    def save(self, key: TokenKey, record: Record, *, expected: int | None) -> None:
        """The record is kept when this returns.

        Args:
            key: Under which name.
            record: What to keep.
            expected: Generation that must be stored now; None: there must be no record.

        Raises:
            StaleRecordError: Somebody else was faster; nothing changed.
            TokenStoreError: As in `load`.
        """
        with self._mutex:
            stored = self._load(key)
            if (stored and stored.generation) != expected:
                raise StaleRecordError(
                    f"{self!r} holds another generation of account {key.account!r} than {expected}."
                    " Load the record again."
                )
            self._records[key] = record, os.getpid()

    def delete(self, key: TokenKey) -> None:
        """There is no record afterwards, also of one that `load` refuses to hand out."""
        with self._mutex:
            self._records.pop(key, None)

    @contextmanager
    def lock(self, key: TokenKey, *, timeout: float) -> Iterator[None]:
        """Exclusive among the threads of this process; not reentrant.

        Args:
            key: What to lock.
            timeout: Seconds to wait for somebody else.

        Raises:
            TokenStoreTimeoutError: Somebody held it all that time.
        """
        self._check_place()
        with self._mutex:
            lock = self._locks.setdefault(key, threading.Lock())
        if not lock.acquire(timeout=min(max(timeout, 0.0), threading.TIMEOUT_MAX)):
            raise TokenStoreTimeoutError(
                f"another thread has held the lock of account {key.account!r} for {timeout:g} s."
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

    def _load(self, key: TokenKey) -> Record | None:
        self._check_place()
        record, owner = self._records.get(key, (None, 0))
        if record and record.token_set and record.token_set.refresh_token and owner != os.getpid():
            if _is_alive(owner):
                raise TokenStoreError(
                    f"the login of account {key.account!r} belongs to process {owner}, from which "
                    "this one was forked. Both would spend the same refresh token, and the login "
                    "would be lost. Share it through FileTokenStore, or forget() it and log in "
                    "again in this process."
                )
            self._records[key] = record, os.getpid()  # the heir's own children must not inherit it
        return record

    def __repr__(self) -> str:
        return f"MemoryTokenStore(<{len(self._records)} records>)"

    def _elsewhere(self) -> tuple[Any, ...]:
        return (_out_of_place,)


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

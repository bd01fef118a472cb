"""MemoryTokenStore: logins that end with the process."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from typing import Any

from atlassian_auth_adapter.errors import TokenStoreError
from atlassian_auth_adapter.pickling import PickledByReference
from atlassian_auth_adapter.secret_text import hidden
from atlassian_auth_adapter.stores.base import (
    Entry,
    StoreOfOtherProcess,
    check_version,
    checked_name,
)
from atlassian_auth_adapter.stores.thread_locks import ThreadLocks
from atlassian_auth_adapter.threads import after_fork

__all__ = ["MemoryTokenStore"]

#: Process id of the parent if this process was forked from Python, else 0. Written by the fork.
_forked_from = 0

#: The lock that guards `_entries`; no entry has this name.
_ENTRIES = ""


class MemoryTokenStore(PickledByReference):
    """Keeps entries in this object; threads may share it, processes cannot. Never blocks on I/O.

    A forked child inherits the entries, but a refresh token serves one process only: while the
    process that saved a login is alive, a child can read it and use its access token, but cannot
    save it, and so cannot refresh it: it gets a TokenStoreError. (If a process forks *several*
    children and then ends, each of them may take the login over: use FileTokenStore for that.)
    Entries whose name has a kind, such as those of service accounts, are shared freely.

    A copy is the store itself. A pickle works in this process and its forked children; in any other
    process every method raises TokenStoreError.
    """

    def __init__(self) -> None:
        self._entries: dict[str, tuple[Entry, int]] = {}  # with the saving process's id
        self._locks = ThreadLocks()

    def load(self, name: str) -> Entry | None:
        """As `TokenStore.load`."""
        checked_name(name)
        with self._locks.held(_ENTRIES):
            return self._load(name)[0]

    def save(self, name: str, text: str, *, expected: int | None) -> None:
        """As `TokenStore.save`.

        Raises:
            TokenStoreError: The entry is a login of the living process that this one was forked
                from. Use FileTokenStore, or `forget()` and sign in again here.
        """
        checked_name(name)
        text = hidden(text)
        with self._locks.held(_ENTRIES):
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
        """As `TokenStore.delete`; also an entry that `save` refuses to replace."""
        checked_name(name)
        with self._locks.held(_ENTRIES):
            self._entries.pop(name, None)

    def lock(self, name: str, *, timeout: float) -> AbstractContextManager[None]:
        """As `TokenStore.lock`, among the threads of this process."""
        return self._locks.held(checked_name(name), timeout=timeout, name=name)

    def _load(self, name: str) -> tuple[Entry | None, int]:
        """The entry, and the id of the process that has saved it."""
        entry, owner = self._entries.get(name, (None, 0))
        if entry and _is_login(name) and owner != os.getpid() and not _is_alive(owner):
            owner = os.getpid()  # so its own children must not use it as well
            self._entries[name] = entry, owner
        return entry, owner

    def __repr__(self) -> str:
        return f"MemoryTokenStore(<{len(self._entries)} entries>)"

    def _reduce_for_other_process(self) -> tuple[Any, ...]:
        reason = (
            "this MemoryTokenStore was unpickled in another process, where its logins are not. Use "
            "FileTokenStore to share a login between processes."
        )
        return StoreOfOtherProcess, repr(self), reason


def _is_login(name: str) -> bool:
    """Whether it is the name of a login, which has a refresh token; other names end with a kind."""
    return "." not in name


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


def _note_parent() -> None:
    global _forked_from  # noqa: PLW0603 - a fact about the process
    _forked_from = os.getppid()


after_fork(_note_parent)

"""ThreadLocks: what excludes the threads of one process, for stores that have no other lock."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from atlassian_auth_adapter.errors import TokenStoreTimeoutError
from atlassian_auth_adapter.threads import after_fork

__all__ = ["ThreadLocks"]


class ThreadLocks:
    """Locks by key, not reentrant; in a forked child, all of them are free."""

    def __init__(self) -> None:
        self.renew()
        _every.add(self)

    def renew(self) -> None:
        """No lock is held."""
        self._mutex = threading.Lock()  # guards _locks
        # Weak: a lock lives as long as a thread holds it or waits for it.
        self._locks: weakref.WeakValueDictionary[Hashable, threading.Lock] = (
            weakref.WeakValueDictionary()
        )

    @contextmanager
    def held(
        self, key: Hashable, *, timeout: float = threading.TIMEOUT_MAX, name: str = ""
    ) -> Iterator[None]:
        """Hold the lock of that key, or raise TokenStoreTimeoutError after `timeout` seconds.

        Args:
            key: Which lock.
            timeout: Seconds to wait for another thread.
            name: What the error calls the lock.
        """
        with self._mutex:
            lock = self._locks.setdefault(key, threading.Lock())
        if not lock.acquire(timeout=min(max(timeout, 0.0), threading.TIMEOUT_MAX)):
            raise TokenStoreTimeoutError(
                f"another thread has held the lock of {name} for {timeout:g} s."
            )
        try:
            yield
        finally:
            lock.release()


#: Per process, weak; a fork happens in one thread, so the renewal needs no lock.
_every: weakref.WeakSet[ThreadLocks] = weakref.WeakSet()


def _renew_all() -> None:
    for locks in list(_every):
        locks.renew()  # threads of the parent may have held them


after_fork(_renew_all)

"""Kernel locks in a private directory, for stores that the processes of one host share.

The kernel frees a lock when its holder dies, however it dies. The file of a lock is never deleted,
and its existence means nothing: it would outlive a crash.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from atlassian_auth_adapter.disk.files import private_directory, typed
from atlassian_auth_adapter.errors import TokenStoreTimeoutError

__all__ = ["KernelLocks"]

#: Seconds between two attempts to take a lock that is held. An attempt costs about 0.15 ms.
_POLL = 0.02


@dataclass(frozen=True, slots=True)
class KernelLocks:
    """The locks of a directory, by name; exclusive among all threads and processes of one host.

    The directory has mode 0700 and is made when it is first needed; another mode or owner is
    refused. Not reentrant. A forked child of a holder does not hold the lock.

    Args:
        path: The directory, from `directory_path`.
    """

    path: Path

    @contextmanager
    def __call__(self, name: str, timeout: float) -> Iterator[None]:
        """Hold the lock until the context ends or this process dies.

        Args:
            name: Which lock; safe in a file name.
            timeout: Seconds to wait for another process.

        Raises:
            TokenStoreTimeoutError: Another process held it all that time.
            TokenStoreError: The directory cannot be used, or its file system has no locks.
        """
        private_directory(self.path, create=True)
        file = self.path / f"{name}.lock"
        # A new object each time: filelock refuses one from before a fork.
        lock = FileLock(
            file,
            max(timeout, 0.0),
            mode=0o600,
            thread_local=False,
            is_singleton=False,
            fallback_to_soft=False,
            preserve_lock_file=True,
        )
        with typed("lock", file):
            try:
                lock.acquire(poll_interval=_POLL)
            except Timeout:
                raise TokenStoreTimeoutError(
                    f"another process or thread has held {file} for {timeout:g} s. Look for a "
                    "process that hangs."
                ) from None
        try:
            yield
        finally:
            lock.release()

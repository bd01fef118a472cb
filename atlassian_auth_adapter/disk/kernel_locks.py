"""Kernel locks in a private directory: what stores use that the processes of one host share.

The kernel frees a lock when its holder dies, however it dies. The file that a lock hangs on stays
where it is: a lock file whose existence is the lock would outlive a crash.
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

#: Seconds between two looks at a lock that another one holds. A look costs about 0.15 ms.
_POLL = 0.02


@dataclass(frozen=True, slots=True)
class KernelLocks:
    """The locks of a directory, by name; exclusive among all threads and processes of one host.

    The directory has mode 0700 and is made by the first who needs it; anything looser or foreign is
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
            TokenStoreError: There are no locks to be had in this directory.
        """
        private_directory(self.path, create=True)
        file = self.path / f"{name}.lock"
        # A new object each time: filelock refuses one that was inherited through a fork.
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

"""Kernel locks in a private directory, for stores that the processes of one host share.

The kernel frees a lock when its holder dies, however it dies. The file of a lock is never deleted,
and its existence means nothing: it would outlive a crash.
"""

from __future__ import annotations

import itertools
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from atlassian_auth_adapter.disk.files import private_directory, typed
from atlassian_auth_adapter.errors import TokenStoreTimeoutError

__all__ = ["kernel_lock", "load_libraries"]

#: Seconds between two attempts to take a lock that is held. An attempt costs about 0.15 ms.
_POLL = 0.02


def load_libraries() -> None:
    """Load also what filelock imports when it first uses it, as it does from Python 3.15 on."""
    lazy = getattr(types, "LazyImportType", ())
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "filelock":
            for attribute, value in list(vars(module).items()):
                if isinstance(value, lazy):
                    getattr(module, attribute)


@contextmanager
def kernel_lock(directory: Path, name: str, timeout: float) -> Iterator[None]:
    """Hold a lock, exclusive among all threads and processes of one host. Not reentrant.

    A forked child of the holder does not hold it.

    Args:
        directory: From `directory_path`; it is made, with mode 0700, when it is first needed.
        name: Which lock; safe in a file name.
        timeout: Seconds to wait for another thread or process.

    Raises:
        TokenStoreTimeoutError: Another thread or process held it all that time.
        TokenStoreError: The directory cannot be used, or its file system has no locks.
    """
    private_directory(directory, create=True)
    file = directory / f"{name}.lock"
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
            # Attempts are counted as well: test libraries may have stopped the clock.
            attempts = itertools.count(1)
            lock.acquire(
                poll_interval=_POLL, cancel_check=lambda: next(attempts) * _POLL > timeout + _POLL
            )
        except Timeout:
            raise TokenStoreTimeoutError(
                f"another process or thread has held {file} for {timeout:g} s. Look for a process "
                "that hangs."
            ) from None
    try:
        yield
    finally:
        lock.release()

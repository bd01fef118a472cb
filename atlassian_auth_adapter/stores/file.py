"""FileTokenStore: one file per login in a directory of ours, shared by processes.

A record is replaced as a whole (temporary file, fsync, rename, fsync of the directory), so whoever
is killed at whatever moment leaves the old record or the new one. Locks belong to the kernel, which
frees them when their holder dies; the files they hang on stay where they are.
"""

from __future__ import annotations

import json
import os
from contextlib import AbstractContextManager
from pathlib import Path

from atlassian_auth_adapter.errors import StaleRecordError, TokenStoreError
from atlassian_auth_adapter.stores._files import (
    MAX_SIZE,
    check_private,
    directory_path,
    private_directory,
    read_file,
    replace_file,
    sync_directory,
    temporary,
    typed,
)
from atlassian_auth_adapter.stores.base import Record, TokenKey, record_in, stored_form

__all__ = ["FileTokenStore"]

#: Seconds that a save waits for another save, which takes milliseconds on a healthy disk.
_SAVE_TIMEOUT = 10.0


class FileTokenStore:
    """Keeps each record in a file of its own; threads and processes of one host may share it.

    The directory has mode 0700 and is created when the first record is saved; the files have mode
    0600. Anything looser, foreign or linked is refused, not repaired. All methods block on file
    I/O. Two stores on the same directory are equal. A pickle holds the path only.

    Args:
        path: The directory; `~` is expanded.

    Raises:
        ConfigurationError: `path` cannot be a directory.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = directory_path(
            path, "FileTokenStore keeps a file per login: name the directory for them."
        )

    def load(self, key: TokenKey) -> Record | None:
        """The record, or None when there is none. Takes no lock.

        Raises:
            TokenStoreError: The file or the directory is damaged, or others than this user have
                access to it. The text names it and what to do; nothing was changed.
        """
        if not private_directory(self.path):
            return None
        file = self._file(key, ".json")
        with typed("read", file):
            data = read_file(file, check_private)
        return None if data is None else record_in(data, key, str(file))

    def save(self, key: TokenKey, record: Record, *, expected: int | None) -> None:
        """The record is on the disk when this returns, and was written whole or not at all.

        Needs no lock: compare-and-swap is guarded by a lock of its own.

        Args:
            key: Under which name.
            record: What to keep.
            expected: Generation that must be stored now; None: there must be no record.

        Raises:
            StaleRecordError: Somebody else was faster; nothing was written.
            TokenStoreTimeoutError: Other saves hang: the disk does not answer.
            TokenStoreError: It cannot be written; the previous record still stands. (Only when the
                very last step failed, which makes the new file's name durable, the new one does.)
        """
        file = self._file(key, ".json")
        data = json.dumps(stored_form(key, record)).encode()
        if len(data) > MAX_SIZE:
            raise TokenStoreError(f"{file}: the record is larger than {MAX_SIZE} bytes.")
        with self._locked(key, ".save", _SAVE_TIMEOUT):
            stored = self.load(key)
            if (stored and stored.generation) != expected:
                raise StaleRecordError(
                    f"{file} holds another generation than {expected}. Load the record again."
                )
            with typed("write", file):
                replace_file(file, data)

    def delete(self, key: TokenKey) -> None:
        """There is no record afterwards, whole or damaged; the lock files stay.

        Raises:
            TokenStoreTimeoutError: Other saves hang: the disk does not answer.
            TokenStoreError: It cannot be deleted.
        """
        if not private_directory(self.path):
            return
        file = self._file(key, ".json")
        with self._locked(key, ".save", _SAVE_TIMEOUT), typed("delete", file):
            file.unlink(missing_ok=True)
            temporary(file).unlink(missing_ok=True)
            sync_directory(self.path)

    def lock(self, key: TokenKey, *, timeout: float) -> AbstractContextManager[None]:
        """Exclusive among all processes of this host, until the context ends or its holder dies.

        Not reentrant. A forked child of the holder does not hold it.

        Args:
            key: What to lock.
            timeout: Seconds to wait for somebody else.

        Raises:
            TokenStoreTimeoutError: Somebody held it all that time.
            TokenStoreError: There are no locks to be had in this directory.
        """
        return self._locked(key, "", timeout)

    def _locked(self, key: TokenKey, suffix: str, timeout: float) -> AbstractContextManager[None]:
        from atlassian_auth_adapter.stores._kernel_lock import KernelLocks  # who reads needs none

        return KernelLocks(self.path)(key.digest + suffix, timeout)

    def _file(self, key: TokenKey, suffix: str) -> Path:
        return self.path / (key.digest + suffix)

    def __eq__(self, other: object) -> bool:
        return self.path == other.path if isinstance(other, FileTokenStore) else NotImplemented

    def __hash__(self) -> int:
        return hash((FileTokenStore, self.path))

    def __repr__(self) -> str:
        return f"FileTokenStore({str(self.path)!r})"

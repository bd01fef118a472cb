"""FileTokenStore: one file per login in a directory of ours, shared by processes.

A record is replaced as a whole (temporary file, fsync, rename, fsync of the directory), so whoever
is killed at whatever moment leaves the old record or the new one. Locks belong to the kernel, which
frees them when their holder dies; the files they hang on stay where they are.
"""

from __future__ import annotations

import json
import os
import stat
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from atlassian_auth_adapter.errors import StaleRecordError, TokenStoreError
from atlassian_auth_adapter.stores._kernel_lock import (
    KernelLocks,
    check_private,
    directory_path,
    private_directory,
    sync_directory,
    typed,
)
from atlassian_auth_adapter.stores.base import Record, TokenKey, record_in, stored_form

__all__ = ["FileTokenStore"]

#: Bytes. A login is some 10 KiB; what is larger was not written by us.
_MAX_SIZE = 1 << 20

#: Seconds that a save waits for another save, which takes milliseconds on a healthy disk.
_SAVE_TIMEOUT = 10.0

#: O_NONBLOCK: opening a FIFO that somebody put there must not hang.
_FLAGS = sum(getattr(os, name, 0) for name in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))

_KEPT = "It was kept as it is; move it away, or forget() the login, and log in again."


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
            data = _read(file)
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
        if len(data) > _MAX_SIZE:
            raise TokenStoreError(f"{file}: the record is larger than {_MAX_SIZE} bytes.")
        with self._locked(key, ".save", _SAVE_TIMEOUT):
            stored = self.load(key)
            if (stored and stored.generation) != expected:
                raise StaleRecordError(
                    f"{file} holds another generation than {expected}. Load the record again."
                )
            with typed("write", file):
                _replace(file, data)

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
            _temporary(file).unlink(missing_ok=True)
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
        return KernelLocks(self.path)(key.digest + suffix, timeout)

    def _file(self, key: TokenKey, suffix: str) -> Path:
        return self.path / (key.digest + suffix)

    def __eq__(self, other: object) -> bool:
        return self.path == other.path if isinstance(other, FileTokenStore) else NotImplemented

    def __hash__(self) -> int:
        return hash((FileTokenStore, self.path))

    def __repr__(self) -> str:
        return f"FileTokenStore({str(self.path)!r})"


def _read(file: Path) -> bytes | None:
    try:
        descriptor = os.open(file, os.O_RDONLY | _FLAGS)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise TokenStoreError(f"{file} is not a regular file. Move it away.")
        check_private(file, status, "600")
        data = stream.read(_MAX_SIZE + 1)
    if len(data) > _MAX_SIZE:
        raise TokenStoreError(f"{file} is larger than {_MAX_SIZE} bytes. {_KEPT}")
    return data


def _temporary(file: Path) -> Path:
    """The one file beside it that a save writes first; nobody else does under the lock of saves."""
    return file.with_suffix(".tmp")


def _replace(file: Path, data: bytes) -> None:
    temporary = _temporary(file)
    temporary.unlink(missing_ok=True)  # what a killed process has left
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(descriptor)
        temporary.replace(file)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_directory(file.parent)

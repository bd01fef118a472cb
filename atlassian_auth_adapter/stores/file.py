"""FileTokenStore: one file per login in a directory of ours, shared by processes.

A record is replaced as a whole (temporary file, fsync, rename, fsync of the directory), so whoever
is killed at whatever moment leaves the old record or the new one. Locks belong to the kernel, which
frees them when their holder dies; the files they hang on stay where they are.
"""

from __future__ import annotations

import errno
import json
import os
import shlex
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from atlassian_auth_adapter.errors import (
    ConfigurationError,
    StaleRecordError,
    TokenStoreError,
    TokenStoreTimeoutError,
)
from atlassian_auth_adapter.stores.base import Record, TokenKey

__all__ = ["FileTokenStore"]

#: Bytes. A login is some 10 KiB; what is larger was not written by us.
_MAX_SIZE = 1 << 20

#: Seconds between two looks at a lock that somebody holds. A look costs about 0.15 ms.
_POLL = 0.02

#: Seconds that a save waits for another save, which takes milliseconds on a healthy disk.
_SAVE_TIMEOUT = 10.0

#: Seconds after which a temporary file is what a killed process has left. A save takes less.
_LEFTOVER_AGE = 60.0

_KEPT = "It was kept as it is; move it away, or forget() the login, and log in again."

_ADVICE = {
    **dict.fromkeys(
        (errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "Free some space, or raise the limit."
    ),
    **dict.fromkeys(
        (errno.EROFS, errno.EACCES, errno.EPERM),
        "Name a directory that this process may write to; in a container, mount it writable.",
    ),
    **dict.fromkeys(
        (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP),
        "This file system has no kernel locks: name a directory on a local one.",
    ),
    **dict.fromkeys((errno.EBUSY, errno.EXDEV), "Mount the directory, not the single files in it."),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "Too many files are open: close some."),
    errno.ELOOP: "It is a symbolic link, which is not followed: put the file itself there.",
}


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
        try:
            self.path = Path(path).expanduser().resolve()
            usable = self.path.is_dir() or not self.path.exists()
        except (OSError, RuntimeError, ValueError) as error:
            raise ConfigurationError(f"{os.fspath(path)!r} is no usable path: {error}.") from error
        if not usable:
            raise ConfigurationError(
                f"{self.path} is not a directory. FileTokenStore keeps a file per login: name the "
                "directory for them."
            )

    def load(self, key: TokenKey) -> Record | None:
        """The record, or None when there is none. Takes no lock.

        Raises:
            TokenStoreError: The file or the directory is damaged, or others than this user have
                access to it. The text names it and what to do; nothing was changed.
        """
        if not self._directory():
            return None
        file = self._file(key, ".json")
        with _typed("read", file):
            data = _read(file)
        return None if data is None else _parse(file, data, key)

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
        data = json.dumps({"key": _identity(key), **record.to_json()}).encode()
        if len(data) > _MAX_SIZE:
            raise TokenStoreError(f"{file}: the record is larger than {_MAX_SIZE} bytes.")
        self._directory(create=True)
        with self._locked(key, ".save.lock", _SAVE_TIMEOUT):
            stored = self.load(key)
            if (stored and stored.generation) != expected:
                raise StaleRecordError(
                    f"{file} holds another generation than {expected}. Load the record again."
                )
            with _typed("write", file):
                self._remove_leftovers("*.tmp", age=_LEFTOVER_AGE)
                _replace(file, data)

    def delete(self, key: TokenKey) -> None:
        """There is no record afterwards, whole or damaged; the lock files stay.

        Raises:
            TokenStoreTimeoutError: Other saves hang: the disk does not answer.
            TokenStoreError: It cannot be deleted.
        """
        if not self._directory():
            return
        file = self._file(key, ".json")
        with self._locked(key, ".save.lock", _SAVE_TIMEOUT), _typed("delete", file):
            file.unlink(missing_ok=True)
            self._remove_leftovers(f"{key.digest}.*.tmp")
            _sync_directory(self.path)

    @contextmanager
    def lock(self, key: TokenKey, *, timeout: float) -> Iterator[None]:
        """Exclusive among all processes of this host, until the context ends or its holder dies.

        Not reentrant. A forked child of the holder does not hold it.

        Args:
            key: What to lock.
            timeout: Seconds to wait for somebody else.

        Raises:
            TokenStoreTimeoutError: Somebody held it all that time.
            TokenStoreError: There are no locks to be had in this directory.
        """
        self._directory(create=True)
        with self._locked(key, ".lock", timeout):
            yield

    @contextmanager
    def _locked(self, key: TokenKey, suffix: str, timeout: float) -> Iterator[None]:
        file = self._file(key, suffix)
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
        with _typed("lock", file):
            try:
                lock.acquire(poll_interval=_POLL)
            except Timeout:
                raise TokenStoreTimeoutError(
                    f"somebody has held {file} for {timeout:g} s. Look for a process that hangs."
                ) from None
        try:
            yield
        finally:
            lock.release()

    def _file(self, key: TokenKey, suffix: str) -> Path:
        return self.path / (key.digest + suffix)

    def _directory(self, *, create: bool = False) -> bool:
        """Whether the directory is there, and only ours."""
        with _typed("use", self.path):
            if create:
                _make_directory(self.path)
            try:
                status = self.path.lstat()
            except FileNotFoundError:
                return False
        if not stat.S_ISDIR(status.st_mode):
            raise TokenStoreError(f"{self.path} is not a directory. Move it away.")
        _check_private(self.path, status, "700")
        return True

    def _remove_leftovers(self, pattern: str, age: float = 0.0) -> None:
        """Remove the temporary files of killed processes; they hold secrets."""
        for leftover in self.path.glob(pattern):
            with suppress(FileNotFoundError):  # somebody else tidies up as well
                if leftover.lstat().st_mtime <= time.time() - age:
                    leftover.unlink()

    def __eq__(self, other: object) -> bool:
        return self.path == other.path if isinstance(other, FileTokenStore) else NotImplemented

    def __hash__(self) -> int:
        return hash((FileTokenStore, self.path))

    def __repr__(self) -> str:
        return f"FileTokenStore({str(self.path)!r})"


def _identity(key: TokenKey) -> dict[str, str]:
    return {
        "issuer": key.issuer,
        "client_id": key.client_id,
        "account": key.account,
        "kind": key.kind,
    }


@contextmanager
def _typed(verb: str, path: Path) -> Iterator[None]:
    """Turn an OSError into a TokenStoreError that says what to do."""
    try:
        yield
    except TokenStoreError:  # the one about time is an OSError, too
        raise
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "Look at the disk.")
        raise TokenStoreError(
            f"cannot {verb} {path}: {error.strerror}. {advice}"
        ) from error.with_traceback(None)  # its frames hold what was to be written


def _check_private(path: Path, status: os.stat_result, mode: str) -> None:
    if not hasattr(os, "geteuid"):  # Windows: the user's profile is private by its access list
        return
    if status.st_uid != os.geteuid():
        raise TokenStoreError(
            f"{path} belongs to user id {status.st_uid}, this process runs as {os.geteuid()}. "
            "Run it as that user, or name another directory."
        )
    if status.st_mode & 0o077:
        raise TokenStoreError(
            f"others have access to {path}. Run: chmod {mode} {shlex.quote(str(path))}"
        )


def _read(file: Path) -> bytes | None:
    # O_NONBLOCK: opening a FIFO that somebody put there must not hang.
    flags = os.O_RDONLY
    for name in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"):
        flags |= getattr(os, name, 0)
    try:
        descriptor = os.open(file, flags)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise TokenStoreError(f"{file} is not a regular file. Move it away.")
        _check_private(file, status, "600")
        data = stream.read(_MAX_SIZE + 1)
    if len(data) > _MAX_SIZE:
        raise TokenStoreError(f"{file} is larger than {_MAX_SIZE} bytes. {_KEPT}")
    return data


def _parse(file: Path, data: bytes, key: TokenKey) -> Record:
    # An error of the parser holds what it parsed, also as the context of the error raised from it.
    # So each except clause only notes what was wrong.
    try:
        stored: Any = json.loads(data)
    except (ValueError, RecursionError):
        stored = None
    if not isinstance(stored, dict) or "key" not in stored:
        raise TokenStoreError(f"{file} is damaged: not a record of this package. {_KEPT}")
    if stored["key"] != _identity(key):
        raise TokenStoreError(f"{file} holds the record of another key. {_KEPT}")
    try:
        return Record.from_json(stored)
    except TokenStoreError as error:
        wrong = str(error)
    except ArithmeticError:
        wrong = f"a number is out of range. {_KEPT}"
    raise TokenStoreError(f"{file}: {wrong}")


def _replace(file: Path, data: bytes) -> None:
    descriptor, name = tempfile.mkstemp(".tmp", f"{file.stem}.", file.parent)
    temporary = Path(name)
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
    _sync_directory(file.parent)


def _make_directory(path: Path) -> None:
    if path.is_dir():
        return
    _make_directory(path.parent)
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    with suppress(PermissionError):  # a parent that may be written but not read
        _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    if not hasattr(os, "O_DIRECTORY"):  # Windows has no such call and keeps names by itself
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Kernel locks in a private directory: what stores use that the processes of one host share.

The kernel frees a lock when its holder dies, however it dies. The file that a lock hangs on stays
where it is: a lock file whose existence is the lock would outlive a crash.
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from atlassian_auth_adapter.errors import (
    ConfigurationError,
    TokenStoreError,
    TokenStoreTimeoutError,
)

__all__ = [
    "KernelLocks",
    "check_private",
    "directory_path",
    "private_directory",
    "sync_directory",
    "typed",
]

#: Seconds between two looks at a lock that somebody holds. A look costs about 0.15 ms.
_POLL = 0.02

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
            timeout: Seconds to wait for somebody else.

        Raises:
            TokenStoreTimeoutError: Somebody held it all that time.
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
                    f"somebody has held {file} for {timeout:g} s. Look for a process that hangs."
                ) from None
        try:
            yield
        finally:
            lock.release()


def directory_path(path: str | os.PathLike[str], purpose: str) -> Path:
    """The absolute path of a directory that is there or can be made; `~` is expanded.

    Args:
        path: As the program named it.
        purpose: What it is for: a sentence for the error.

    Raises:
        ConfigurationError: It cannot be a directory.
    """
    try:
        absolute = Path(path).expanduser().resolve()
        usable = absolute.is_dir() or not absolute.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigurationError(f"{os.fspath(path)!r} is no usable path: {error}.") from error
    if not usable:
        raise ConfigurationError(f"{absolute} is not a directory. {purpose}")
    return absolute


def private_directory(path: Path, *, create: bool = False) -> bool:
    """Whether the directory is there, and only ours.

    Raises:
        TokenStoreError: It is somebody else's, or others have access to it.
    """
    with typed("use", path):
        if create:
            _make_directory(path)
        try:
            status = path.lstat()
        except FileNotFoundError:
            return False
    if not stat.S_ISDIR(status.st_mode):
        raise TokenStoreError(f"{path} is not a directory. Move it away.")
    check_private(path, status, "700")
    return True


def check_private(path: Path, status: os.stat_result, mode: str) -> None:
    """Refuse what others can access, naming the mode that it should have.

    Raises:
        TokenStoreError: It is somebody else's, or others have access to it.
    """
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


@contextmanager
def typed(verb: str, path: Path) -> Iterator[None]:
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


def sync_directory(path: Path) -> None:
    """The names in it are on the disk when this returns."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows has no such call and keeps names by itself
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_directory(path: Path) -> None:
    if path.is_dir():
        return
    _make_directory(path.parent)
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    with suppress(PermissionError):  # a parent that may be written but not read
        sync_directory(path.parent)

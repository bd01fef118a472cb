"""Private files and directories, for stores and profiles."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from atlassian_auth_adapter.errors import ConfigurationError, TokenStoreError, raise_clean
from atlassian_auth_adapter.secret_text import SecretBytes

__all__ = [
    "MAX_SIZE",
    "check_private",
    "check_trusted",
    "directory_path",
    "expanded",
    "home_known",
    "make_directory",
    "private_directory",
    "read_file",
    "replace_file",
    "sync_directory",
    "temporary",
    "typed",
]

#: Bytes. A login has some 10 KiB; this package writes no larger file.
MAX_SIZE = 1 << 20

#: O_NONBLOCK: opening a FIFO must not hang.
_FLAGS = sum(getattr(os, name, 0) for name in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))

#: What to do about an OSError, by its number.
_ADVICE = {
    (errno.ENOSPC, errno.EDQUOT, errno.EFBIG): "Free some space, or raise the limit.",
    (errno.EROFS, errno.EACCES, errno.EPERM): (
        "Name a directory that this process may write to; in a container, mount it writable."
    ),
    (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP): (
        "This file system has no kernel locks: name a directory on a local one."
    ),
    (errno.EBUSY, errno.EXDEV): "Mount the directory, not the single files in it.",
    (errno.EMFILE, errno.ENFILE): "Too many files are open: close some.",
    (errno.ELOOP,): "It is a symbolic link, which is not followed: put the file itself there.",
}


@contextmanager
def home_known(otherwise: str) -> Iterator[None]:
    """Raise ConfigurationError if something within needs a home directory that is not known.

    Containers run as a user id without an entry in the list of users, and without HOME; and of
    `~name` the user may not exist. `otherwise` says what else can be done.
    """
    try:
        yield
    except RuntimeError as error:  # of pathlib and of platformdirs
        raise ConfigurationError(
            "the home directory is not known: there is no such user on this machine. Set HOME to "
            f"an absolute path if the path begins with ~/, or {otherwise}."
        ) from error


def expanded(path: str, otherwise: str) -> Path:
    """The path, with `~` expanded. Raises ConfigurationError as `home_known`."""
    with home_known(otherwise):
        return Path(path).expanduser()


def directory_path(path: str | os.PathLike[str], purpose: str) -> Path:
    """The absolute path of a directory that exists or can be made; `~` is expanded.

    If it cannot be a directory, ConfigurationError says so and what it is for (`purpose`).
    """
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else path
    if not isinstance(text, str) or not text:
        raise ConfigurationError(
            "a path of a directory is text or a Path, and not empty: a value of type "
            f"{type(path).__name__} was given. {purpose}"
        )
    if any(character < " " or character == "\x7f" for character in text):
        raise ConfigurationError(
            f"that is not a usable path: it holds a character that cannot be seen, such "
            f"as a line break. {purpose}"
        )
    home = expanded(text, "give an absolute path")
    try:
        absolute = home.resolve()
        usable = absolute.is_dir() or not absolute.exists()
    except (OSError, RuntimeError, ValueError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise_clean(ConfigurationError(f"that is not a usable path ({why}). {purpose}"))
    if not usable:
        raise ConfigurationError(f"{absolute} is not a directory. {purpose}")
    return absolute


def private_directory(path: Path, *, create: bool = False) -> bool:
    """Whether the directory exists; raises TokenStoreError if other users have access to it."""
    with typed("use", path):
        if create:
            make_directory(path)
        try:
            status = path.lstat()
        except FileNotFoundError:
            return False
    if not stat.S_ISDIR(status.st_mode):
        raise TokenStoreError(f"{path} is not a directory. Move it away.")
    check_private(path, status, "700")
    return True


def check_private(path: Path, status: os.stat_result, mode: str = "600") -> None:
    """Raise TokenStoreError, which names the right mode, if other users have access."""
    _check(path, status, "have access to", 0o077, mode, owners=set())


def check_trusted(path: Path, status: os.stat_result) -> None:
    """Raise TokenStoreError if users other than this one and root may write to it."""
    _check(path, status, "may write to", 0o022, "go-w", owners={0})


@contextmanager
def typed(verb: str, path: Path) -> Iterator[None]:
    """Turn an OSError into a TokenStoreError that says what to do."""
    try:
        yield
    except TokenStoreError:  # TokenStoreTimeoutError is an OSError as well
        raise
    except OSError as error:
        known = (advice for numbers, advice in _ADVICE.items() if error.errno in numbers)
        advice = next(known, "Look at the disk.")
        raise TokenStoreError(
            f"cannot {verb} {path}: {error.strerror}. {advice}"
        ) from error.with_traceback(None)  # its frames hold what was to be written


def sync_directory(path: Path) -> None:
    """The names in the directory are on the disk when this returns."""
    if sys.platform != "win32":  # which has no such call, and needs none
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def make_directory(path: Path) -> None:
    """Make the directory and every missing one above it, with mode 0700; may raise OSError."""
    if path.is_dir():
        return
    make_directory(path.parent)
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    with suppress(PermissionError):  # a parent that may be written but not read
        sync_directory(path.parent)


def read_file(file: Path, check: Callable[[Path, os.stat_result], None]) -> bytes | None:
    """What is in the file, or None if it does not exist; a link is not followed.

    Args:
        file: Which one.
        check: Raises TokenStoreError for a wrong owner or mode.

    Raises:
        TokenStoreError: As `check`; or it is not a regular file, or too large.
        OSError: It cannot be read.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY | _FLAGS)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise TokenStoreError(f"{file} is not a regular file. Move it away.")
        check(file, status)
        data = SecretBytes(stream.read(MAX_SIZE + 1))
    if len(data) > MAX_SIZE:
        raise TokenStoreError(
            f"{file} is larger than {MAX_SIZE} bytes. It was kept as it is; move it away."
        )
    return data


def temporary(file: Path) -> Path:
    """The one file beside it that a save writes first, under the lock of saves."""
    return file.with_suffix(".tmp")


def replace_file(file: Path, data: bytes) -> None:
    """The data replaced the file, with mode 0600, and are on the disk.

    Raises:
        OSError: It cannot be written; the file is as it was.
    """
    new = temporary(file)
    new.unlink(missing_ok=True)  # a killed process may have left one
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(descriptor)
        new.replace(file)
    except BaseException:
        with suppress(OSError):
            new.unlink()
        raise
    sync_directory(file.parent)


def _check(
    path: Path, status: os.stat_result, others: str, mask: int, mode: str, *, owners: set[int]
) -> None:
    if not hasattr(os, "geteuid"):  # Windows: the user's profile is private by its access list
        return
    if status.st_uid not in owners | {os.geteuid()}:
        raise TokenStoreError(
            f"{path} belongs to user id {status.st_uid}, this process runs as {os.geteuid()}. "
            "Run the program as that user, or name another directory."
        )
    if status.st_mode & mask:
        from shlex import quote

        raise TokenStoreError(f"other users {others} {path}. Run: chmod {mode} {quote(str(path))}")

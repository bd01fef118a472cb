"""FileTokenStore: one file per entry in a private directory, shared by processes.

    fb4c16e78550eae9a58551103306e889.json      {"version": 3, "text": "<what was saved>"}
    fb4c16e78550eae9a58551103306e889.lock      the file of the kernel lock; it is never deleted
    fb4c16e78550eae9a58551103306e889+save.lock the same for saves (no name has a "+")

A file is replaced as a whole (temporary file, fsync, rename, fsync of the directory), so a process
that is killed at any moment leaves the old entry or the new one. The kernel frees the locks of a
process that dies.
"""

from __future__ import annotations

import json
import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from atlassian_auth_adapter.disk.files import (
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
from atlassian_auth_adapter.errors import TokenStoreError
from atlassian_auth_adapter.secret_text import SecretBytes, hidden
from atlassian_auth_adapter.stores.base import KEPT, Entry, check_version, checked_name

__all__ = ["FileTokenStore"]

#: Seconds that a save waits for another save, which takes milliseconds on a healthy disk.
_SAVE_TIMEOUT = 10.0


class FileTokenStore:
    """Keeps each entry in a file of its own; threads and processes of one host may share it.

    The directory has mode 0700 and is created when the first entry is saved; the files have mode
    0600. What has another mode or owner, or is a link, is refused, not repaired. All methods block
    on file I/O. A pickle holds the path only.

    Args:
        path: The directory; `~` is expanded.

    Raises:
        ConfigurationError: `path` cannot be a directory.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Path = directory_path(
            path, "FileTokenStore keeps a file per login: name the directory for them."
        )

    def load(self, name: str) -> Entry | None:
        """As `TokenStore.load`. Takes no lock.

        Raises:
            TokenStoreError: Also: other users have access to the file or the directory.
        """
        file = self._file(name)
        if not private_directory(self.path):
            return None
        with typed("read", file):
            data = read_file(file, check_private)
        return None if data is None else _entry(data, file)

    def save(self, name: str, text: str, *, expected: int | None) -> None:
        """As `TokenStore.save`. Needs no lock: saves have a lock of their own.

        Raises:
            TokenStoreTimeoutError: Another save hangs: the disk does not answer.
            TokenStoreError: As the protocol says. But when only the last step failed, which makes
                the name of the new file durable, the new entry is stored.
        """
        file, text = self._file(name), hidden(text)
        with self._locked(f"{name}+save", _SAVE_TIMEOUT):
            version = check_version(self.load(name), expected, str(file))
            data = SecretBytes(json.dumps({"version": version, "text": text}).encode())
            if len(data) > MAX_SIZE:
                raise TokenStoreError(f"{file}: the entry is larger than {MAX_SIZE} bytes.")
            with typed("write", file):
                replace_file(file, data)

    def delete(self, name: str) -> None:
        """As `TokenStore.delete`; the lock files stay.

        Raises:
            TokenStoreTimeoutError: Another save hangs: the disk does not answer.
        """
        file = self._file(name)
        if not private_directory(self.path):
            return
        with self._locked(f"{name}+save", _SAVE_TIMEOUT), typed("delete", file):
            file.unlink(missing_ok=True)
            temporary(file).unlink(missing_ok=True)
            sync_directory(self.path)

    def lock(self, name: str, *, timeout: float) -> AbstractContextManager[None]:
        """As `TokenStore.lock`, among the processes of this host."""
        return self._locked(checked_name(name), timeout)

    def _locked(self, name: str, timeout: float) -> AbstractContextManager[None]:
        # A program that only reads loads no locks.
        from atlassian_auth_adapter.disk.kernel_locks import kernel_lock

        return kernel_lock(self.path, name, timeout)

    def _file(self, name: str) -> Path:
        return self.path / f"{checked_name(name)}.json"

    def __repr__(self) -> str:
        return f"FileTokenStore({str(self.path)!r})"


def _entry(data: bytes, file: Path) -> Entry:
    try:
        stored: Any = hidden(json.loads(data))
    except (ValueError, RecursionError):  # it holds what was parsed, so nothing is raised in here
        stored = None
    match stored:
        case {"version": int(version), "text": str(text)} if version > 0:
            return Entry(text, version)
        case {"version": 1, "key": _}:
            raise TokenStoreError(
                f"{file} was written by an earlier release, in a form that this one does not read. "
                "forget() the login, or delete the file, and sign in again."
            )
    raise TokenStoreError(f"{file} is damaged: not a file of this package. {KEPT}")

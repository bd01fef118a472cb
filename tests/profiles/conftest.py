"""What the tests of profiles share: a home of their own, a keyring, a profile with a login."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import keyring.core
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked, PasswordDeleteError

from atlassian_auth_adapter import CloudEnvironment, ConfigurationError, Profile
from atlassian_auth_adapter.clients.environment import VARIABLES
from atlassian_auth_adapter.profiles.directories import config_file
from atlassian_auth_adapter.profiles.stores import _stores

Write = Callable[[str], Path]

SECRET = "s3cr3t-of-the-client"
#: User id that has no rights.
OTHER_USER = 65534
WORK = Profile("work", client_id="id", site_url="https://acme.atlassian.net", store="file")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of one's own, without profiles and without ATLASSIAN_ variables."""
    for name in (*os.environ, *VARIABLES):
        if name.startswith("ATLASSIAN_"):
            monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    for name in ("CONFIG", "DATA", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / "home" / name.lower()))
    return tmp_path / "home"


@pytest.fixture
def written(home: Path) -> Write:
    """Writes the file of profiles, as a person does."""

    def write(text: str) -> Path:
        file = config_file()
        file.parent.mkdir(0o755, parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text), "utf-8")
        return file

    return write


class Keyring(KeyringBackend):
    """A keyring in a directory, which may be locked."""

    viable = False  # `keyring.get_keyring()` does not choose it
    is_locked = False

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory
        self.reads = 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Keyring) and self.directory == other.directory

    def __hash__(self) -> int:
        return hash(self.directory)

    def _file(self, service: str, username: str) -> Path:
        if self.is_locked:
            raise KeyringLocked("it is locked")
        self.directory.mkdir(exist_ok=True)
        return self.directory / quote(f"{service} {username}", safe="")

    def get_password(self, service: str, username: str) -> str | None:
        """The text, or None."""
        self.reads += 1
        try:
            return self._file(service, username).read_text()
        except FileNotFoundError:
            return None

    def set_password(self, service: str, username: str, password: str) -> None:
        """Write an entry."""
        self._file(service, username).write_text(password)

    def delete_password(self, service: str, username: str) -> None:
        """An error when it is not there."""
        try:
            self._file(service, username).unlink()
        except FileNotFoundError:
            raise PasswordDeleteError("there is none") from None


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Callable[[KeyringBackend], KeyringBackend]:
    """Makes `keyring.get_keyring()` return a backend."""

    def find(backend: KeyringBackend) -> KeyringBackend:
        monkeypatch.setattr(keyring.core, "_keyring_backend", backend)
        return backend

    return find


@pytest.fixture
def another_process() -> Callable[[], None]:
    """Makes this process know as little of stores as one that has just begun."""
    return _stores.clear


@pytest.fixture
def vault(found: Callable[[KeyringBackend], Any], tmp_path: Path) -> Keyring:
    """A keyring that works."""
    made: Keyring = found(Keyring(tmp_path / "vault"))
    return made


def refused(work: Callable[[], object], *words: object) -> str:
    """The text of the ConfigurationError of `work()`, with these words and without a secret."""
    with pytest.raises(ConfigurationError) as raised:
        work()
    for word in words:
        assert str(word) in str(raised.value)
    error: BaseException | None = raised.value
    while error is not None:
        assert "s3cr3t" not in f"{error} {error!r} {vars(error)} {getattr(error, 'doc', '')}"
        error = error.__cause__ or error.__context__
    return str(raised.value)


def sealed_files(home: Path) -> Path:
    """Where the files are that are sealed with the key of the keyring."""
    return home / "data" / "atlassian_auth_adapter" / "keyring"


def hosts_of(cloud: Any) -> CloudEnvironment:
    """The hosts of the emulator's Cloud."""
    return CloudEnvironment(cloud.auth_url, cloud.api_url, cloud.audience)

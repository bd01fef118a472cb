"""Where profiles, logins and client secrets are kept; the one door to platformdirs."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from atlassian_auth_adapter.clients.environment import text_of
from atlassian_auth_adapter.disk.files import directory_path, home_known
from atlassian_auth_adapter.errors import optional_import

with optional_import("platformdirs", "cli"):
    if not find_spec("platformdirs"):  # loaded when a directory is not named by a variable
        raise ModuleNotFoundError

__all__ = ["APP", "CONFIG_DIR", "TOKEN_DIRECTORY", "config_file", "data_directory"]

APP = "atlassian_auth_adapter"
CONFIG_DIR, TOKEN_DIRECTORY = "ATLASSIAN_CONFIG_DIR", "ATLASSIAN_TOKEN_DIRECTORY"


def config_file() -> Path:
    """Path of profiles.toml: the file itself, with all links followed.

    Raises:
        ConfigurationError: `ATLASSIAN_CONFIG_DIR` cannot be a directory.
    """
    directory = _directory(CONFIG_DIR, "config")
    return (directory / "profiles.toml").resolve()


def data_directory() -> Path:
    """The directory of logins and client secrets; it need not exist yet.

    Raises:
        ConfigurationError: `ATLASSIAN_TOKEN_DIRECTORY` cannot be a directory.
    """
    return _directory(TOKEN_DIRECTORY, "data")


def _directory(variable: str, kind: Literal["config", "data"]) -> Path:
    with home_known(f"set {variable} to a directory"):
        directory = text_of(variable) or _directory_of_platform(kind)
    return directory_path(directory, f"Set {variable} to a directory.")


def _directory_of_platform(kind: Literal["config", "data"]) -> Path:
    import platformdirs

    directories = platformdirs.PlatformDirs(APP, False)
    path = directories.user_config_path if kind == "config" else directories.user_data_path
    return path.expanduser()  # before platformdirs 4.12 it may begin with ~

"""Where profiles, logins and client secrets are kept; the one door to platformdirs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from atlassian_auth_adapter.clients.environment import text_of
from atlassian_auth_adapter.disk.files import directory_path, home_known
from atlassian_auth_adapter.errors import optional_import

with optional_import("platformdirs", "cli"):
    import platformdirs

__all__ = ["APP", "CONFIG_DIR", "TOKEN_DIRECTORY", "config_file", "data_directory"]

APP = "atlassian_auth_adapter"
CONFIG_DIR, TOKEN_DIRECTORY = "ATLASSIAN_CONFIG_DIR", "ATLASSIAN_TOKEN_DIRECTORY"


def config_file() -> Path:
    """Path of profiles.toml: the file itself, with all links followed.

    Raises:
        ConfigurationError: `ATLASSIAN_CONFIG_DIR` cannot be a directory.
    """
    directory = _directory(CONFIG_DIR, lambda: platformdirs.user_config_path(APP, False))
    return (directory / "profiles.toml").resolve()


def data_directory() -> Path:
    """The directory of logins and client secrets; it need not exist yet.

    Raises:
        ConfigurationError: `ATLASSIAN_TOKEN_DIRECTORY` cannot be a directory.
    """
    return _directory(TOKEN_DIRECTORY, lambda: platformdirs.user_data_path(APP, False))


def _directory(variable: str, of_platform: Callable[[], Path]) -> Path:
    with home_known(f"set {variable} to a directory"):
        directory = text_of(variable) or of_platform()
    return directory_path(directory, f"Set {variable} to a directory.")

"""Where a profile's login and client secret are kept: the stores, and the secrets in them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from atlassian_auth_adapter.atlassian.products import COMMERCIAL, product_named
from atlassian_auth_adapter.clients.environment import (
    PLACE_ARGUMENTS,
    text_of,
)
from atlassian_auth_adapter.clients.places import Place, place_of
from atlassian_auth_adapter.errors import (
    ConfigurationError,
    TokenStoreError,
    raise_clean,
)
from atlassian_auth_adapter.profiles.directories import APP, TOKEN_DIRECTORY, data_directory
from atlassian_auth_adapter.profiles.profile import Profile, StoreName
from atlassian_auth_adapter.stores.base import Entry, TokenStore
from atlassian_auth_adapter.stores.file import FileTokenStore

__all__ = [
    "choose_store",
    "directory_of",
    "open_store",
    "place_in",
]

#: Seconds that a person has to unlock the keyring when it is tried before a login.
UNLOCK_TIMEOUT = 30.0
#: Seconds to wait for another process that tries the store.
LOCK_TIMEOUT = 10.0
#: Characters, as many as a login may have: a disk may have room for less.
_PROBE_SIZE = 10_000

_INSTEAD = {
    "keyring": 'To keep logins in files that only you can read, choose the store "file": '
    "atlassian-auth login --store file",
    "file": f"Or set {TOKEN_DIRECTORY} to another directory.",
}


# --- stores ---------------------------------------------------------------------------------------


def choose_store(preference: Literal["", StoreName] = "") -> StoreName:
    """A store that works: a record was written, read back and deleted. Blocks on the store.

    Call it before a person is asked to log in. Nothing weaker is ever chosen instead: without a
    preference it is the keyring, or "file" if `ATLASSIAN_TOKEN_DIRECTORY` names the directory.

    Args:
        preference: Which one; "": no preference.

    Raises:
        ConfigurationError: It does not work; the text says why, and what to choose.
    """
    Profile(store=preference)  # refuses any other
    name: StoreName = preference or ("file" if text_of(TOKEN_DIRECTORY) else "keyring")
    try:
        _try_out(_new_store(name, UNLOCK_TIMEOUT))
    except (ConfigurationError, TokenStoreError) as error:
        reason = error.args[0]  # without its advice, which is for programs that make their store
        text = f"the store {name!r} does not work here: {reason}"
        raise_clean(ConfigurationError(text, advice=_INSTEAD[name]))
    return name


def _try_out(store: TokenStore) -> None:
    name, text = "probe", "x" * _PROBE_SIZE
    with store.lock(name, timeout=LOCK_TIMEOUT):
        store.delete(name)  # what a killed process has left
        try:
            store.save(name, text, expected=None)
            if store.load(name) != Entry(text, 1):
                raise TokenStoreError(f"{store!r} did not keep what was written to it.")
        finally:
            store.delete(name)


#: By process, name and directory: the stores that are open, so that a process reads the keyring
#: once. Two threads that open the same one at the same moment may get a store each.
_stores: dict[tuple[int, str, Path], TokenStore] = {}


def open_store(name: str) -> TokenStore:
    """The store "keyring" or "file", opened by the first call in this process.

    Raises:
        ConfigurationError, TokenStoreError: It cannot be used.
    """
    return _stores.get((os.getpid(), name, data_directory())) or _new_store(name)


def directory_of(name: str) -> Path:
    """The directory of the files of the store "keyring" or "file"."""
    return data_directory() / "keyring" if name == "keyring" else data_directory()


def _new_store(name: str, timeout: float = 5.0) -> TokenStore:
    """A new store, which `open_store` returns from now on; the timeout is the keyring's."""
    directory = data_directory()
    store: TokenStore = FileTokenStore(directory)
    if name != "file":
        from atlassian_auth_adapter.stores.keyring import KeyringTokenStore  # loads the keyring

        store = KeyringTokenStore(APP, directory=directory_of("keyring"), timeout=timeout)
    _stores[os.getpid(), name, directory] = store
    return store


def place_in(arguments: Mapping[str, Any]) -> Place:
    """The place that the arguments of a client mean; without any, the Cloud of the product.

    Raises:
        ConfigurationError: They are invalid or contradictory.
    """
    product = product_named(arguments.get("product", "jira"))
    given = {name: arguments[name] for name in (*PLACE_ARGUMENTS, "cloud") if arguments.get(name)}
    return place_of(product.name, **(given or {"cloud": product.own_cloud or COMMERCIAL}))

"""What a test may read and change of a client's state, without private names of the package.

A client's login lives in two places: in its store, and in the memory of the process, which the
clients of one process share. These functions read and write the first, and split the second, so
that one process can act as several.
"""

# ruff: noqa: SLF001 - the one place that may know where a client keeps its parts

from __future__ import annotations

import sys

from atlassian_auth_adapter import records
from atlassian_auth_adapter.clients.base import AtlassianClient
from atlassian_auth_adapter.records import Login
from atlassian_auth_adapter.refresh import login as shared_state
from atlassian_auth_adapter.refresh.login import SharedLogin
from atlassian_auth_adapter.refresh.source import RefreshingTokenSource

__all__ = [
    "forget_process_state",
    "is_saving_later",
    "save_login",
    "separate_process_state",
    "shared_login",
    "stored_login",
    "stored_version",
]


def stored_login(client: AtlassianClient) -> Login | None:
    """The login that the client's own store holds, or None. May block on the store.

    Raises:
        TokenStoreError: The store failed.
    """
    return records.load(client._store, client.token_key, Login)[0]


def stored_version(client: AtlassianClient) -> int | None:
    """The version of that entry: how often it was saved. May block on the store.

    Raises:
        TokenStoreError: The store failed.
    """
    return records.load(client._store, client.token_key, Login)[1]


def save_login(client: AtlassianClient, login: Login) -> None:
    """The client's store holds this login, whatever it held before; the client does not know it.

    So a test does what another process, another program or a restored backup would do.

    Raises:
        TokenStoreError: The store failed.
    """
    records.change(client._store, client.token_key, Login, lambda _: login)


def separate_process_state(*clients: AtlassianClient, process: object = None) -> None:
    """These clients share memory with each other and no others, as in a process of their own.

    They know nothing at first: what they use next comes from their stores. Do it before they are
    used; a refresh under way goes on where it was.

    Args:
        clients: Which.
        process: Clients that were given an equal one share memory as well; None: a new one.
    """
    process = object() if process is None else process
    for client in clients:
        client._source.join_process(process)


def forget_process_state() -> None:
    """Clients that are made from now on behave as those of a new process.

    Clients that exist already go on sharing what they share.
    """
    shared_state.forget_process_state()


def shared_login(client: AtlassianClient) -> SharedLogin:
    """What the client knows at this moment, and shares with others of its process."""
    return client._source._membership.shared


def is_saving_later() -> bool:
    """Whether the calling thread is one that tries again, beside the callers, to save a login."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code is RefreshingTokenSource._save_later.__code__:
            return True
    return False

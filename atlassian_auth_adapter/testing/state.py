"""What a process knows of its logins: for tests that look at it, or play several processes."""

from __future__ import annotations

import sys

from atlassian_auth_adapter.clients.base import AtlassianClient
from atlassian_auth_adapter.refresh import login
from atlassian_auth_adapter.refresh.login import SharedLogin
from atlassian_auth_adapter.refresh.source import RefreshingTokenSource

__all__ = ["forget_process_state", "is_saving_later", "move_to_process", "shared_login"]


def forget_process_state() -> None:
    """Clients that are made from now on find nothing in memory, as in a process that begins.

    Those from before keep what they know.
    """
    with login._registry_lock:  # noqa: SLF001 - this module is the one that may
        login._by_login_id.clear()  # noqa: SLF001


def move_to_process(client: AtlassianClient, name: str) -> None:
    """The client shares what it knows with clients of that process only, as if it lived there.

    Call it before the client's first use.
    """
    membership = client._source._membership  # noqa: SLF001
    membership._name = f"{name}:{client.token_key.name}"  # noqa: SLF001


def shared_login(client: AtlassianClient) -> SharedLogin:
    """What the client knows, and shares with others of its process."""
    return client._source._membership.shared  # noqa: SLF001


def is_saving_later() -> bool:
    """Whether the calling thread tries again, beside the callers, to save what was not saved."""
    frame = sys._getframe()  # noqa: SLF001
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code is RefreshingTokenSource._save_later.__code__:  # noqa: SLF001
            return True
    return False

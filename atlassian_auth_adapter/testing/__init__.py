"""For authors of tests: a local Atlassian, contract suites, a clock, and access to logins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atlassian_auth_adapter.lazy import loading

if TYPE_CHECKING:
    from .clock import FakeClock as FakeClock
    from .contracts.adapters import AuthAdapterContract as AuthAdapterContract
    from .contracts.stores import TokenStoreContract as TokenStoreContract
    from .local import AtlassianEmulator as AtlassianEmulator
    from .state import (
        forget_process_state as forget_process_state,
        save_login as save_login,
        separate_process_state as separate_process_state,
        stored_login as stored_login,
        stored_version as stored_version,
    )

_HOME_OF = {
    "AtlassianEmulator": "local",
    "AuthAdapterContract": "contracts.adapters",
    "FakeClock": "clock",
    "TokenStoreContract": "contracts.stores",
    "forget_process_state": "state",
    "save_login": "state",
    "separate_process_state": "state",
    "stored_login": "state",
    "stored_version": "state",
}

__all__ = [
    "AtlassianEmulator",
    "AuthAdapterContract",
    "FakeClock",
    "TokenStoreContract",
    "forget_process_state",
    "save_login",
    "separate_process_state",
    "stored_login",
    "stored_version",
]

if not TYPE_CHECKING:  # a type checker has the imports above, and tells of a wrong name
    __getattr__, __dir__ = loading(__name__, _HOME_OF)

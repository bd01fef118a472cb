"""For people who write tests: a local Atlassian, contract suites, a clock, and a look at logins."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .clock import FakeClock as FakeClock
    from .contracts.adapters import AuthAdapterContract as AuthAdapterContract
    from .contracts.stores import TokenStoreContract as TokenStoreContract
    from .emulator import AtlassianEmulator as AtlassianEmulator
    from .state import (
        forget_process_state as forget_process_state,
        save_login as save_login,
        separate_process_state as separate_process_state,
        stored_login as stored_login,
        stored_version as stored_version,
    )

_HOME_OF = {
    "AtlassianEmulator": "emulator",
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


def __getattr__(name: str) -> Any:
    try:
        home = _HOME_OF[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)

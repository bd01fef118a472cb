"""For people who write tests: a local Atlassian, contract suites, a clock to move."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .clock import FakeClock as FakeClock
    from .contracts.adapters import AuthAdapterContract as AuthAdapterContract
    from .contracts.stores import TokenStoreContract as TokenStoreContract
    from .emulator import AtlassianEmulator as AtlassianEmulator

_HOME_OF = {
    "AtlassianEmulator": "emulator",
    "AuthAdapterContract": "contracts.adapters",
    "FakeClock": "clock",
    "TokenStoreContract": "contracts.stores",
}

__all__ = ["AtlassianEmulator", "AuthAdapterContract", "FakeClock", "TokenStoreContract"]


def __getattr__(name: str) -> Any:
    try:
        home = _HOME_OF[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)

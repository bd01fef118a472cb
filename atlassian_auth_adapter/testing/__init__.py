"""For people who write tests: a local Atlassian, contract suites, a clock to move."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from atlassian_auth_adapter.testing.adapter_contract import (
        AuthAdapterContract as AuthAdapterContract,
    )
    from atlassian_auth_adapter.testing.clock import FakeClock as FakeClock
    from atlassian_auth_adapter.testing.emulator import AtlassianEmulator as AtlassianEmulator
    from atlassian_auth_adapter.testing.store_contract import (
        TokenStoreContract as TokenStoreContract,
    )

_HOME_OF = {
    "AtlassianEmulator": "emulator",
    "AuthAdapterContract": "adapter_contract",
    "FakeClock": "clock",
    "TokenStoreContract": "store_contract",
}

__all__ = ["AtlassianEmulator", "AuthAdapterContract", "FakeClock", "TokenStoreContract"]


def __getattr__(name: str) -> Any:
    try:
        home = _HOME_OF[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)

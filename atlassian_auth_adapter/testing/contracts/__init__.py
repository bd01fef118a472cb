"""What every store and every auth object must do, as tests that a test class of yours inherits.

A store:

    class TestMyTokenStore(TokenStoreContract):
        shared_between_processes = True

        @pytest.fixture
        def store(self, tmp_path):
            return MyTokenStore(tmp_path)

        @pytest.fixture
        def reopened(self, tmp_path):
            return MyTokenStore(tmp_path)

An auth object (`world.py` has Call, Reply and Sent):

    class TestMyAuth(AuthAdapterContract):
        request_error = mylibrary.RequestError

        def auth(self, source, **options):
            return MyAuth(source, **options)

        def exchange(self, *calls, auth, at_once=False, **options):
            ...send each call through one client, return a Reply for each...

        def rehearse(self, *calls, auth, answers=()):
            ...send each call to a double of the network, return what it was Sent...

One for a library that speaks the interface of httpx:

    class TestMyHTTPX(SyncHTTPXFamilyContract):
        library = myhttpx
        auth_class = MyAuth

Needs pytest. The tests of auth objects run against the emulator, on a clock of their own. No test
sleeps: they wait for barriers, events, pipes and the end of processes.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .adapters import AuthAdapterContract as AuthAdapterContract
    from .httpx_family import (
        AsyncHTTPXFamilyContract as AsyncHTTPXFamilyContract,
        SyncHTTPXFamilyContract as SyncHTTPXFamilyContract,
    )
    from .stores import TokenStoreContract as TokenStoreContract

# Loaded on first use: the processes that a store's tests start need nothing of the adapters'.
_HOME_OF = {
    "AsyncHTTPXFamilyContract": "httpx_family",
    "AuthAdapterContract": "adapters",
    "SyncHTTPXFamilyContract": "httpx_family",
    "TokenStoreContract": "stores",
}

__all__ = [
    "AsyncHTTPXFamilyContract",
    "AuthAdapterContract",
    "SyncHTTPXFamilyContract",
    "TokenStoreContract",
]


def __getattr__(name: str) -> Any:
    try:
        home = _HOME_OF[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)

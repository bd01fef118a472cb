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

        def send_offline(self, *calls, auth, answers=()):
            ...send each call without a network, return what would have been Sent...

One for a library that speaks the interface of httpx:

    class TestMyHTTPX(SyncHTTPXFamilyContract):
        library = myhttpx
        auth_class = MyAuth

Needs pytest. The tests of auth objects run against the emulator, on a clock of their own. No test
sleeps: they wait for barriers, events, pipes and the end of processes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atlassian_auth_adapter.lazy import loading

if TYPE_CHECKING:
    from .adapters import AuthAdapterContract as AuthAdapterContract
    from .httpx_family import (
        AsyncHTTPXFamilyContract as AsyncHTTPXFamilyContract,
        SyncHTTPXFamilyContract as SyncHTTPXFamilyContract,
    )
    from .stores import TokenStoreContract as TokenStoreContract

# On first use: the processes that a store's tests start do not need the tests of adapters.
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

if not TYPE_CHECKING:  # a type checker has the imports above, and tells of a wrong name
    __getattr__, __dir__ = loading(__name__, _HOME_OF)

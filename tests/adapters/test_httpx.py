"""The auth object for httpx: the contract, sync and on both event loops."""

from __future__ import annotations

import httpx

from atlassian_auth_adapter import AtlassianHTTPXAuth
from atlassian_auth_adapter.testing.contracts import (
    AsyncHTTPXFamilyContract,
    SyncHTTPXFamilyContract,
)
from atlassian_auth_adapter.testing.contracts.httpx_family import HTTPXEventLoopTests


class TestSync(SyncHTTPXFamilyContract):
    library = httpx
    auth_class = AtlassianHTTPXAuth


class TestAsyncio(AsyncHTTPXFamilyContract):
    library = httpx
    auth_class = AtlassianHTTPXAuth
    backend = "asyncio"


class TestTrio(HTTPXEventLoopTests):
    library = httpx
    auth_class = AtlassianHTTPXAuth
    backend = "trio"

"""The auth object for httpx2: the contract, sync and on both event loops."""

from __future__ import annotations

import httpx2
import pytest

from atlassian_auth_adapter import AtlassianHTTPX2Auth
from atlassian_auth_adapter.testing.contracts import (
    AsyncHTTPXFamilyContract,
    SyncHTTPXFamilyContract,
)
from atlassian_auth_adapter.testing.contracts.httpx_family import HTTPXEventLoopTests


class TestSync(SyncHTTPXFamilyContract):
    library = httpx2
    auth_class = AtlassianHTTPX2Auth


@pytest.mark.slow  # the same code as for httpx, with the same tests
class TestAsyncio(AsyncHTTPXFamilyContract):
    library = httpx2
    auth_class = AtlassianHTTPX2Auth
    backend = "asyncio"


@pytest.mark.slow
class TestTrio(HTTPXEventLoopTests):
    library = httpx2
    auth_class = AtlassianHTTPX2Auth
    backend = "trio"

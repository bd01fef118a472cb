"""The auth object for httpx2: the contract, sync and on both event loops."""

from __future__ import annotations

import subprocess
import sys

import httpx2

from atlassian_auth_adapter import AtlassianHTTPX2Auth
from atlassian_auth_adapter.testing.adapter_contract import (
    AsyncHTTPXFamilyContract,
    SyncHTTPXFamilyContract,
)


class TestSync(SyncHTTPXFamilyContract):
    library = httpx2
    auth_class = AtlassianHTTPX2Auth


class TestAsyncio(AsyncHTTPXFamilyContract):
    library = httpx2
    auth_class = AtlassianHTTPX2Auth
    backend = "asyncio"


class TestTrio(AsyncHTTPXFamilyContract):
    library = httpx2
    auth_class = AtlassianHTTPX2Auth
    backend = "trio"


def test_without_httpx2_the_error_says_what_to_install() -> None:
    """Only who asks for the class is told; it is an ImportError for those who try."""
    program = """
import sys
sys.modules["httpx2"] = None
import atlassian_auth_adapter
assert atlassian_auth_adapter.AtlassianAuth
try:
    atlassian_auth_adapter.AtlassianHTTPX2Auth
except ImportError as error:
    assert isinstance(error, atlassian_auth_adapter.MissingExtraError)
    assert isinstance(error, atlassian_auth_adapter.AtlassianAuthError)
    print(error)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.stderr == ""
    assert "pip install 'atlassian-auth-adapter[httpx2]'" in ran.stdout

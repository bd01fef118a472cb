"""The auth object for httpx: the contract, sync and on both event loops."""

from __future__ import annotations

import subprocess
import sys

import httpx

from atlassian_auth_adapter import AtlassianHTTPXAuth
from atlassian_auth_adapter.testing.adapter_contract import (
    AsyncHTTPXFamilyContract,
    SyncHTTPXFamilyContract,
)


class TestSync(SyncHTTPXFamilyContract):
    library = httpx
    auth_class = AtlassianHTTPXAuth


class TestAsyncio(AsyncHTTPXFamilyContract):
    library = httpx
    auth_class = AtlassianHTTPXAuth
    backend = "asyncio"


class TestTrio(AsyncHTTPXFamilyContract):
    library = httpx
    auth_class = AtlassianHTTPXAuth
    backend = "trio"


def test_without_httpx_the_error_says_what_to_install() -> None:
    """Only who asks for the class is told; it is an ImportError for those who try."""
    program = """
import sys
sys.modules["httpx"] = None
import atlassian_auth_adapter
assert atlassian_auth_adapter.AtlassianAuth
try:
    atlassian_auth_adapter.AtlassianHTTPXAuth
except ImportError as error:
    assert isinstance(error, atlassian_auth_adapter.MissingExtraError)
    assert isinstance(error, atlassian_auth_adapter.AtlassianAuthError)
    print(error)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.stderr == ""
    assert "pip install httpx" in ran.stdout

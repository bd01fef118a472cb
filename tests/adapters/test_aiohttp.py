"""The auth object for aiohttp: the contract, and the tests for aiohttp alone."""

from __future__ import annotations

from atlassian_auth_adapter.testing.contracts import AuthAdapterContract
from atlassian_auth_adapter.testing.contracts.aiohttp_base import AiohttpTests
from atlassian_auth_adapter.testing.contracts.event_loops import EventLoopTests
from atlassian_auth_adapter.testing.contracts.proxies import ProxyTests


class TestContract(EventLoopTests, AiohttpTests, AuthAdapterContract, ProxyTests):
    pass

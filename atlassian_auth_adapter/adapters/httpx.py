"""The auth object for httpx, sync and async, asyncio and trio."""

from __future__ import annotations

import httpx

from atlassian_auth_adapter.adapters._headers import UncopiedHeaders
from atlassian_auth_adapter.adapters._httpx_family import HTTPXFamilyAuth

__all__ = ["AtlassianHTTPXAuth"]


class _Headers(UncopiedHeaders, httpx.Headers):  # type: ignore[misc]
    """Headers of one request; see `UncopiedHeaders`."""


class AtlassianHTTPXAuth(HTTPXFamilyAuth, httpx.Auth):
    """Makes every request of a httpx client carry a valid bearer token.

        client = httpx.Client(auth=AtlassianHTTPXAuth(source))
        client = httpx.AsyncClient(auth=AtlassianHTTPXAuth(source))

    Arguments and errors are those of `AtlassianAuth`; each error also is a httpx.RequestError.
    """

    _error = httpx.RequestError
    _headers = _Headers

"""The auth object for httpx, sync and async, asyncio and trio."""

from __future__ import annotations

import httpx

from atlassian_auth_adapter.adapters._bodies import PartlyReadStream
from atlassian_auth_adapter.adapters._httpx_family import HTTPXFamilyAuth

__all__ = ["AtlassianHTTPXAuth"]


class _Stream(PartlyReadStream, httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body of httpx, sync or async, that was read in part."""


class AtlassianHTTPXAuth(HTTPXFamilyAuth, httpx.Auth):
    """Makes every request of a httpx client carry a valid bearer token.

        client = httpx.Client(auth=AtlassianHTTPXAuth(source))
        client = httpx.AsyncClient(auth=AtlassianHTTPXAuth(source))

    Arguments and errors are those of `AtlassianAuth`; each error also is a httpx.RequestError.
    """

    _error = httpx.RequestError
    _stream = _Stream

"""The auth object for httpx, sync and async, asyncio and trio."""

from __future__ import annotations

import httpx

from atlassian_auth_adapter.adapters._bodies import PartlyReadStream
from atlassian_auth_adapter.adapters._headers import UncopiedHeaders
from atlassian_auth_adapter.adapters._httpx_family import HTTPXFamilyAuth

__all__ = ["AtlassianHTTPXAuth"]


class _Stream(PartlyReadStream, httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body of httpx, sync or async, that was read in part."""


class _Headers(UncopiedHeaders, httpx.Headers):  # type: ignore[misc]
    """Headers of one request; see `UncopiedHeaders`."""


class AtlassianHTTPXAuth(HTTPXFamilyAuth, httpx.Auth):
    """Makes every request of a httpx client carry a valid bearer token.

        client = httpx.Client(auth=AtlassianHTTPXAuth(source))
        client = httpx.AsyncClient(auth=AtlassianHTTPXAuth(source))

    Arguments and errors are those of `AtlassianAuth`; each error also is a httpx.RequestError.

    httpx follows redirects without asking its auth object. Over its own transports the next request
    is judged before its headers are written. Another transport (ASGI, WSGI, a mock, httpx-aiohttp)
    does not show where it sends it, so it goes out without the token; within the grant it is then
    sent again with the token if it is a safe method or was rejected, and with `foreign="raise"` the
    error comes after the foreign host has answered.
    """

    _error = httpx.RequestError
    _stream = _Stream
    _headers = _Headers

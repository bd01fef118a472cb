"""The auth object for httpx2, sync and async, asyncio and trio."""

from __future__ import annotations

from atlassian_auth_adapter.adapters._bodies import PartlyReadStream
from atlassian_auth_adapter.adapters._headers import UncopiedHeaders
from atlassian_auth_adapter.adapters._httpx_family import HTTPXFamilyAuth
from atlassian_auth_adapter.errors import optional_import

with optional_import("httpx2", "httpx2"):
    import httpx2

__all__ = ["AtlassianHTTPX2Auth"]


class _Stream(PartlyReadStream, httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A body of httpx2, sync or async, that was read in part."""


class _Headers(UncopiedHeaders, httpx2.Headers):  # type: ignore[misc]
    """Headers of one request; see `UncopiedHeaders`."""


class AtlassianHTTPX2Auth(HTTPXFamilyAuth, httpx2.Auth):
    """Makes every request of a httpx2 client carry a valid bearer token.

        client = httpx2.Client(auth=AtlassianHTTPX2Auth(source))
        client = httpx2.AsyncClient(auth=AtlassianHTTPX2Auth(source))

    Arguments and errors are those of `AtlassianAuth`; each error also is a httpx2.RequestError. For
    redirects over other transports than httpx2's own see `AtlassianHTTPXAuth`.
    """

    _error = httpx2.RequestError
    _stream = _Stream
    _headers = _Headers

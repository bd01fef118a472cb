"""The auth object for httpx2, sync and async, asyncio and trio."""

from __future__ import annotations

try:
    import httpx2
except ImportError as error:
    from atlassian_auth_adapter.errors import MissingExtraError

    raise MissingExtraError(
        "httpx2 is not installed: pip install 'atlassian-auth-adapter[httpx2]'"
    ) from error

from atlassian_auth_adapter.adapters._httpx_family import HTTPXFamilyAuth

__all__ = ["AtlassianHTTPX2Auth"]


class AtlassianHTTPX2Auth(HTTPXFamilyAuth, httpx2.Auth):
    """Makes every request of a httpx2 client carry a valid bearer token.

        client = httpx2.Client(auth=AtlassianHTTPX2Auth(source))
        client = httpx2.AsyncClient(auth=AtlassianHTTPX2Auth(source))

    Threads, tasks and event loops share one.

    Args:
        source: A client of this package or any TokenSource.
        foreign: What happens to a request outside the grant: "bare" sends it without a token and
            reports it once per origin, "raise" raises ForeignOriginError.

    Raises:
        LoginRequiredError, TokenEndpointError, TokenStoreError, ForeignOriginError, and what
            `AtlassianClient.token_set` raises for a site: From the request; each also is a
            httpx2.RequestError.
    """

    _error = httpx2.RequestError

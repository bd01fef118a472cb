"""The auth object for httpx, sync and async, asyncio and trio."""

from __future__ import annotations

try:
    import httpx
except ImportError as error:
    from atlassian_auth_adapter.errors import MissingExtraError

    raise MissingExtraError("httpx is not installed: pip install httpx") from error

from atlassian_auth_adapter.adapters._httpx_family import HTTPXFamilyAuth

__all__ = ["AtlassianHTTPXAuth"]


class AtlassianHTTPXAuth(HTTPXFamilyAuth, httpx.Auth):
    """Makes every request of a httpx client carry a valid bearer token.

        client = httpx.Client(auth=AtlassianHTTPXAuth(source))
        client = httpx.AsyncClient(auth=AtlassianHTTPXAuth(source))

    Threads, tasks and event loops share one.

    Args:
        source: A client of this package or any TokenSource.
        foreign: What happens to a request outside the grant: "bare" sends it without a token and
            reports it once per origin, "raise" raises ForeignOriginError.

    Raises:
        LoginRequiredError, TokenEndpointError, TokenStoreError, ForeignOriginError, and what
            `AtlassianClient.token_set` raises for a site: From the request; each also is a
            httpx.RequestError.
    """

    _error = httpx.RequestError

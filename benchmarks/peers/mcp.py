"""The OAuth provider of the MCP SDK, for tasks and httpx2."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.logins import CLIENT_ID, CLIENT_SECRET, Login
from benchmarks.peers.base import Peer, Way


def auth(login: Login) -> Any:
    """The provider."""
    from mcp.client.auth import OAuthClientProvider
    from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

    class Storage:
        async def get_tokens(self) -> OAuthToken:
            return OAuthToken(**login.token)

        async def set_tokens(self, tokens: OAuthToken) -> None:
            pass

        async def get_client_info(self) -> OAuthClientInformationFull:
            return OAuthClientInformationFull(
                client_id=CLIENT_ID,
                client_secret=CLIENT_SECRET,
                redirect_uris=["http://localhost/callback"],
                token_endpoint_auth_method="client_secret_post",
            )

        async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
            pass

    metadata = OAuthClientMetadata(redirect_uris=["http://localhost/callback"])
    provider = OAuthClientProvider(login.api, metadata, Storage())
    provider.context.token_expiry_time = time.time() + login.lifetime
    return provider


PEER = Peer(
    "MCP SDK",
    "mcp",
    {"httpx2 async": Way(auth)},
    "no origin; one request at a time: its lock is held until the answer is there; a 401 starts a "
    "new authorization",
    {"httpx2 async": "from mcp.client.auth import OAuthClientProvider"},
)

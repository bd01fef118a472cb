"""requests_oauth2client."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.logins import CLIENT_ID, CLIENT_SECRET, Login
from benchmarks.peers.base import Peer, Way


def auth(login: Login) -> Any:
    """The auth object."""
    from requests_oauth2client import (
        BearerToken,
        ClientSecretPost,
        OAuth2AccessTokenAuth,
        OAuth2Client,
    )

    client = OAuth2Client(
        login.token_url, auth=ClientSecretPost(CLIENT_ID, CLIENT_SECRET), testing=True
    )
    token = BearerToken(
        login.access_token,
        refresh_token=login.refresh_token,
        expires_at=datetime.now(UTC) + timedelta(seconds=login.lifetime),
    )
    return OAuth2AccessTokenAuth(client, token)


PEER = Peer(
    "requests_oauth2client",
    "requests_oauth2client",
    {"requests": Way(auth)},
    "no origin; no 401; threads renew without a lock",
    {"requests": "from requests_oauth2client import OAuth2AccessTokenAuth"},
    leeway=20.0,
)

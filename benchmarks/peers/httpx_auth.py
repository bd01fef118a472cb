"""httpx-auth: client credentials, since its other grants begin in a browser."""

from __future__ import annotations

from typing import Any

from benchmarks.logins import CLIENT_ID, CLIENT_SECRET, Login
from benchmarks.peers.base import Peer, Way


def auth(login: Login) -> Any:
    """The auth object; its cache has the token of the login afterwards."""
    import httpx
    from httpx_auth import OAuth2ClientCredentials

    answer = httpx.MockTransport(lambda _: httpx.Response(200, json=login.token))
    made = OAuth2ClientCredentials(
        login.token_url,
        CLIENT_ID,
        CLIENT_SECRET,
        client=httpx.Client(transport=answer, trust_env=False),
        account=login.account,
    )
    next(made.sync_auth_flow(httpx.Request("GET", login.url)))
    made.client = None  # as by default: a renewal makes a client of its own
    return made


PEER = Peer(
    "httpx-auth",
    "httpx-auth",
    {"httpx": Way(auth), "httpx async": Way(auth)},
    "no origin; no 401; a renewal blocks the event loop; each request that waited renews again",
    {
        "httpx": "from httpx_auth import OAuth2ClientCredentials",
        "httpx async": "from httpx_auth import OAuth2ClientCredentials",
    },
    leeway=30.0,
    rotates=False,
)

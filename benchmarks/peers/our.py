"""This library."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from benchmarks.figures import UnmeasuredError
from benchmarks.logins import CLIENT_ID, CLIENT_SECRET, CLOUD_ID, Login
from benchmarks.peers.base import Peer, Way

SITE = "https://acme.atlassian.net"


def client_for(login: Login) -> Any:
    """A client with that login in its store."""
    import atlassian_auth_adapter as atlassian
    from atlassian_auth_adapter.records import Login as Record, write

    store: atlassian.TokenStore = atlassian.MemoryTokenStore()
    if login.store:
        store = atlassian.FileTokenStore(Path(login.store))
    settings: dict[str, Any] = {"store": store, "account": login.account}
    if login.renewing:
        settings["expiry"] = atlassian.ExpiryPolicy(
            stale=login.renewing, stale_fraction=1.0, jitter=0.5
        )
    client = atlassian.create_atlassian_oauth_client(
        CLIENT_ID, CLIENT_SECRET, **place_of(login, atlassian), **settings
    )
    now = time.time()
    token_set = atlassian.TokenSet(
        login.access_token, login.refresh_token, now + login.lifetime, "", "Bearer", now - 10
    )
    name = client.token_key.name
    if store.load(name) is None:
        record = Record(generation=1, login_id=f"login-{login.account}", token_set=token_set)
        store.save(name, write(client.token_key, record), expected=None)
    if login.lifetime > 0:
        client.token_set()  # a valid token is in memory, as with each peer
    return client


def place_of(login: Login, atlassian: Any) -> dict[str, Any]:
    """The arguments that name the place."""
    if login.place == "Data Center":
        return {"server_url": login.api}
    hosts = atlassian.COMMERCIAL
    if login.base:
        hosts = atlassian.CloudEnvironment(login.base, login.base, hosts.audience)
    site = {"site_url": SITE} if login.place == "site" else {}
    return {"cloud_id": CLOUD_ID, "cloud": hosts, **site}


def with_auth(name: str) -> Way:
    """An auth object by its name."""

    def auth(login: Login) -> Any:
        import atlassian_auth_adapter as atlassian

        try:
            cls = getattr(atlassian, name)
        except (AttributeError, ImportError):
            raise UnmeasuredError(f"{name} is not in this version of the library") from None
        return cls(client_for(login))

    return Way(auth)


def importing(name: str) -> str:
    """The statement that gets an auth object."""
    return f"from atlassian_auth_adapter import {name}"


AUTH = {
    "requests": "AtlassianAuth",
    "httpx": "AtlassianHTTPXAuth",
    "httpx async": "AtlassianHTTPXAuth",
    "httpx2": "AtlassianHTTPX2Auth",
    "httpx2 async": "AtlassianHTTPX2Auth",
    "aiohttp": "AtlassianAiohttpAuth",
}

PEER = Peer(
    "atlassian_auth_adapter",
    "atlassian-auth-adapter",
    {library: with_auth(name) for library, name in AUTH.items()},
    "",
    {library: importing(name) for library, name in AUTH.items()},
    counts_from_sending=True,
    handles_401=True,
    routes_sites=True,
    #: Of a login with `renewing`, which is seconds before the end, as every leeway is.
    leeway=3598.0,
)

"""Who is measured: a record each, made as the documentation of the peer says.

Each file imports its library only when a `Way` is used, so that one that is missing is a reason in
the table and nothing else.
"""

from __future__ import annotations

from benchmarks.peers import (
    authlib,
    azure,
    google,
    header,
    httpx_auth,
    mcp,
    our,
    recipe,
    requests_auth,
    requests_oauth2client,
    requests_oauthlib,
    singleflight,
)
from benchmarks.peers.base import Peer, Way

__all__ = ["FLOOR", "OURS", "PEERS", "Peer", "Way"]

FLOOR, OURS = header.PEER.name, our.PEER.name

PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        header.PEER,
        our.PEER,
        authlib.PEER,
        requests_oauthlib.PEER,
        requests_oauth2client.PEER,
        requests_auth.PEER,
        httpx_auth.PEER,
        singleflight.PEER,
        google.PEER,
        google.NON_BLOCKING,
        azure.PEER,
        mcp.PEER,
        recipe.PEER,
    )
}

"""A process of the fleet: shares a login with all others through the store, and nothing else.

Its first line of standard input says where everything is; for each further line it makes some
requests at once and prints one line of JSON with what became of them.
"""

from __future__ import annotations

import hashlib
import json
import logging
import socket
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests
from clocks import SharedClock
from servers import store_at

from atlassian_auth_adapter import (
    AtlassianAuth,
    AtlassianOAuthClient,
    CloudEnvironment,
    create_atlassian_oauth_client,
)


def client_from(orders: dict[str, Any]) -> AtlassianOAuthClient:
    """The client that all processes of a fleet have."""
    return create_atlassian_oauth_client(
        **orders["client"],
        cloud=CloudEnvironment(**orders["cloud"]),
        store=store_at(**orders["store"]),
        clock=SharedClock(Path(orders["clock"])),
    )


def hash_of(access_token: str) -> str:
    """Names a token without revealing it."""
    return hashlib.sha256(access_token.encode()).hexdigest()[:12]


def _go_through(doors: dict[int, int]) -> None:
    """Connections to a port outside go to its door. (The URL, which names the login, stays.)"""
    connect = socket.socket.connect

    def through_door(self: socket.socket, address: Any) -> None:
        if self.family == socket.AF_INET:
            address = address[0], doors.get(address[1], address[1])
        connect(self, address)

    socket.socket.connect = through_door  # type: ignore[method-assign, assignment]


def main() -> None:
    """Follow the orders until the input ends."""
    logging.disable()  # what matters is told to the one that sends requests
    orders = json.loads(sys.stdin.readline())
    doors = {int(port): door for port, door in orders["ports"].items()}
    _go_through(doors)
    for port, door in doors.items():
        orders["store"]["url"] = orders["store"]["url"].replace(f":{port}/", f":{door}/")
    client = client_from(orders)
    sessions = [requests.Session() for _ in range(orders["requests"])]

    def get(session: requests.Session) -> dict[str, Any]:
        try:
            answer = session.get(f"{client.base_url}/rest/api/3/myself", timeout=60)
        except Exception:
            return {"status": 0, "trace": traceback.format_exc()}
        bearer = answer.request.headers.get("Authorization", "").removeprefix("Bearer ")
        return {"status": answer.status_code, "token": hash_of(bearer)}

    for session in sessions:
        session.auth = AtlassianAuth(client)
        session.trust_env = False
    with ThreadPoolExecutor(len(sessions)) as pool:
        print(json.dumps("ready"), flush=True)
        for _ in sys.stdin:
            print(json.dumps(list(pool.map(get, sessions))), flush=True)


if __name__ == "__main__":
    main()

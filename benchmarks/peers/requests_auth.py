"""requests-auth: client credentials, since its other grants begin in a browser."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.logins import CLIENT_ID, CLIENT_SECRET, Login
from benchmarks.peers.base import Peer, Way


def auth(login: Login) -> Any:
    """The auth object; its cache has the token of the login afterwards."""
    import requests
    from requests_auth import OAuth2ClientCredentials

    class Answer(requests.Response):
        def __init__(self) -> None:
            super().__init__()
            self.status_code = 200
            self._content = json.dumps(login.token).encode()

    class Session(requests.Session):
        first = True

        def post(self, *arguments: Any, **named: Any) -> Any:
            if self.first:
                self.first = False
                return Answer()
            return super().post(*arguments, **named)

    made = OAuth2ClientCredentials(
        login.token_url, CLIENT_ID, CLIENT_SECRET, session=Session(), account=login.account
    )
    made(requests.Request("GET", login.url).prepare())
    return made


PEER = Peer(
    "requests-auth",
    "requests-auth",
    {"requests": Way(auth)},
    "no origin; no 401; threads renew one after the other, each again",
    {"requests": "from requests_auth import OAuth2ClientCredentials"},
    leeway=30.0,
    rotates=False,
)

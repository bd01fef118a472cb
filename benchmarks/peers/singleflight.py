"""singleflight-auth: one renewal, which is the program's, for all who have met a 401."""

from __future__ import annotations

from typing import Any

from benchmarks.logins import Login
from benchmarks.peers.base import Peer, Way


class Tokens:
    """What the program keeps: two tokens, and how they are renewed."""

    def __init__(self, login: Login) -> None:
        self.login, self.token = login, login.token

    def get(self) -> str:
        """The access token."""
        return str(self.token["access_token"])

    def taken(self, answer: Any) -> str:
        """The access token of an answer."""
        answer.raise_for_status()
        self.token = {**self.token, **answer.json()}
        return self.get()

    def form(self) -> dict[str, str]:
        """Of a refresh."""
        return self.login.refresh(self.token["refresh_token"])


def for_requests(login: Login) -> Any:
    """The auth object of requests."""
    import requests
    from singleflight_auth import RequestsSingleFlightAuth

    tokens = Tokens(login)
    return RequestsSingleFlightAuth(
        tokens.get,
        lambda: tokens.taken(requests.post(login.token_url, tokens.form(), timeout=60)),
    )


def for_httpx(login: Login) -> Any:
    """The auth object of httpx for threads."""
    import httpx
    from singleflight_auth import SingleFlightAuth

    tokens = Tokens(login)
    return SingleFlightAuth(
        tokens.get,
        lambda: tokens.taken(httpx.post(login.token_url, data=tokens.form(), timeout=60)),
    )


def for_tasks(login: Login) -> Any:
    """The auth object of httpx for tasks."""
    import httpx
    from singleflight_auth import AsyncSingleFlightAuth

    tokens = Tokens(login)

    async def renew() -> str:
        async with httpx.AsyncClient(verify=False, timeout=60) as http:
            return tokens.taken(await http.post(login.token_url, data=tokens.form()))

    return AsyncSingleFlightAuth(tokens.get, renew)


PEER = Peer(
    "singleflight-auth",
    "singleflight-auth",
    {"requests": Way(for_requests), "httpx": Way(for_httpx), "httpx async": Way(for_tasks)},
    "no origin; no expiry: each token is used until a 401; the token request is the program's",
    {
        "requests": "from singleflight_auth import RequestsSingleFlightAuth",
        "httpx": "from singleflight_auth import SingleFlightAuth",
        "httpx async": "from singleflight_auth import AsyncSingleFlightAuth",
    },
    knows_expiry=False,
    handles_401=True,
)
